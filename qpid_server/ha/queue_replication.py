"""Queues of this broker that follow queues of others (`ha-queue-replication`): which, from where, and the links.

Each follows its own queue, over a link of its own, until the queue here or there is gone, or an operator says so. A
link that breaks is opened again, to each address of the URL in turn: of a cluster the primary takes it, its backups do
not. What follows what is forgotten when this broker ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import anyio.abc
from qpid_address import BrokerAddress, BrokerURL

from ..connection import PRODUCT
from ..errors import NotAllowed, NotFound, SessionError
from ..security.tls import peer_context
from .link import Credentials, LinkError, LinkRefused, Network, PeerLink, TCPNetwork
from .queue_feed import QUEUE_SERVICE, QueueService
from .queue_replica import NothingToFollow, QueueReplica
from .records import ReplicationError

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["QueueReplication", "ReplicaStatus"]

_log = logging.getLogger("qpid_server.ha")

CONNECTING, FOLLOWING, ENDED = "connecting", "following", "ended"
"""How a queue gets on that follows another one."""

_ANSWER_TIME = 5.0
"""Seconds that a broker has to let this one in."""

Done = Callable[[Exception | None], None]


class ReplicaStatus(NamedTuple):
    """A queue that follows another one, or did.

    Attributes:
        queue: its name, here and there.
        url: where the other one is.
        status: following, connecting, or ended.
        reason: why it is not following.
    """

    queue: str
    url: str
    status: str
    reason: str


class _Copy:
    """A queue that follows, and how it gets on.

    Args:
        replica: the queue's state.
        url: where the other one is.
        done: told once how it began.
    """

    def __init__(self, replica: QueueReplica, url: BrokerURL, done: Done) -> None:
        self.replica = replica
        self.url = url
        self.status = CONNECTING
        self.reason = ""
        self.scope = anyio.CancelScope()
        self._done: Done | None = done

    @property
    def name(self) -> str:
        """Of both queues."""
        return self.replica.queue.name

    def began(self, error: Exception | None) -> None:
        """Answer the operator, if that is still to be done."""
        done, self._done = self._done, None
        if done is not None:
            done(error)

    @property
    def unanswered(self) -> bool:
        """The operator waits to hear how it began."""
        return self._done is not None

    def follows(self, address: str) -> None:
        """The other broker sends what it has."""
        if self.status != FOLLOWING:
            self.status, self.reason = FOLLOWING, ""
            _log.info("queue %s follows the one at %s", self.name, address)
            self.began(None)

    def waits(self, reason: str) -> None:
        """It does not follow at present."""
        self.status = CONNECTING
        if reason != self.reason:
            self.reason = reason
            _log.warning("queue %s does not follow: %s", self.name, reason)

    def ends(self, reason: str) -> None:
        """It follows no more, and keeps what it has."""
        self.status, self.reason = ENDED, reason
        depth = self.replica.queue.depth
        _log.warning("queue %s follows no more: %s; it keeps its %d messages", self.name, reason, depth)


class QueueReplication:
    """What of other brokers' queues this broker copies, and what of its own it lets others copy.

    Args:
        broker: this broker; it gets the service that others ask.
        network: how to reach the others; TCP, or TLS where a URL says so, where not given.
    """

    def __init__(self, broker: Broker, *, network: Network | None = None) -> None:
        self._broker = broker
        self._network = network
        self._copies: dict[str, _Copy] = {}
        self._tasks: anyio.abc.TaskGroup | None = None
        broker.internal[QUEUE_SERVICE] = QueueService(broker)
        broker.queue_replication = self

    @property
    def replicas(self) -> list[ReplicaStatus]:
        """The queues that follow others, and those that did, as far as they are there."""
        return [
            ReplicaStatus(copy.name, str(BrokerURL(None, None, copy.url.addresses)), copy.status, copy.reason)
            for copy in self._copies.values()
            if not copy.replica.queue.deleted
        ]

    async def run(self) -> None:
        """Keep the links until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            await anyio.sleep_forever()

    def replicate(self, url: str, name: str, done: Done) -> None:
        """Let a queue follow the one of its name on another broker, from now on.

        Args:
            url: the other broker; the members of its cluster, if it is in one.
            name: of both queues; the one here is there already.
            done: called with None once the queue follows, or the other broker cannot be reached for now; with the
                reason where it says no.

        Raises:
            NotFound: there is no such queue here.
            ValueError: `url` is no URL, or the queue follows one already.
            NotAllowed: this broker is a backup, and the queue its primary's.
        """
        queue = self._broker.queue(name)
        parsed = BrokerURL.parse(url)
        if not self._broker.may_dequeue(queue):
            raise NotAllowed(f"queue {name} is the primary's of this cluster, this broker is {self._broker.role}")
        former = self._copies.get(name)
        if former is not None and former.replica.queue is not queue:
            former.scope.cancel()
            former = None
        if former is not None and former.status != ENDED:
            raise ValueError(f"queue {name} follows the one at {former.url} already")
        replica = QueueReplica(self._broker, queue) if former is None else former.replica
        replica.restart()
        copy = self._copies[name] = _Copy(replica, parsed, done)
        self._start(self._follow, copy, copy.scope)

    def stop(self, name: str) -> None:
        """Let a queue follow no more. It keeps what it has; told to replicate again, it gets what it missed.

        Raises:
            NotFound: no queue of that name follows one.
        """
        copy = self._copies.get(name)
        if copy is None or copy.status == ENDED:
            raise NotFound(f"no queue {name!r} follows one of another broker")
        copy.scope.cancel()
        copy.ends("an operator ended it")
        copy.began(ValueError("an operator ended it"))

    def _start(self, task: Callable[..., Awaitable[None]], argument: Any, scope: anyio.CancelScope) -> None:
        async def scoped() -> None:
            with scope:
                await task(argument)

        assert self._tasks is not None
        self._tasks.start_soon(scoped)

    async def _follow(self, copy: _Copy) -> None:
        """Follow until there is nothing to follow any more, or the operator who waits for an answer hears a no."""
        while True:
            failures = await self._round(copy)
            refusals = [
                failure
                for failure in failures
                if isinstance(failure, NothingToFollow) or (copy.unanswered and isinstance(failure, LinkRefused))
            ]
            if refusals:
                copy.ends(str(refusals[0]))
                copy.began(refusals[0])
                self._broker.settle()
                return
            lost = copy.status == FOLLOWING and isinstance(failures[-1], LinkError)
            copy.waits("; ".join(map(str, failures)))
            copy.began(None)
            self._broker.settle()
            if not lost:
                await anyio.sleep(self._broker.options.link_maintenance_interval)

    async def _round(self, copy: _Copy) -> list[Exception]:
        """Try each address, until it followed at one. Returns why it does not any more."""
        failures: list[Exception] = []
        for address in copy.url.addresses:
            try:
                await self._follow_at(copy, address)
            except (LinkError, NothingToFollow, ReplicationError) as error:
                failures.append(error)
            except SessionError as error:
                failures.append(ReplicationError(f"{address}: not taken here: {error.description}"))
            if copy.status == FOLLOWING:
                break
        return failures

    async def _follow_at(self, copy: _Copy, address: BrokerAddress) -> None:
        """Follow the queue of the broker there until that fails, and raise why."""
        heartbeat = max(1, round(self._broker.options.link_heartbeat_interval))
        link = await self._dial(copy, address, heartbeat)
        beating = anyio.CancelScope()
        self._start(link.heartbeats, heartbeat, beating)
        try:
            batch = await _answer(link, copy.replica.request(), 2 * heartbeat)
            while True:
                copy.replica.take(batch)
                copy.follows(link.address)
                self._broker.settle()
                await link.flush()
                batch = await link.receive(2 * heartbeat)
        finally:
            beating.cancel()
            await link.aclose()

    async def _dial(self, copy: _Copy, address: BrokerAddress, heartbeat: int) -> PeerLink:
        if address.transport == "rdma":
            raise LinkRefused(f"{address}: rdma is not supported")
        options = self._broker.options
        network = self._network
        if network is None:
            network = TCPNetwork()
            network.tls = peer_context(options) if address.transport in ("ssl", "tcp+tls") else None
        user, password = copy.url.user or options.ha_username, copy.url.password or options.ha_password
        credentials = Credentials(user, password, options.ha_mechanism)
        at = address.host, address.port_or_default
        try:
            with anyio.fail_after(_ANSWER_TIME):
                return await PeerLink.open(network, *at, credentials, {}, heartbeat, service=QUEUE_SERVICE)
        except TimeoutError as error:
            raise LinkError(f"{address}: no answer within {_ANSWER_TIME:g} s") from error


async def _answer(link: PeerLink, request: bytes, silence: float) -> bytes:
    """Ask to follow, and wait for the first batch of the answer.

    Raises:
        LinkRefused: the other broker does not let its queues be copied.
    """
    link.send(request)
    await link.flush()
    try:
        return await link.receive(silence)
    except LinkRefused as error:
        if QUEUE_SERVICE not in str(error):
            raise
        raise LinkRefused(f"{link.address}: {_unknown_service(link.product)}") from error


def _unknown_service(product: str) -> str:
    if product == PRODUCT:
        return "the broker there does not let its queues be copied: it wants ha-queue-replication=yes"
    return f"the broker there, {product or 'of an unknown kind'}, has another way to copy queues than this one"
