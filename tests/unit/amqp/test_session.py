"""The session machine: ids, completion, and sessions that outlive their connections."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.connection import State
from qpid_messaging.amqp.errors import EncodeError, ProtocolError
from qpid_messaging.amqp.events import (
    Attached,
    AttachRequested,
    Broken,
    Completed,
    Event,
    Expected,
    ExpectedRequested,
    Failed,
    Incoming,
    Result,
    TimeoutGranted,
    TimeoutRequested,
)
from qpid_messaging.amqp.framing import Decoder, encode
from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.session import Session, expand, in_window
from tests.unit.amqp.peers import Pair, attach, opened

WRAP = 2**32
ids = st.one_of(st.integers(0, 20), st.integers(WRAP - 10, WRAP + 10), st.integers(0, 2**40))


def transfer(number: int = 0) -> tuple[c.Command, bytes, bytes]:
    return c.MessageTransfer(destination="q"), b"", b"%d" % number


def attached(start: int = 0) -> tuple[Pair, Session, Session]:
    """A session and its other end, the next command of which is `start`."""
    pair = opened()
    session = Session(b"s")
    session.resume(start)
    other = attach(pair, session)
    pair.seen_by_client.clear()
    pair.seen_by_server.clear()
    return pair, session, other


def again(session: Session, expected: int | None = None) -> Pair:
    """The session on a new connection, attached."""
    pair = opened()
    pair.expected = expected
    attach(pair, session)
    pair.seen_by_client.clear()
    return pair


def tokens(events: list[Event]) -> list[Any]:
    return [token for event in events if isinstance(event, Completed) for token in event.tokens]


def incoming(events: list[Event]) -> list[int]:
    return [event.id for event in events if isinstance(event, Incoming)]


def written(data: bytes) -> list[c.Command]:
    return [command for _, command, _, _ in Decoder().feed(data)]


def tell(session: Session, control: c.Command) -> list[Event]:
    """The session gets a control of its peer."""
    events: list[Event] = []
    session.receive(control, None, None, events)
    return events


# -- serial numbers


@given(ids, st.integers(-(2**31) + 1, 2**31 - 1))
def test_a_serial_number_stands_for_the_nearest_id(near: int, away: int) -> None:
    id = near + away
    if id >= 0:
        assert expand(id % WRAP, near) == id


@given(st.integers(0, WRAP - 1), ids)
def test_no_id_is_negative(serial: int, near: int) -> None:
    id = expand(serial, near)
    assert id >= 0
    assert id % WRAP == serial


@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 50)), min_size=1, max_size=8), ids)
def test_ranges_travel_round_the_end_of_32_bits(spans: list[tuple[int, int]], base: int) -> None:
    ranges = RangeSet([(base + lower, base + lower + size) for lower, size in spans])
    (control,) = written(encode(0, c.SessionCompleted(commands=ranges)))
    assert isinstance(control, c.SessionCompleted)
    assert RangeSet((expand(a, base), expand(b, base)) for a, b in control.commands or ()) == ranges


def test_what_is_too_old_for_serial_numbers_is_left_out() -> None:
    assert in_window(RangeSet()) == RangeSet()
    assert in_window(RangeSet([(0, 5), (100, 100)])) == RangeSet([(0, 5), (100, 100)])
    last = 3 * WRAP + 7
    assert in_window(RangeSet([(0, 5), (100, last)])) == RangeSet([(last - 2**30, last)])


# -- commands and their completion


def test_commands_are_numbered_by_both_ends() -> None:
    pair, session, other = attached()
    assert [session.send(*transfer(n)) for n in range(3)] == [0, 1, 2]
    assert session.send_frames(encode(0, *transfer(3))) == 3
    assert session.send(*transfer(4), frames=encode(0, *transfer(4))) == 4
    pair.pump()
    assert pair.seen_by_server == [Incoming(other, n, *transfer(n)) for n in range(5)]
    assert session.next_id == other.next_incoming == 5


def test_completions_are_told_in_one_control() -> None:
    pair, session, other = attached()
    for number in range(5):
        session.send(*transfer(number), token=number)
    pair.to_server(pair.client.data_to_send())
    for id in (0, 1, 3, 4):
        other.complete(id)
    data = pair.server.data_to_send()
    assert written(data) == [c.SessionCompleted(commands=RangeSet([(0, 1), (3, 4)]))]
    assert pair.to_client(data) == [Completed(session, [(0, 1), (3, 4)], [0, 1, 3, 4])]
    assert [session.is_completed(id) for id in range(5)] == [True, True, False, True, True]
    other.complete(2)
    data = pair.server.data_to_send()
    assert written(data) == [c.SessionCompleted(commands=RangeSet([(0, 4)]))]
    assert pair.to_client(data) == [Completed(session, [(2, 2)], [2])]
    assert not pair.server.has_output
    assert all(session.is_completed(id) for id in range(5))
    assert not session.is_completed(5)


def test_completed_twice_is_told_once() -> None:
    pair, session, other = attached()
    session.send(*transfer(), token="t")
    pair.pump()
    for _ in range(3):
        other.complete(0)
        pair.pump()
    assert tokens(pair.seen_by_client) == ["t"]
    assert len(pair.seen_by_client) == 1


def test_commands_of_both_directions_do_not_mix() -> None:
    pair, session, other = attached()
    session.send(*transfer(), token="ours")
    other.send(*transfer(), token="theirs")
    other.send(*transfer(), token="theirs too")
    pair.pump()
    session.complete_range(0, 1)
    pair.pump()
    assert tokens(pair.seen_by_server) == ["theirs", "theirs too"]
    assert tokens(pair.seen_by_client) == []


def test_results_and_refusals() -> None:
    pair, session, other = attached()
    query = session.send(c.QueueQuery(queue="q"), token="query")
    bad = session.send(c.QueueDelete(queue="q"))
    pair.pump()
    other.result(query, c.QueueQueryResult(queue="q"))
    other.complete(query)
    other.exception(c.ErrorCode.NOT_FOUND, bad, c.QueueDelete(queue="q"), "no such queue")
    pair.pump()
    result, failed, completed = pair.seen_by_client
    assert result == Result(session, query, c.QueueQueryResult(queue="q"), "query")
    assert isinstance(failed, Failed)
    assert failed.exception.command_id == bad
    assert (failed.exception.class_code, failed.exception.command_code) == c.QueueDelete.CODE
    assert completed == Completed(session, [(query, query)], ["query"])
    # execution.result and execution.exception are commands too, and complete by themselves.
    assert other.is_completed(0)
    assert other.is_completed(1)


def test_a_value_that_does_not_encode_takes_no_id() -> None:
    pair, session, _ = attached()
    session.send(*transfer(0), token=0)
    with pytest.raises(EncodeError):
        session.send(c.MessageTransfer(destination="x" * 256), b"", b"", token="never", replay=True)
    session.send(*transfer(1), token=1)
    for event in pair.to_server(pair.client.data_to_send()):
        assert isinstance(event, Incoming)
        event.session.complete(event.id)
    pair.pump()
    assert tokens(pair.seen_by_client) == [0, 1]
    assert session.suspend() == []


def test_not_attached() -> None:
    session = Session(b"s")
    for send in (lambda: session.send(*transfer()), lambda: session.send_frames(b"x"), session.sync, session.replay):
        with pytest.raises(RuntimeError, match="not attached"):
            send()
    assert session.next_id == 0


def test_completed_while_no_connection_is_there() -> None:
    pair, session, other = attached()
    session.send(*transfer())
    pair.pump()
    other.unbind()
    other.complete(0)
    other.flush_completed()
    pair.server._bind(other, 0)
    pair.pump()
    assert pair.seen_by_client == [Completed(session, [(0, 0)], [])]


# -- execution.sync


def test_sync_waits_for_everything_before_it() -> None:
    pair, session, other = attached()
    for number in range(3):
        session.send(*transfer(number))
    session.send(c.ExecutionSync(sync=True), token="first")
    session.send(*transfer(3))
    session.send(c.ExecutionSync(sync=True), token="second")
    pair.pump()
    for id, done in ((4, []), (2, []), (0, []), (1, ["first", "second"])):
        other.complete(id)
        pair.pump()
        assert tokens(pair.seen_by_client) == done


def test_sync_of_nothing_completes_at_once() -> None:
    pair, session, _ = attached()
    session.send(c.ExecutionSync(), token="t")
    pair.pump()
    assert tokens(pair.seen_by_client) == ["t"]


def test_sync_waits_for_what_was_sent_before_a_jump() -> None:
    """As after a resume: a declaration under a new id, then old commands under their old ids, then execution.sync."""
    pair, session, other = attached()
    session.next_id = 20
    session.send(c.QueueDeclare(queue="q"))
    session.next_id = 10
    session.send(*transfer())
    session.next_id = 21
    session.send(c.ExecutionSync(), token="t")
    pair.pump()
    assert incoming(pair.seen_by_server) == [20, 10]
    other.complete(10)
    pair.pump()
    assert tokens(pair.seen_by_client) == []
    other.complete(20)
    pair.pump()
    assert tokens(pair.seen_by_client) == ["t"]


# -- known-completed


def test_what_the_peer_knows_is_not_told_for_ever() -> None:
    pair, session, other = attached()
    for number in range(300):
        session.send(*transfer(number), token=number)
    pair.pump()
    for id in range(0, 300, 2):
        other.complete(id)
    pair.pump()
    # More ranges than one wants to repeat: the client was asked to tell what it knows, and did.
    assert tokens(pair.seen_by_client) == list(range(0, 300, 2))
    pair.pump()
    session.send(c.ExecutionSync(), token="sync")
    pair.pump()
    for id in range(1, 300, 2):
        other.complete(id)
    assert "sync" not in tokens(pair.seen_by_client)
    pair.pump()
    assert sorted(tokens(pair.seen_by_client)[:-1]) == list(range(300))
    assert tokens(pair.seen_by_client)[-1] == "sync"


def test_known_ranges_are_forgotten() -> None:
    pair, session, other = attached()
    # Ids that were jumped over leave holes that nothing will ever fill.
    for number in range(100):
        session.next_id = 2 * number
        session.send(*transfer(number), token=number)
        pair.to_server(pair.client.data_to_send())
        other.complete(2 * number)
    pair.pump()
    assert tokens(pair.seen_by_client) == list(range(100))
    session.next_id = 1000
    session.send(*transfer())
    pair.to_server(pair.client.data_to_send())
    other.complete(1000)
    assert written(pair.server.data_to_send()) == [c.SessionCompleted(commands=RangeSet([(1000, 1000)]))]


def test_known_completed_from_a_liar() -> None:
    pair, session, other = attached()
    session.send(*transfer(0), token=0)
    session.send(c.ExecutionSync(), token="sync")
    pair.pump()
    everything = c.SessionKnownCompleted(commands=RangeSet([(0, WRAP - 1)]))
    assert tell(other, everything) == []
    other.complete(0)
    assert tell(other, everything) == []
    pair.pump()
    assert tokens(pair.seen_by_client) == [0, "sync"]


# -- session.gap, session.command-point


@pytest.mark.parametrize("start", [0, 2**31 + 5, WRAP - 3])
def test_gap(start: int) -> None:
    pair, session, other = attached(start)
    session.send(*transfer(0), token="sent")
    session._control(c.SessionGap(commands=RangeSet.of(start + 1, start + 8)))
    session.next_id = start + 9
    session.send(c.ExecutionSync(), token="sync")
    pair.pump()
    assert tokens(pair.seen_by_client) == []
    other.complete(start)
    pair.pump()
    assert tokens(pair.seen_by_client) == ["sent", "sync"]


@pytest.mark.parametrize("near", [0, 10, 2**31, 2**31 + 5, WRAP - 1, WRAP + 5])
@pytest.mark.parametrize("commands", [(0, WRAP - 1), (0, 2**31 + 20), (2**31 - 1, 2**31 + 7), (WRAP - 1, WRAP - 1)])
def test_any_range_is_harmless(near: int, commands: tuple[int, int]) -> None:
    pair, _, other = attached()
    other.next_incoming = other.next_id = near
    ranges = RangeSet([commands])
    for control in (
        c.SessionGap(commands=ranges),
        c.SessionCompleted(commands=ranges, timely_reply=True),
        c.SessionKnownCompleted(commands=ranges),
        c.SessionConfirmed(commands=ranges),
        c.SessionExpected(commands=ranges),
        c.SessionFlush(expected=True, completed=True, confirmed=True),
    ):
        tell(other, control)
    written(pair.server.data_to_send())


def test_a_jump_inside_of_a_command() -> None:
    _, _, other = attached()
    with pytest.raises(ProtocolError, match="inside of a command"):
        tell(other, c.SessionCommandPoint(command_id=0, command_offset=5))


def test_jumping_about_is_bounded() -> None:
    """Each jump over incomplete commands has to be remembered for the next execution.sync."""
    _, _, other = attached()
    events: list[Event] = []

    def jump() -> None:
        for number in range(1000):
            tell(other, c.SessionCommandPoint(command_id=number * 10 % WRAP, command_offset=0))
            other.receive(c.MessageTransfer(destination="q"), None, b"", events)

    with pytest.raises(ProtocolError, match="too often"):
        jump()


def test_jumping_over_completed_commands_is_bounded_by_what_the_peer_knows() -> None:
    pair, _, other = attached()
    events: list[Event] = []

    def jump(times: int) -> None:
        for _ in range(times):
            id = other.next_incoming + 9
            tell(other, c.SessionCommandPoint(command_id=id, command_offset=0))
            other.receive(c.MessageTransfer(destination="q"), None, b"", events)
            other.complete(id)

    jump(8000)
    tell(other, c.SessionKnownCompleted(commands=RangeSet([(0, 2**20)])))
    jump(1)
    pair.server.data_to_send()
    tell(other, c.SessionKnownCompleted(commands=RangeSet([(0, 2**20)])))
    jump(8000)
    written(pair.server.data_to_send())
    with pytest.raises(ProtocolError, match=r"no session\.known-completed came"):
        jump(1000)
    assert incoming(events)[:16_000] == list(range(9, 160_009, 10))[:16_000]


def test_more_completions_than_one_control_holds() -> None:
    pair, session, other = attached()
    for number in range(20_000):
        session.send(*transfer(number), token=number)
    pair.pump()
    for id in range(0, 20_000, 2):
        other.complete(id)
    session.flush(completed=True, confirmed=True)
    pair.pump()
    assert tokens(pair.seen_by_client) == list(range(0, 20_000, 2))


# -- session.flush and the rest of the controls


def test_flush_completed_and_confirmed() -> None:
    pair, session, other = attached()
    session.flush(completed=True, confirmed=True)
    pair.to_server(pair.client.data_to_send())
    assert written(pair.server.data_to_send()) == [
        c.SessionConfirmed(commands=RangeSet(), fragments=[]),
        c.SessionCompleted(commands=RangeSet()),
    ]
    session.send(*transfer(), token="t")
    pair.pump()
    other.complete(0)
    pair.pump()
    session.flush(completed=True, confirmed=True)
    pair.to_server(pair.client.data_to_send())
    assert written(pair.server.data_to_send()) == [
        c.SessionConfirmed(commands=RangeSet([(0, 0)]), fragments=[]),
        c.SessionCompleted(commands=RangeSet([(0, 0)])),
    ]


def test_timeouts() -> None:
    pair, session, other = attached()
    session.request_timeout(300)
    pair.pump()
    assert pair.seen_by_server == [TimeoutRequested(other, 300)]
    assert pair.seen_by_client == [TimeoutGranted(session, 300)]
    assert session.timeout == other.timeout == 300
    assert tell(other, c.SessionRequestTimeout()) == [TimeoutRequested(other, WRAP - 1)]


def test_a_control_that_is_not_for_sessions() -> None:
    with pytest.raises(ProtocolError, match=r"connection\.heartbeat"):
        tell(Session(b"s"), c.ConnectionHeartbeat())


# -- the life after a connection


def test_what_the_peer_lacks_goes_again_under_its_old_ids() -> None:
    pair, session, _ = attached()
    for number in range(6):
        session.send(*transfer(number), token=number, replay=True)
    session.send(c.MessageAccept(), token="accept")
    pair.client.lost()
    assert session.suspend() == ["accept"]
    pair = again(session, 4)
    session.flush(expected=True)
    pair.pump()
    assert pair.seen_by_client == [Expected(session, 4)]
    assert session.resume(4) == []
    declared = session.send(c.QueueDeclare(queue="q"), token="declared")
    assert session.replay() == 2
    assert session.replay() == 0
    session.send(*transfer(6), token=6, replay=True)
    pair.pump()
    got = [event for event in pair.seen_by_server if isinstance(event, Incoming)]
    assert [event.id for event in got] == [declared, 4, 5, declared + 1]
    assert [event.body for event in got] == [None, b"4", b"5", b"6"]
    other = got[0].session
    other.complete_range(0, 5)
    pair.pump()
    assert tokens(pair.seen_by_client) == [0, 1, 2, 3, 4, 5]
    other.complete_range(declared, declared + 1)
    pair.pump()
    assert tokens(pair.seen_by_client) == [0, 1, 2, 3, 4, 5, "declared", 6]


def test_completions_that_come_before_resume() -> None:
    """session.expected and session.completed come in one read; the tokens come back from resume."""
    pair, session, _ = attached()
    for number in range(6):
        session.send(*transfer(number), token=number, replay=True)
    pair.client.lost()
    assert session.suspend() == []
    pair = again(session, 4)
    session.flush(expected=True)
    for event in pair.to_server(pair.client.data_to_send()):
        if isinstance(event, ExpectedRequested):
            event.session.next_incoming = 4
            event.session.complete_range(0, 2)
    assert pair.to_client(pair.server.data_to_send()) == [
        Expected(session, 4),
        Completed(session, [(0, 2)], []),
    ]
    assert session.resume(4) == [0, 1, 2]
    assert session.replay() == 2
    pair.pump()
    other = pair.server.sessions[session.channel]
    other.complete_range(0, 5)
    pair.pump()
    assert tokens(pair.seen_by_client) == [3, 4, 5]


@pytest.mark.parametrize("start", [0, 7, WRAP - 2])
def test_a_peer_that_knows_nothing(start: int) -> None:
    """The numbering goes on: no id ever means two commands."""
    pair, session, _ = attached(start)
    for number in range(4):
        session.send(*transfer(number), token=number, replay=True)
    pair.client.lost()
    session.suspend()
    pair = again(session, None)
    session.flush(expected=True)
    pair.pump()
    assert pair.seen_by_client == [Expected(session, None)]
    session.resume(None)
    assert session.send(c.QueueDeclare(queue="q")) == start + 4
    assert session.replay() == 4
    pair.pump()
    got = incoming(pair.seen_by_server)
    assert [expand(id % WRAP, session.next_id) for id in got] == [start + 4, *range(start, start + 4)]
    for id in got:
        pair.server.sessions[0].complete(id)
    pair.pump()
    assert sorted(tokens(pair.seen_by_client)) == [0, 1, 2, 3]


def test_a_peer_that_starts_at_nothing() -> None:
    pair, session, _ = attached()
    for number in range(4):
        session.send(*transfer(number), token=number, replay=True)
    pair.client.lost()
    session.suspend()
    pair = again(session)
    assert session.resume(0) == []
    assert session.send(c.QueueDeclare(queue="q"), token="declared") == 0
    # Lost again before the replay.
    pair.client.lost()
    assert session.suspend() == ["declared"]
    pair = again(session)
    assert session.resume(0) == []
    assert session.replay() == 4
    pair.pump()
    assert incoming(pair.seen_by_server) == [0, 1, 2, 3]
    pair.server.sessions[0].complete_range(0, 3)
    pair.pump()
    assert tokens(pair.seen_by_client) == [0, 1, 2, 3]


@pytest.mark.parametrize("start", [0, 5, 2**31, WRAP - 10])
def test_beginning_at_nothing_is_told_from_serial_number_0(start: int) -> None:
    _, session, _ = attached(start)
    session.send(*transfer())
    assert tell(session, c.SessionExpected(commands=RangeSet([(0, 0)]))) == [Expected(session, 0)]
    session.next_id = WRAP + 3
    assert tell(session, c.SessionExpected(commands=RangeSet([(0, 0)]))) == [Expected(session, WRAP)]


@pytest.mark.parametrize("expected", [5, 1000, 2**31, WRAP - 1])
def test_a_peer_that_expects_what_was_never_sent(expected: int) -> None:
    pair, session, _ = attached()
    for number in range(4):
        session.send(*transfer(number), token=number, replay=True)
    pair.client.lost()
    session.suspend()
    again(session)
    with pytest.raises(ProtocolError, match="peer expects command"):
        session.resume(expected)
    # Nothing is lost by that: another broker may know better.
    session.suspend()
    pair = again(session)
    session.resume(None)
    assert session.replay() == 4


def test_a_new_process_takes_a_session_up() -> None:
    _, session, _ = attached(17)
    assert session.send(*transfer(), token="t") == 17


def test_forget() -> None:
    pair, session, _ = attached()
    for number in range(4):
        session.send(*transfer(number), token=number % 2, replay=True)
    session.forget(0)
    pair.client.lost()
    session.suspend()
    session.forget(1)
    pair = again(session)
    session.resume(None)
    assert session.replay() == 0


def test_what_the_lost_connection_completed_says_nothing_about_the_next() -> None:
    """A broker numbers its deliveries from 0 again: they are not done because others of these ids were."""
    pair, session, other = attached()
    for number in range(5):
        other.send(*transfer(number))
    pair.pump()
    session.complete_range(0, 4)
    pair.pump()
    session.complete_range(0, 4)  # not announced
    pair.client.lost()
    session.suspend()
    pair = again(session)
    other = pair.server.sessions[0]
    for number in range(5):
        other.send(*transfer(number), token=number)
    other.send(c.ExecutionSync(), token="sync")
    pair.pump()
    assert incoming(pair.seen_by_client) == [0, 1, 2, 3, 4]
    assert tokens(pair.seen_by_server) == []
    session.complete(2)
    pair.pump()
    assert tokens(pair.seen_by_server) == [2]


def test_a_session_outlives_any_number_of_connections() -> None:
    _, session, _ = attached()
    for number in range(200):
        session.suspend()
        pair = again(session)
        session.resume(None)
        session.replay()
        session.send(*transfer(number), token=number)
        for _ in range(3):
            pair.server.sessions[0].send(*transfer())  # deliveries that are never completed
        pair.pump()
        assert not [event for event in pair.seen_by_client if isinstance(event, Broken)]
        assert incoming(pair.seen_by_client) == [0, 1, 2]


# -- peers that lie


def test_completions_of_what_was_never_sent() -> None:
    pair, session, other = attached()
    session.send(*transfer(0), token=0)
    assert tell(session, c.SessionCompleted(commands=RangeSet([(1, 1000)]))) == []
    assert tell(session, c.SessionCompleted(commands=RangeSet([(0, WRAP - 1)]))) == [Completed(session, [(0, 0)], [0])]
    assert session.send(*transfer(1), token=1) == 1
    assert not session.is_completed(1)
    assert tell(session, c.SessionCompleted()) == []
    other.complete_range(0, 1)
    pair.pump()


def test_ranges_that_end_before_they_begin() -> None:
    pair, session, _ = attached()
    session.send(*transfer(0), token=0)
    pair.pump()
    frame = bytearray(encode(0, c.SessionCompleted(commands=RangeSet([(0, 5)]))))
    at = frame.index(b"\0\0\0\0\0\0\0\5")
    frame[at : at + 8] = b"\0\0\0\5\0\0\0\0"
    events = pair.client.receive(bytes(frame))
    assert tokens(events) == []
    assert all(isinstance(event, Broken) for event in events)


def test_result_of_a_command_that_was_never_sent() -> None:
    _, session, other = attached()
    other.result(77, None)
    events = []
    session.receive(c.ExecutionResult(command_id=77), None, None, events)
    assert events == [Result(session, 77, None, None)]


def test_many_ranges_take_no_long_time() -> None:
    """As many as a frame holds, in the worst order: a second would be a way to stop a broker."""
    pair, session, other = attached()
    count = 16_000
    for number in range(count):
        session.send(*transfer(number), token=number)
    pair.pump()
    every_second = RangeSet((id, id) for id in range(1, count, 2))
    everything: list[Any] = []
    for _ in range(3):
        everything += tokens(tell(session, c.SessionCompleted(commands=every_second)))
    everything += tokens(
        tell(session, c.SessionCompleted(commands=RangeSet((id, id) for id in range(count - 2, -1, -2))))
    )
    assert sorted(everything) == list(range(count))
    assert tell(session, c.SessionCompleted(commands=RangeSet([(0, count)]))) == []
    for id in range(count - 1, -1, -2):
        other.complete(id)
    pair.pump()


# -- all of it at random


class Survival(RuleBasedStateMachine):
    """A session across connections that are cut at any byte, between a client and a broker that keeps a record.

    The broker holds what it received of the replayable commands and remembers the id of the last. Where a connection
    is lost, a tail of it may be gone that was never announced as completed: another broker takes its place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(b"s")
        self.phase = "lost"  # then resuming, recovering, attached
        self.held: list[int] = []  # numbers of replayable commands, in the order in which they came
        self.held_ids: list[int] = []
        self.safe = 0  # that many of them were completed: no broker loses them
        self.sent: list[int] = []  # numbers of replayable commands
        self.issued: list[int] = []  # tokens
        self.returned: list[int] = []
        self.syncs: dict[int, list[int]] = {}  # token of an execution.sync: ids sent before it on that connection
        self.next = 0
        self.exact = True

    @initialize(start=st.sampled_from([0, 1, 2**31 - 3, WRAP - 5, WRAP - 1]), exact=st.booleans())
    def begin(self, start: int, exact: bool) -> None:
        self.session.resume(start)
        self.exact = exact
        self.connect(False)
        self.carry_all()
        self.resume()
        self.replay()

    # -- connections

    @precondition(lambda self: self.phase == "lost")
    @rule(forgets=st.booleans())
    def connect(self, forgets: bool) -> None:
        self.pair = opened()
        self.c2s = bytearray()
        self.s2c = bytearray()
        self.pending: dict[int, int | None] = {}  # at the broker: id -> place in `held`
        self.on_wire: list[int] = []
        self.done: set[int] = set()
        self.server_session: Session | None = None
        self.expected: int | str | None = "unknown"
        # Beyond 2**32 "0" may also mean the first command of the second round.
        self.forgets = forgets and not self.exact and self.session.next_id < WRAP
        self.pair.client.attach(self.session, force=True)
        self.session.flush(expected=True)
        self.phase = "resuming"

    @precondition(lambda self: self.phase != "lost")
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        self.phase = "lost"
        self.pair.client.lost()
        self.take(self.session.suspend())
        keep = data.draw(st.integers(self.safe, len(self.held)))
        del self.held[keep:], self.held_ids[keep:]

    @rule(to_server=st.booleans(), size=st.one_of(st.integers(1, 60), st.just(1 << 20)))
    def carry(self, to_server: bool, size: int) -> None:
        if self.phase == "lost":
            return
        if to_server:
            self.c2s += self.pair.client.data_to_send()
            piece, self.c2s = bytes(self.c2s[:size]), self.c2s[size:]
            if piece:
                for event in self.pair.server.receive(piece):
                    self.at_server(event)
        else:
            self.s2c += self.pair.server.data_to_send()
            piece, self.s2c = bytes(self.s2c[:size]), self.s2c[size:]
            if piece:
                for event in self.pair.client.receive(piece):
                    self.at_client(event)

    def carry_all(self) -> None:
        while self.c2s or self.s2c or self.pair.client.has_output or self.pair.server.has_output:
            self.carry(True, 1 << 20)
            self.carry(False, 1 << 20)

    # -- the broker

    def at_server(self, event: Event) -> None:
        if isinstance(event, AttachRequested):
            self.server_session = event.session
            self.pair.server.attached(event.session)
        elif isinstance(event, ExpectedRequested):
            self.answer(event.session)
        elif isinstance(event, Incoming):
            place = None
            if type(event.command) is c.MessageTransfer:
                number = int(event.body or b"")
                if self.exact:
                    assert number not in self.held, "received twice"
                place = len(self.held)
                self.held.append(number)
                self.held_ids.append(event.id)
            self.pending[event.id] = place
        else:
            raise AssertionError(event)

    def answer(self, session: Session) -> None:
        if self.forgets:
            self.held_ids = [-1] * len(self.held)
            session.send_expected(0)
        elif not self.held or self.held_ids[-1] < 0:
            session.send_expected(None)
        else:
            last = self.held_ids[-1]
            session.next_incoming = last + 1
            session.send_expected(last + 1)
            self.pending_record = last
            self.pending[last] = len(self.held) - 1

    @precondition(lambda self: self.phase != "lost" and self.pending)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        assert self.server_session is not None
        id = data.draw(st.sampled_from(sorted(self.pending)))
        self.complete_one(id)

    def complete_one(self, id: int) -> None:
        assert self.server_session is not None
        place = self.pending.pop(id)
        if self.on_wire and expand(id % WRAP, self.session.next_id) not in self.on_wire:
            # What the record says was received on earlier connections.
            self.server_session.complete_range(max(0, id - 1000), id)
        elif not self.on_wire:
            self.server_session.complete_range(max(0, id - 1000), id)
        else:
            self.server_session.complete(id)
        self.done.add(expand(id % WRAP, self.session.next_id))
        if place is not None:
            self.safe = max(self.safe, place + 1)

    # -- the client

    def at_client(self, event: Event) -> None:
        if isinstance(event, Expected):
            self.expected = event.id
        elif isinstance(event, Completed):
            for token in event.tokens:
                for id in self.syncs.pop(token, ()):
                    assert id in self.done, "execution.sync overtook a command"
            self.take(event.tokens)
        else:
            assert isinstance(event, Attached)

    def take(self, tokens: list[int]) -> None:
        self.returned += tokens

    @precondition(lambda self: self.phase == "resuming" and self.expected != "unknown")
    @rule()
    def resume(self) -> None:
        assert not isinstance(self.expected, str)
        self.take(self.session.resume(self.expected))
        self.phase = "recovering"

    @precondition(lambda self: self.phase == "recovering")
    @rule()
    def replay(self) -> None:
        before = set(self.session._outstanding)
        self.session.replay()
        self.on_wire += [id for id in self.session._outstanding if id not in before]
        self.phase = "attached"

    def issue(self) -> int:
        self.next += 1
        self.issued.append(self.next)
        return self.next

    @precondition(lambda self: self.phase == "attached")
    @rule(tracked=st.booleans())
    def send(self, tracked: bool) -> None:
        self.next += 1
        number = self.next
        if tracked:
            self.issued.append(number)
        self.sent.append(number)
        self.on_wire.append(self.session.send(*transfer(number), token=number if tracked else None, replay=True))

    @precondition(lambda self: self.phase in ("attached", "recovering"))
    @rule(tracked=st.booleans())
    def declare(self, tracked: bool) -> None:
        token = self.issue() if tracked else None
        self.on_wire.append(self.session.send(c.QueueDeclare(queue="q"), token=token))

    @precondition(lambda self: self.phase == "attached")
    @rule()
    def sync(self) -> None:
        token = self.issue()
        self.syncs[token] = list(self.on_wire)
        self.done.add(self.session.send(c.ExecutionSync(sync=True), token=token))

    # -- what holds

    @invariant()
    def every_token_comes_back_once(self) -> None:
        assert len(set(self.returned)) == len(self.returned)
        assert set(self.returned) <= set(self.issued)

    @invariant()
    def received_in_order(self) -> None:
        first = list(dict.fromkeys(self.held))
        assert first == sorted(first)
        if self.exact:
            assert self.held == first

    def teardown(self) -> None:
        if not hasattr(self, "pair"):
            return
        if self.phase == "lost":
            self.connect(False)
        self.carry_all()
        if self.phase == "resuming":
            self.resume()
        if self.phase == "recovering":
            self.replay()
        self.carry_all()
        while self.pending:
            self.complete_one(min(self.pending))
        self.carry_all()
        self.every_token_comes_back_once()
        self.received_in_order()
        assert list(dict.fromkeys(self.held)) == self.sent
        assert sorted(self.returned) == self.issued
        assert self.session.suspend() == []
        assert self.pair.client.state is State.OPENED


TestSurvival = Survival.TestCase
TestSurvival.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_survival_of_a_long_life() -> None:
    """The same, longer than hypothesis has patience for: thousands of commands, tens of connections."""
    chance = random.Random(7)
    session = Session(b"s")
    session.resume(WRAP - 2000)
    held: list[int] = []
    last: int | None = None
    returned: list[int] = []
    number = 0
    while number < 5000:
        pair = again(session, None if last is None else last + 1)
        session.flush(expected=True)
        pair.pump()
        expected = next(event.id for event in pair.seen_by_client if isinstance(event, Expected))
        returned += session.resume(expected)
        session.replay()
        for _ in range(chance.randrange(400)):
            session.send(*transfer(number), token=number, replay=True)
            number += 1
        data = pair.client.data_to_send()
        cut = len(data) if number >= 5000 else chance.randrange(len(data) + 1)
        for event in pair.server.receive(data[:cut]):
            assert isinstance(event, Incoming)
            held.append(int(event.body or b""))
            last = event.id
            if chance.random() < 0.9:
                event.session.complete(event.id)
        returned += tokens(pair.client.receive(pair.server.data_to_send()))
        pair.client.lost()
        assert session.suspend() == []
    assert held == list(range(held[-1] + 1))
    assert len(set(returned)) == len(returned)
