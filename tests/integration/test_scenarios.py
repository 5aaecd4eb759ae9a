"""Fail-over, scenario by scenario: the primary is killed while clients do this or that. See `tests.integration.stage`.

On the surviving path nothing is lost, nothing is stored twice, and nothing comes again once its acknowledgement has
returned. On the other one nothing is lost, and what comes again was on its way when the primary died.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from qpid_messaging import Empty, Message, TransactionAborted, TransactionUnknown
from tests.integration.cluster import ClusterOfProcesses
from tests.integration.relay import Relay
from tests.integration.stage import Player, Stage

OPTIONS = ("--ha-replicate", "all", "--ha-min-replicas", "1", "--link-heartbeat-interval", "2")
MANY = 10_000

pytestmark = pytest.mark.timeout(150)


@pytest.fixture(scope="module")
def stage(kept_running: set[int]) -> Iterator[Stage]:
    with ClusterOfProcesses(options=OPTIONS) as cluster:
        cluster.ready()
        yield Stage(cluster, kept_running)


def once(contents: list[Any]) -> list[Any]:
    """Without repetitions, which come later than what they repeat."""
    return list(dict.fromkeys(contents))


def numbers(count: int) -> list[str]:
    return [f"{n}" for n in range(count)]


def check_stored(stage: Stage, player: Player, sent: list[str], *, repeated: int) -> None:
    """What was sent is stored, in order; at most so many of it twice, and none of it on the surviving path."""
    stored = stage.drained(player.queue())
    assert once(stored) == sent, f"{player.name}: lost or out of order"
    assert len(stored) - len(sent) <= (0 if player.surviving else repeated), f"{player.name}: stored twice"


# -- sending -----------------------------------------------------------------------------------------------------------


def test_asynchronous_sends(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        sender = await connection.session().sender(player.address())
        await player.hold()
        count = player.notes["sent"] = MANY if player.surviving else 1000
        for n in range(count):
            await sender.send(f"{n}", sync=False)
        assert sender.unsettled() == count
        player.begin()
        await sender.sync(timeout=60)
        assert sender.unsettled() == 0
        assert connection.stats.resent == count
        assert connection.stats.fail_overs == 1
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, numbers(player.notes["sent"]), repeated=0)


def test_asynchronous_sends_of_which_some_arrived(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        sender = await connection.session().sender(player.address(), capacity=500)
        count = 0
        while not player.recovered.is_set() or count < 1500:
            await sender.send(f"{count}", sync=False)
            count += 1
            if count == 500:
                player.begin()
        await sender.sync(timeout=20)
        player.was_soon()
        player.notes["sent"] = count
        await connection.close()

    for player in stage.play(scenario):
        check_stored(stage, player, numbers(player.notes["sent"]), repeated=500)


def test_synchronous_sends(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        sender = await connection.session().sender(player.address())
        count = 0
        while not player.recovered.is_set() or count < 60:
            await sender.send(f"{count}")
            count += 1
            if count == 20:
                player.begin()
        await sender.send(f"{count}")
        player.was_soon()
        player.notes["sent"] = count + 1
        await connection.close()

    for player in stage.play(scenario):
        check_stored(stage, player, numbers(player.notes["sent"]), repeated=1)


def test_a_synchronous_send_that_did_not_arrive(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        sender = await connection.session().sender(player.address())
        await sender.send("0")
        await player.hold()
        player.begin()
        await sender.send("1")
        player.was_soon()
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, numbers(2), repeated=0)


# -- receiving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [0, 10])
def test_fetch(stage: Stage, capacity: int) -> None:
    async def scenario(player: Player) -> None:
        connection, other = await player.connect(), await player.connect()
        session = connection.session()
        receiver = await session.receiver(player.address(), capacity=capacity)
        sender = await other.session().sender(player.address())

        async def fetch() -> None:
            player.begin()
            assert (await receiver.fetch(timeout=30)).content == "0"
            player.was_soon()

        async def send() -> None:
            await player.recovery()
            await sender.send("0")

        await player.together(fetch, send)
        await session.acknowledge()
        await connection.close()
        await other.close()

    for player in stage.play(scenario):
        check_stored(stage, player, [], repeated=0)


@pytest.mark.parametrize("capacity", [0, 4])
def test_between_fetch_and_acknowledge(stage: Stage, capacity: int) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session()
        sender = await session.sender(player.address())
        for n in range(10):
            await sender.send(f"{n}")
        receiver = await session.receiver(player.address(), capacity=capacity)
        fetched = [(await receiver.fetch(timeout=5)).content for _ in range(5)]
        assert fetched == numbers(10)[:5]
        waiting = await session.receiver(player.address("empty"))

        async def wait() -> None:
            player.begin()
            with pytest.raises(Empty):
                await waiting.fetch(timeout=1)

        await player.together(wait, player.recovery)
        await session.acknowledge()
        player.was_soon()
        while True:
            try:
                fetched.append((await receiver.fetch(timeout=0)).content)
            except Empty:
                break
        await session.acknowledge()
        if player.surviving:
            assert fetched == numbers(10), "acknowledged, and seen again"
            assert connection.stats.claims_lost == 0
        else:
            assert sorted(set(fetched)) == numbers(10)
        await connection.close()

    for player in stage.play(scenario):
        check_stored(stage, player, [], repeated=0)


def test_an_acknowledgement_that_did_not_arrive(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session()
        sender, receiver = await session.sender(player.address()), await session.receiver(player.address(), capacity=10)
        for n in range(10):
            await sender.send(f"{n}")
        assert [(await receiver.fetch(timeout=5)).content for _ in range(10)] == numbers(10)
        await player.hold()
        player.begin()
        await session.acknowledge()
        player.was_soon()
        await sender.send("10")
        again = [(await receiver.fetch(timeout=5)).content]
        while again[-1] != "10":
            again.append((await receiver.fetch(timeout=5)).content)
        await session.acknowledge()
        assert again == ["10"] if player.surviving else set(again) <= {*numbers(10), "10"}
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, [], repeated=0)


@pytest.mark.parametrize("capacity", [0, 20])
def test_acknowledging_one_by_one(stage: Stage, capacity: int) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session()
        sender = await session.sender(player.address())
        for n in range(20):
            await sender.send(f"{n}", sync=False)
        receiver = await session.receiver(player.address(), capacity=capacity)
        count, seen = 20, list[str]()
        while not player.recovered.is_set() or count < 60:
            await sender.send(f"{count}", sync=False)
            count += 1
            message: Message = await receiver.fetch(timeout=20)
            await session.acknowledge(message)
            seen.append(message.content)
            if len(seen) == 20:
                player.begin()
        await sender.sync(timeout=10)
        while set(seen) != set(numbers(count)):
            message = await receiver.fetch(timeout=10)
            await session.acknowledge(message)
            seen.append(message.content)
        player.was_soon()
        assert once(seen) == numbers(count)
        if player.surviving:
            assert seen == once(seen), "acknowledged, and seen again"
        await connection.close()

    for player in stage.play(scenario):
        check_stored(stage, player, [], repeated=0)


# -- opening -----------------------------------------------------------------------------------------------------------


def test_open(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = player.connection()
        await player.hold()
        player.begin()
        await connection.open()
        player.was_soon()
        await (await connection.session().sender(player.address())).send("0")
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, ["0"], repeated=0)


@pytest.mark.parametrize("link", ["sender", "receiver"])
def test_address_resolution(stage: Stage, link: str) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session()
        await player.hold()
        player.begin()
        if link == "sender":
            sender = await session.sender(player.address())
        else:
            receiver = await session.receiver(player.address())
        player.was_soon()
        if link == "receiver":
            sender = await session.sender(player.address())
        await sender.send("0")
        if link == "receiver":
            assert (await receiver.fetch(timeout=5)).content == "0"
            await session.acknowledge()
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, ["0"] if link == "sender" else [], repeated=0)


# -- transactions ------------------------------------------------------------------------------------------------------


def test_before_a_commit(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        plain = connection.session()
        await (await plain.sender(player.address("in"))).send("stays")
        session = connection.session(transactional=True)
        await (await session.sender(player.address())).send("gone")
        await (await session.receiver(player.address("in"))).fetch(timeout=5)
        await session.acknowledge()
        waiting = await plain.receiver(player.address("empty"))

        async def wait() -> None:
            player.begin()
            with pytest.raises(Empty):
                await waiting.fetch(timeout=1)

        await player.together(wait, player.recovery)
        with pytest.raises(TransactionAborted):
            await session.commit()
        player.was_soon()
        with pytest.raises(TransactionAborted):
            await session.sender(player.address())
        await session.close()
        session = connection.session(transactional=True)
        await (await session.sender(player.address())).send("0")
        await session.commit()
        await connection.close()

    for player in stage.play(scenario):
        check_stored(stage, player, ["0"], repeated=0)
        assert stage.drained(player.queue("in")) == ["stays"]


def test_a_commit_that_did_not_arrive(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session(transactional=True)
        sender = await session.sender(player.address())
        await sender.send("0")
        await session.commit()
        await sender.send("gone")
        await player.hold()
        player.begin()
        # Without a record nobody can tell; with one, it can be told that it was not.
        with pytest.raises(TransactionAborted if player.surviving else TransactionUnknown):
            await session.commit()
        if player.surviving:
            player.was_soon()
        await connection.close()

    for player in stage.play(scenario, holding=stage.stop):
        check_stored(stage, player, ["0"], repeated=0)


def test_a_commit_whose_answer_is_lost(stage: Stage) -> None:
    """The primary carries the commit out and is killed before anybody hears of it."""
    muted = False

    def mute() -> None:
        nonlocal muted
        muted = True

    def carried_out(players: list[Player]) -> None:
        nonlocal muted
        for player in players:
            assert stage.drained(player.queue("probe")) == ["1"]
        muted = False

    async def scenario(player: Player) -> None:
        connection = await player.connect()
        session = connection.session(transactional=True)
        sender, probe = await session.sender(player.address()), await session.sender(player.address("probe"))
        receiver = await session.receiver(player.address("in"))
        await (await connection.session().sender(player.address("in"))).send("taken")
        await sender.send("1")
        await probe.send("1")
        await receiver.fetch(timeout=5)
        await session.acknowledge()
        await player.hold()
        player.begin()
        if player.surviving:
            await session.commit()
            player.was_soon()
            await sender.send("2")
            await session.commit()
        else:
            with pytest.raises(TransactionUnknown):
                await session.commit()
        await connection.close()

    relays = [Relay(member.port, lambda data: b"" if muted else data) for member in stage.cluster.members]
    try:
        urls = [relay.url for relay in relays]
        for player in stage.play(scenario, urls=urls, holding=mute, waiting=carried_out):
            check_stored(stage, player, ["1", "2"] if player.surviving else ["1"], repeated=0)
            assert stage.drained(player.queue("in")) == []
    finally:
        for relay in relays:
            relay.__exit__()


def test_one_commit_after_the_other(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()
        committed: list[str] = []
        unknown: list[str] = []
        number = 0
        while not player.recovered.is_set() or number < 40:
            session = connection.session(transactional=True)
            try:
                sender = await session.sender(player.address())
                while not player.recovered.is_set() or number < 40:
                    parts = [f"{number}.{part}" for part in range(3)]
                    number += 1
                    if number == 10:
                        player.begin()
                    for part in parts:
                        await sender.send(part, sync=False)
                    try:
                        await session.commit()
                    except TransactionUnknown:
                        assert not player.surviving, "there is a record"
                        unknown += parts
                        raise
                    committed += parts
            except (TransactionAborted, TransactionUnknown):
                await session.close()
        player.was_soon()
        player.notes.update(committed=committed, unknown=unknown)
        await connection.close()

    for player in stage.play(scenario):
        stored = stage.drained(player.queue())
        assert stored in (
            player.notes["committed"],
            sorted(player.notes["committed"] + player.notes["unknown"], key=lambda part: [*map(int, part.split("."))]),
        ), player.name


# -- many at once ------------------------------------------------------------------------------------------------------


def test_ten_threads_or_tasks_on_one_connection(stage: Stage) -> None:
    async def scenario(player: Player) -> None:
        connection = await player.connect()

        async def work(number: int) -> None:
            session = connection.session()
            sender = await session.sender(player.address(f"{number}"), capacity=10)
            receiver = await session.receiver(player.address(f"{number}"), capacity=number)
            seen: list[Any] = []
            count = 0
            while not player.recovered.is_set() or count < 60:
                await sender.send(f"{count}", sync=count % 3 == 0)
                count += 1
                if count % 5 == 0:
                    seen += [(await receiver.fetch(timeout=30)).content for _ in range(3)]
                    await session.acknowledge(sync=count % 2 == 0)
                if count == 20 and number == 9:
                    player.begin()
            while len(set(seen)) < count:
                seen.append((await receiver.fetch(timeout=10)).content)
                await session.acknowledge(sync=False)
            await session.acknowledge()
            player.was_soon()
            assert once(seen) == numbers(count), number
            if player.surviving:
                assert seen == once(seen), number
            await session.close()

        await player.together(*(lambda number=number: work(number) for number in range(10)))
        assert connection.stats.fail_overs == 1
        await connection.close()

    for player in stage.play(scenario):
        assert stage.drained(player.queue("0")) == []
