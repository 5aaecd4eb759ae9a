"""When a receiver asks for more messages, and a sender for what has been completed."""

from __future__ import annotations

import pytest

from qpid_messaging.amqp.commands import CreditUnit, MessageFlow, MessageTransfer
from tests.unit.client.cluster import Cluster
from tests.unit.client.harness import Harness

QUEUE = "q; {create: always}"


@pytest.mark.parametrize(
    ("capacity", "threshold", "flows"),
    [
        (10, None, {0: 10, 5: 5, 10: 5, 15: 5, 20: 5}),  # the threshold of qpid.messaging is a half
        (5, None, {0: 5, 2: 2, 4: 2, 6: 2, 8: 2}),
        (3, 1, {0: 3, 1: 1, 2: 1, 3: 1, 4: 1}),
        (3, 0, {0: 3, 3: 3, 6: 3, 9: 3, 12: 3}),
        (1, 0.5, {0: 1, 1: 1, 2: 1, 3: 1, 4: 1}),
    ],
)
def test_a_receiver_is_filled_again_from_the_threshold_on(
    capacity: int, threshold: float | None, flows: dict[int, int]
) -> None:
    cluster = Cluster()
    h = Harness(cluster).open()
    session = h.session()
    sender = h.sender(session, QUEUE)
    h.send(sender, *(b"%d" % number for number in range(30)))
    receiver = h.receiver(session, QUEUE)
    if threshold is not None:
        receiver.threshold = threshold
    cluster.commands.clear()
    receiver.set_capacity(capacity)
    seen: dict[int, int] = {}
    for taken in range(max(flows) + 1):
        h.run()
        for command in cluster.commands:
            if isinstance(command, MessageFlow) and command.unit == CreditUnit.MESSAGE:
                seen[taken] = command.value or 0
        cluster.commands.clear()
        assert 0 < receiver.available() <= capacity
        receiver.take()
    assert seen == flows


@pytest.mark.parametrize(
    ("capacity", "threshold", "asks"),
    [(10, None, [5, 10]), (5, None, [2, 4]), (4, 1, [1, 2, 3, 4]), (4, 0, [4]), (1, 0.5, [1])],
)
def test_a_sender_asks_from_the_threshold_on(capacity: int, threshold: float | None, asks: list[int]) -> None:
    cluster = Cluster()
    h = Harness(cluster).open()
    sender = h.sender(h.session(), QUEUE, capacity=capacity)
    if threshold is not None:
        sender.threshold = threshold
    h.send(sender, *(b"%d" % number for number in range(capacity)))
    assert not sender.has_capacity()
    h.run()
    sent = [command for command in cluster.commands if isinstance(command, MessageTransfer)]
    assert [number for number, command in enumerate(sent, 1) if command.sync] == asks
    assert sender.unsettled() == 0
