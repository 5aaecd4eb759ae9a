"""The quick form of the most frequent entries: the same octets and effects, and an eye for others."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qpid_server.broker import Broker
from qpid_server.effects import Dequeue, Enqueue, QueueDeclared
from qpid_server.ha.entries import MarkEffect, decode_entry, encode_entry
from qpid_server.ha.messages import Wall
from qpid_server.ha.records import ReplicationError
from qpid_server.ha.transfers import decode_transfer, encode_transfer
from qpid_server.journal import Mark
from qpid_server.message import Message
from qpid_server.queue import Replicate
from tests.unit.ha.members import E1, new_broker, text_message
from tests.unit.ha.test_records import bodies, headers, ids, texts

WALL = Wall(lambda: 1e9)
marks = st.none() | st.tuples(texts, st.binary(max_size=12), st.integers(0, 2**64 - 1))
timeouts = st.integers(0, 2**32 - 1)


def with_queue(name: str) -> Broker:
    broker = new_broker()
    QueueDeclared(name, replicate=Replicate.ALL).apply(broker)
    return broker


def enqueued(broker: Broker, name: str, message: Message, position: int | None = None) -> Enqueue:
    effect = Enqueue(broker.queues[name], message, position)
    effect.apply(broker)
    return effect


def seen(effects: Any) -> list[Any]:
    """What effects are, in a form that compares."""
    return [
        effect
        if isinstance(effect, MarkEffect)
        else (
            effect.queue.name,
            effect.position,
            effect.message.destination,
            effect.message.header,
            effect.message.body,
            effect.message.replication_id,
            effect.message.expires,
        )
        for effect in effects
    ]


def parts(enqueue: Enqueue, session: tuple[str, bytes] | None, command_id: int, timeout: int) -> list[Any]:
    """What `decode_entry` gives for what `decode_transfer` gives."""
    return [enqueue] if session is None else [enqueue, MarkEffect((*session, command_id), timeout)]


@given(texts, ids, texts, headers, bodies, st.none() | st.integers(1, 10**9), st.integers(1, 2**63), marks, timeouts)
def test_both_forms_are_one(
    name: str,
    id: Any,
    destination: str,
    header: bytes | None,
    body: bytes | None,
    expires: int | None,
    position: int,
    mark: Mark | None,
    timeout: int,
) -> None:
    message = Message(destination, header, body, id)
    message.expires = expires
    effect = enqueued(with_queue(name), name, message, position)
    data = encode_transfer(effect, mark, timeout, WALL)
    assert data == encode_entry([effect], mark, timeout, WALL)

    backup = with_queue(name)
    quick = decode_transfer(data, backup, WALL)
    assert quick is not None
    assert seen(parts(*quick)) == seen(decode_entry(data, backup, WALL))

    for end in range(len(data)):
        try:
            cut = decode_transfer(data[:end], backup, WALL)
        except (ReplicationError, LookupError, ValueError, struct.error):
            continue
        # Without its mark, whole, it is an entry as well.
        assert cut is None or data[:end] == encode_transfer(effect, None, 0, WALL)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_octets_that_nobody_sent_are_no_transfer(tail: bytes, at: int) -> None:
    effect = enqueued(with_queue("q"), "q", Message("", None, b"text", (E1, 7)))
    good = encode_transfer(effect, ("user", b"session", 3), 60, WALL)
    data = good[:at] + tail
    backup = with_queue("q")
    try:
        quick = decode_transfer(data, backup, WALL)
    except (ReplicationError, LookupError, ValueError, struct.error):
        return
    if quick is not None:
        assert seen(parts(*quick)) == seen(decode_entry(data, backup, WALL))


def test_other_entries_are_left_to_the_long_form() -> None:
    broker = with_queue("q")
    one, two = text_message("1"), text_message("2")
    one.replication_id, two.replication_id = (E1, 1), (E1, 2)
    first, second = enqueued(broker, "q", one), enqueued(broker, "q", two)
    gone = Dequeue(broker.queues["q"], [first.entry])
    backup = with_queue("q")
    for effects in ([first, second], [gone], [first, gone], []):
        assert decode_transfer(encode_entry(effects, None, 0, WALL), backup, WALL) is None

    data = encode_transfer(second, None, 0, WALL)
    assert decode_transfer(data, new_broker(), WALL) is None, "a queue that is not here"
    assert decode_transfer(data, broker, WALL) is None, "a position that was taken, a message that is there"
