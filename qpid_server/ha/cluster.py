"""A broker's membership in a cluster: its role, its log, and who the others are.

State and its transitions, without I/O; the tasks that dial other brokers are in `following` and `reign`. A member is
promoted from outside, never by itself.

    joining -> (catchup ->) ready     a backup that found the primary, was brought up to date, and follows
    ... -> recovering -> active       promoted: serves clients, while the backups that were ready come back
    active -> joining                 deposed by a primary of a later epoch
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import anyio
import anyio.abc
from qpid_address import BrokerURL

from ..options import OptionError
from ..queue import Replicate
from ..security.tls import peer_context
from .difference import STANDARD, difference
from .epoch import NO_EPOCH, START, Epoch, Position, Promises
from .following import follow_primary
from .link import PEER_PROPERTY, SERVICE, Credentials, Network, TCPNetwork
from .log import Follower, Log
from .promotion import ACTIVE, CATCH_UP, JOINING, READY, RECOVERING, MemberStatus, Refused, must_step_down
from .records import Record, ReplicationError, Wall, pack_index, pack_map
from .reign import check_alone, promote, reign
from .service import PeerService

if TYPE_CHECKING:
    from ..broker import Broker
    from ..connection import ConnectionHandler
    from ..timers import Timer

_log = logging.getLogger("qpid_server.ha")

DROP = 0
"""Instead of a close-code: end the connection without a word. Peers' clients take a close for final, this not."""


class Cluster:
    """This broker as a member of its cluster.

    Args:
        broker: the broker; it gets a replicated log as its journal, and clients are admitted on the primary only.
        network: how to reach the others; TCP where not given.
        wall: wall-clock seconds, for expiry times that other members understand.

    Attributes:
        status: joining, catchup, ready, recovering or active.
        epoch: the reign that this member lives under.
        log: the replicated log.
        promises: what it promised, on disk where there is a data directory.
        peers: what is known of the members, by broker id: {"address", "status"}.
        encrypted: whether members are reached over TLS.
        hint: address of the broker that most likely is the primary; tried before all others.

    Raises:
        OptionError: `ha-brokers-url` or `ha-public-url` is no URL, or the data directory cannot be used.
    """

    def __init__(
        self, broker: Broker, *, network: Network | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        options = broker.options
        self.broker = broker
        self.options = options
        self.network: Network = network or TCPNetwork()
        self.credentials = Credentials(options.ha_username, options.ha_password, options.ha_mechanism)
        try:
            self.set_brokers_url(options.ha_brokers_url)
            self.set_public_url(options.ha_public_url)
            self.promises = Promises(options.data_path, uuid4().hex)
        except (OSError, ValueError) as error:
            raise OptionError(f"cannot be a member of a cluster: {error}") from error
        self.log = Log(broker, min_replicas=options.ha_min_replicas, wall=Wall(lambda: wall() - broker.clock()))
        self.log.on_change = self._in_sync_changed
        self.status = JOINING
        self.epoch = NO_EPOCH
        self.peers: dict[str, dict[str, str]] = {}
        self.hint: str | None = None
        self.port = 0
        self.lost_state = self.promises.had_state
        if options.ha_min_replicas and options.data_path is None:
            _log.warning("without a data directory this broker forgets its promises when it is restarted")
        self._legitimate = True
        self._expected: set[str] = set()
        self._had_in_sync = False
        self._own_addresses: set[str] = set()
        self._tasks: anyio.abc.TaskGroup | None = None
        self._attempt: anyio.CancelScope | None = None
        self._poke = anyio.Event()
        self._reign: anyio.CancelScope | None = None
        self._promoting = False
        self._patience: Timer | None = None
        self._check: anyio.CancelScope | None = None
        broker.journal = self.log
        broker.ha = self
        broker.role = self.status
        broker.admission = self._admit
        broker.known_hosts = self._known_hosts
        broker.internal[SERVICE] = PeerService(self)
        for name in STANDARD:
            broker.exchanges[name].replicate = Replicate.CONFIGURATION

    # -- what management shows ---------------------------------------------------------------------------------

    @property
    def system_id(self) -> UUID:
        """Identity of this broker."""
        return UUID(self.promises.broker_id)

    @property
    def index(self) -> int:
        """Index of the last entry of this broker's log."""
        return self.log.last.index

    @property
    def replicate_default(self) -> str:
        """Replication of queues and exchanges that do not say."""
        return self.options.ha_replicate

    @property
    def members(self) -> list[dict[str, str]]:
        """The members that are known, this one included."""
        known = {self.promises.broker_id: {"address": self._own_address(), "status": self.status}, **self.peers}
        known[self.promises.broker_id]["status"] = self.status
        return [{"system-id": str(UUID(id)), **member} for id, member in known.items()]

    def set_brokers_url(self, url: str) -> None:
        """Say where the brokers of the cluster are.

        Raises:
            ValueError: it is no URL.
        """
        self.encrypted, addresses = _addresses(url)
        self.addresses = [_address(host, port) for host, port in addresses]
        self.brokers_url = url
        if isinstance(self.network, TCPNetwork):
            self.network.tls = peer_context(self.options) if self.encrypted else None

    def set_public_url(self, url: str) -> None:
        """Say where clients find the cluster; where it is empty, they use the brokers' URL.

        Raises:
            ValueError: it is no URL.
        """
        encrypted, addresses = _addresses(url or self.brokers_url)
        transport = "ssl" if encrypted else "tcp"
        self._public_hosts = [f"amqp:{transport}:{_address(host, port)}" for host, port in addresses]
        self.public_url = url or self.brokers_url

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """Become the primary.

        Args:
            force: also where a better one may exist, or too few members promise.
            done: called with None, or with the reason why not.
        """
        if self._promoting:
            done(RuntimeError("a promotion is under way already"))
        elif self.log.primary:
            done(None)
        elif self._tasks is None:
            done(RuntimeError("this broker is not running"))
        else:
            self._promoting = True
            self._tasks.start_soon(self._promote, force, done)

    async def _promote(self, force: bool, done: Callable[[Exception | None], None]) -> None:
        started = anyio.current_time()
        failure: Exception | None = None
        try:
            await promote(self, force=force)
            _log.info("promoted in %.0f ms", (anyio.current_time() - started) * 1000)
        except (Refused, OSError, ValueError) as error:
            failure = error
            _log.warning("not promoted: %s", error)
        finally:
            self._promoting = False
        done(failure)
        self.broker.settle()

    # -- running -----------------------------------------------------------------------------------------------

    async def run(self, port: int) -> None:
        """Take part in the cluster until cancelled.

        Args:
            port: where this broker listens.
        """
        self.port = port
        try:
            async with anyio.create_task_group() as self._tasks:
                await self._follow()
        finally:
            self.promises.close()

    async def _follow(self) -> None:
        """Look for a primary and follow it; while this broker is one itself, wait."""
        while True:
            if not self.log.primary and not self._promoting:
                with anyio.CancelScope() as self._attempt:
                    await follow_primary(self)
                self._attempt = None
            with anyio.move_on_after(self.options.link_maintenance_interval):
                await self._poke.wait()
            self._poke = anyio.Event()

    def start_soon(self, task: Callable[..., Awaitable[None]], *arguments: Any) -> anyio.CancelScope:
        """Start a task that lives no longer than this member runs. Returns what cancels it."""
        assert self._tasks is not None
        scope = anyio.CancelScope()

        async def scoped() -> None:
            with scope:
                await task(*arguments)

        self._tasks.start_soon(scoped)
        return scope

    def look_for_primary(self) -> None:
        """Leave whom this broker follows, or stop waiting, and look for the primary now."""
        if self._attempt is not None:
            self._attempt.cancel()
        self._poke.set()

    def addresses_of_others(self) -> list[str]:
        """Where other members may be: the most likely primary first, then those of the URL, then those met."""
        known = [self.hint] if self.hint else []
        known += self.addresses
        known += [member["address"] for id, member in self.peers.items() if id != self.promises.broker_id]
        return [address for address in dict.fromkeys(known) if address not in self._own_addresses]

    def met(self, status: MemberStatus) -> bool:
        """A broker answered. Returns False where it is this one."""
        if status.broker == self.promises.broker_id:
            self._own_addresses.add(status.address)
            return False
        self._know(status.broker, status.address, status.status)
        return True

    def _know(self, broker_id: str, address: str, status: str) -> None:
        """A member is at that address; one that was there before under another id lost its data directory."""
        gone = [id for id, member in self.peers.items() if member["address"] == address and id != broker_id]
        for id in gone:
            del self.peers[id]
        self.peers[broker_id] = {"address": address, "status": status}

    @property
    def member_count(self) -> int:
        """N: the brokers that `ha-brokers-url` lists; where that is one address, every member ever met."""
        return len(self.addresses) if len(self.addresses) > 1 else len({*self.peers, self.promises.broker_id})

    def member_status(self) -> MemberStatus:
        """What this member says of itself."""
        return MemberStatus(
            broker=self.promises.broker_id,
            address=self._own_address(),
            status=self.status,
            epoch=self.epoch,
            # In the middle of a difference it holds neither what it held nor what it will.
            position=self.log.last if self.log.whole else START,
            promised=self.promises.promised,
            lost_state=self.lost_state or not self.log.whole,
            legitimate=self._legitimate,
            in_sync=sum(follower.in_sync for follower in self.log.followers.values()),
        )

    def set_status(self, status: str) -> None:
        """Change the state, tell it and log it."""
        if status != self.status:
            _log.info("%s -> %s (epoch %s, index %d)", self.status, status, self.epoch, self.log.last.index)
            self.status = status
            self.broker.role = status
            self._members_changed()

    def _own_address(self) -> str:
        own = [address for address in self.addresses if address in self._own_addresses]
        return own[0] if own else _address("localhost", self.port)

    # -- clients -----------------------------------------------------------------------------------------------

    def _admit(self, connection: ConnectionHandler) -> tuple[int, str] | None:
        properties = connection.client_properties
        if self.log.primary or PEER_PROPERTY in properties or properties.get("qpid.ha-admin"):
            return None
        return DROP, f"this broker is not the primary of its cluster but {self.status}"

    def _known_hosts(self) -> list[str]:
        return self._public_hosts

    # -- promises ----------------------------------------------------------------------------------------------

    def answer_promise(self, values: dict[str, Any]) -> str | None:
        """A candidate asks for a promise: None if it is given (and on disk), else why not."""
        epoch = Epoch(*values["epoch"])
        counter, broker, index = values["position"]
        position = Position(Epoch(counter, broker), index)
        own = self.member_status()
        if epoch <= self.promises.promised:
            return f"{own.address} promised {self.promises.promised} already"
        if own.position > position and (not values["force"] or (self.log.primary and own.in_sync)):
            return f"{own.address} is ahead: it is at {own.position}"
        if self.log.primary and values["force"] and own.in_sync:
            return f"{own.address} is the primary and has backups in sync"
        self.promises.promise(epoch)
        self.hint = str(values["address"]) or None
        return None

    def promise_given(self) -> None:
        """A promise was answered: whoever reigns under an older epoch gets no more confirmations from here."""
        if self.log.primary:
            self.step_down(f"promised epoch {self.promises.promised}")
        else:
            self.look_for_primary()

    # -- as a primary ------------------------------------------------------------------------------------------

    def become_primary(self, epoch: Epoch, *, legitimate: bool, expected: set[str]) -> None:
        """Reign from now on.

        Args:
            epoch: the new reign.
            legitimate: all the promises that are needed were given.
            expected: ids of the backups that were ready before: completions of messages wait for them.
        """
        inherited = not self.log.primary
        self.epoch = epoch
        self.lost_state = False
        self._legitimate = legitimate
        if inherited:
            self._expected = expected
            self._had_in_sync = False
            if expected:
                self.log.hold("recovering", configuration=False)
                patience = self.options.ha_backup_timeout
                self._patience = self.broker.timers.at(self.broker.clock() + patience, self._recovered)
        self.log.promote(epoch, inherited=inherited)
        if inherited:
            self._start_expiry()
            self._reign = self.start_soon(reign, self)
            self.set_status(RECOVERING if expected else ACTIVE)
        self.broker.settle()

    def _start_expiry(self) -> None:
        """Sessions that nobody takes up again end, and so do queues; their time starts anew with the new primary."""
        records = self.broker.session_records
        for (user, name), _ in list(records.items()):
            timeout = records.timeouts.get((user, name)) or self.options.session_max_timeout
            self.broker.keep_record(user, name, timeout)
        for queue in list(self.broker.queues.values()):
            if queue.auto_delete_timeout > 0:
                self.broker.queue_unused(queue)

    def _recovered(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if self.status == RECOVERING:
            if self._expected:
                _log.warning("went on without %d backups that were expected back", len(self._expected))
            self._expected = set()
            self.set_status(ACTIVE)
            self.log.release("recovering")
            self.broker.settle()

    def step_down(self, reason: str) -> None:
        """Reign no more: turn the clients away and look for the new primary."""
        _log.warning("stepping down as the primary of epoch %s: %s", self.epoch, reason)
        followers = list(self.log.followers.values())
        self.log.demote()
        self.set_status(JOINING)
        for follower in followers:
            self.cut_off(follower)
        for task in (self._reign, self._check, self._patience):
            if task is not None:
                task.cancel()
        self._reign = self._check = self._patience = None
        self._expected = set()
        for timer in self.broker.record_timers.values():
            timer.cancel()
        self.broker.record_timers.clear()
        for connection in list(self.broker.connections):
            if PEER_PROPERTY not in connection.client_properties and not connection.client_properties.get(
                "qpid.ha-admin"
            ):
                connection.abort("this broker is the primary of its cluster no more")
        self.look_for_primary()

    def deposed_by(self, others: list[MemberStatus]) -> bool:
        """Step down where one of the others deposes this primary. Returns whether it does."""
        deposer = must_step_down(self.member_status(), others) if self.log.primary else None
        if deposer is None:
            return False
        if deposer.primary:
            self.hint = deposer.address
        self.step_down(f"{deposer.address} is {deposer.status} under epoch {deposer.epoch}")
        return True

    def primary_announced(self, address: str, epoch: Epoch) -> None:
        """A primary says that it reigns; one that this broker must not follow any more changes nothing."""
        if not self.log.primary and epoch >= self.promises.promised:
            self.hint = address
            self.look_for_primary()

    def refuse_join(self, values: dict[str, Any]) -> str | None:
        """A backup wants to follow: why not, or None."""
        if not self.log.primary:
            return f"not the primary but {self.status}"
        if Epoch(*values["promised"]) > self.epoch:
            # It confirms nothing of this epoch any more; a new reign of this same primary heals that.
            if not self._promoting and self._tasks is not None:
                self._promoting = True
                self._tasks.start_soon(self._promote, False, lambda failure: None)
            return f"epoch {self.epoch} is older than what you promised"
        return None

    def follower_joined(self, follower: Follower, values: dict[str, Any]) -> None:
        """A backup follows: give it the rest of the log, or the difference."""
        old = self.log.followers.get(follower.broker_id)
        if old is not None:
            self.log.drop_follower(old)
            # Should this be the older of two links, its end must not leave the backup waiting at the other one.
            self.cut_off(old)
        counter, broker, index = values["position"]
        suffix = self.log.suffix(Position(Epoch(counter, broker), index))
        joined = {"epoch": list(self.epoch), "broker": self.promises.broker_id, "difference": suffix is None}
        follower.push(pack_map(Record.JOINED, joined))
        if suffix is None:
            follower.flush()
            follower.catch_up(difference(self.broker, self.log, values["inventory"]))
        else:
            for entry in suffix:
                follower.push_entry(*entry)
            follower.push(pack_index(Record.CONFIRMED, self.log.confirmed))
        self.log.followers[follower.broker_id] = follower
        self._know(follower.broker_id, follower.address, CATCH_UP if suffix is None else JOINING)
        _log.info(
            "backup %s joins: %s", follower.address, "needs the difference" if suffix is None else "follows the log"
        )
        self._tell_members()

    def cut_off(self, follower: Follower) -> None:
        """Close the link to a backup that is no follower any more; where it is alive, it joins anew."""
        service = self.broker.internal[SERVICE]
        assert isinstance(service, PeerService)
        service.drop(follower)

    def follower_lost(self, follower: Follower) -> None:
        """The link to a backup is gone."""
        if self.log.followers.get(follower.broker_id) is follower:
            _log.warning("backup %s is gone", follower.address)
            self._know(follower.broker_id, follower.address, "unavailable")
            self.log.drop_follower(follower)
            self._tell_members()

    def _in_sync_changed(self) -> None:
        in_sync = [follower for follower in self.log.followers.values() if follower.in_sync]
        for follower in in_sync:
            if self.peers.get(follower.broker_id, {}).get("status") != READY:
                _log.info("backup %s is ready", follower.address)
            self._know(follower.broker_id, follower.address, READY)
            self._expected.discard(follower.broker_id)
        if self.status == RECOVERING and not self._expected:
            # Not from within the log's own bookkeeping.
            self.broker.timers.at(self.broker.clock(), self._recovered)
        if self._had_in_sync and not in_sync and self.log.primary and not self.log.min_replicas:
            # Before it goes on alone it must know that it was not left behind by a new primary.
            self.log.hold("alone", configuration=True)
            if self._check is not None:
                self._check.cancel()
            self._check = self.start_soon(check_alone, self)
        self._had_in_sync = bool(in_sync)
        self._tell_members()

    def _tell_members(self) -> None:
        known = {**self.peers, self.promises.broker_id: {"address": self._own_address(), "status": self.status}}
        told = pack_map(Record.MEMBERS, {"members": [{"id": id, **member} for id, member in known.items()]})
        for follower in self.log.followers.values():
            follower.push(told)
        self._members_changed()

    def _members_changed(self) -> None:
        for observer in self.broker.observers:
            observer.members_changed()

    # -- as a backup: what the primary says ------------------------------------------------------------------------

    def promised_above(self, epoch: Epoch) -> bool:
        """Whether this broker promised a later epoch, and so confirms nothing of that one any more."""
        return self.promises.promised > epoch

    def joined(self, epoch: Epoch, *, difference: bool) -> None:
        """The primary took this broker in.

        Raises:
            ReplicationError: this broker promised a later epoch.
        """
        if not self.promises.promise(epoch):
            raise ReplicationError(f"epoch {epoch} is older than {self.promises.promised}, which this broker promised")
        self.epoch = epoch
        if difference:
            # Until the primary says that it is ready, it cannot vouch for what it held before.
            self.lost_state = True
            self.set_status(CATCH_UP)

    def ready(self) -> None:
        """The primary waits for this broker from now on."""
        self.lost_state = False
        self.set_status(READY)

    def take_members(self, values: dict[str, Any]) -> None:
        """The primary says who the members are."""
        self.peers = {
            str(member["id"]): {"address": str(member["address"]), "status": str(member["status"])}
            for member in values["members"]
            if member["id"] != self.promises.broker_id
        }
        self._members_changed()


def _addresses(url: str) -> tuple[bool, list[tuple[str, int]]]:
    """Whether they speak TLS, and the hosts and ports of a URL."""
    if not url:
        return False, []
    addresses = BrokerURL.parse(url).addresses
    transports = {"ssl" if address.transport == "tcp+tls" else address.transport for address in addresses}
    if transports not in ({"tcp"}, {"ssl"}):
        # Members tell each other hosts and ports only.
        raise ValueError(f"{url}: brokers are linked over tcp or over ssl, and all of them over the same")
    return transports == {"ssl"}, [(address.host, address.port_or_default) for address in addresses]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
