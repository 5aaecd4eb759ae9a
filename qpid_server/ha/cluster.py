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
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anyio
import anyio.abc

from ..management.ha import member_maps
from ..options import OptionError
from ..queue import Replicate
from ..security.tls import peer_context
from .demotion import demote, hand_over
from .difference import STANDARD, difference
from .epoch import NO_EPOCH, START, Epoch, Position, Promises
from .failover_exchange import FailoverNews
from .follower import Follower
from .following import follow_primary
from .link import PEER_PROPERTY, SERVICE, Credentials, Network, TCPNetwork
from .log import Log
from .managed_member import ManagedMember
from .membership import UNAVAILABLE, Membership
from .messages import Wall
from .promotion import (
    ACTIVE,
    CATCH_UP,
    JOINING,
    READY,
    RECOVERING,
    Candidacy,
    MemberStatus,
    Refused,
    must_step_down,
)
from .records import Record, ReplicationError, pack_entry_head, pack_index, pack_map
from .reign import check_alone, promote, reign
from .service import PeerService

if TYPE_CHECKING:
    from ..broker import Broker
    from ..connection import ConnectionHandler
    from ..timers import Timer

_log = logging.getLogger("qpid_server.ha")

CLIENT_PATIENCE = 30.0
"""Seconds that clients have after a fail-over to take up their auto-delete queues again that have no time-out: the C++
broker deletes these before anybody can."""

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
        membership: who the members are, and where.
        hint: address of the broker that most likely is the primary; tried before all others.
        handing_over: where those wait who are about to have this primary step down; it takes nothing more of clients.

    Raises:
        OptionError: `ha-brokers-url` or `ha-public-url` is no URL, the data directory cannot be used, or
            `ha-min-replicas` asks for more backups than there are.
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
            self.promises = Promises(options.data_path, uuid4().hex)
        except (OSError, ValueError) as error:
            raise OptionError(f"cannot be a member of a cluster: data-dir: {error}") from error
        try:
            self.membership = Membership(
                self.promises, options.ha_brokers_url, options.ha_public_url, self._members_changed
            )
            self.choose_network()
        except (OSError, ValueError) as error:
            raise OptionError(f"cannot be a member of a cluster: ha-brokers-url, ha-public-url: {error}") from error
        if not self.membership.virtual and options.ha_min_replicas >= self.membership.count:
            raise OptionError(
                f"ha-min-replicas is {options.ha_min_replicas}, and ha-brokers-url names {self.membership.count} "
                "brokers, one of them the primary: nothing would ever be acknowledged"
            )
        self.log = Log(broker, min_replicas=options.ha_min_replicas, wall=Wall(lambda: wall() - broker.clock()))
        self.log.on_change = self._in_sync_changed
        self.status = JOINING
        self.epoch = NO_EPOCH
        self.hint: str | None = None
        self.handing_over: list[anyio.CancelScope] = []
        self.lost_state = self.promises.had_state
        if options.ha_min_replicas and options.data_path is None:
            _log.warning("without a data directory this broker forgets its promises when it is restarted")
        self._legitimate = True
        self._expected: set[str] = set()
        self._had_in_sync = False
        self._tasks: anyio.abc.TaskGroup | None = None
        self._attempt: anyio.CancelScope | None = None
        self._poke = anyio.Event()
        self._reign: anyio.CancelScope | None = None
        self._promoting = False
        self._patience: Timer | None = None
        self._check: anyio.CancelScope | None = None
        broker.journal = self.log
        broker.ha = ManagedMember(self)
        broker.role = self.status
        broker.admission = self._admit
        broker.known_hosts = lambda: self.membership.known_hosts
        broker.internal[SERVICE] = PeerService(self)
        for name in STANDARD:
            broker.exchanges[name].replicate = Replicate.CONFIGURATION
        members = self.membership
        FailoverNews(broker, lambda: members.client_urls, lambda: member_maps(members.shown(self.status)))

    def choose_network(self) -> None:
        """Reach the members over TLS where the brokers' URL says so."""
        if isinstance(self.network, TCPNetwork):
            self.network.tls = peer_context(self.options) if self.membership.encrypted else None

    # -- changing roles ----------------------------------------------------------------------------------------

    def promote(self, *, force: bool, done: Callable[[Exception | None], None]) -> None:
        """Become the primary.

        Args:
            force: also where a better one may exist, or too few members promise.
            done: called with None, or with the reason why not.
        """
        if self._promoting:
            done(RuntimeError("a promotion is under way already"))
        elif self.handing_over:
            done(RuntimeError("this broker is being demoted"))
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

    def demote(self, *, patience: float, done: Callable[[Exception | None], None]) -> None:
        """Be the primary no more, where this broker is; it stays a member, and follows whoever is promoted next.

        Args:
            patience: seconds to wait until backups hold everything.
            done: called with None, or with the reason why not.
        """
        if self._promoting:
            done(RuntimeError("a promotion is under way"))
        elif self._tasks is None:
            done(RuntimeError("this broker is not running"))
        else:
            self._tasks.start_soon(self._demote, patience, done)

    async def _demote(self, patience: float, done: Callable[[Exception | None], None]) -> None:
        await demote(self, patience)
        done(None)
        self.broker.settle()

    # -- running -----------------------------------------------------------------------------------------------

    async def run(self, port: int) -> None:
        """Take part in the cluster until cancelled.

        Args:
            port: where this broker listens.
        """
        self.membership.port = port
        try:
            async with anyio.create_task_group() as self._tasks:
                await self._follow()
        finally:
            self._tasks = None
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
        """Start a task that lives no longer than this member runs: not at all where that is over.

        Returns:
            What cancels it.
        """
        scope = anyio.CancelScope()

        async def scoped() -> None:
            with scope:
                await task(*arguments)

        if self._tasks is not None:
            self._tasks.start_soon(scoped)
        return scope

    def look_for_primary(self) -> None:
        """Leave whom this broker follows, or stop waiting, and look for the primary now."""
        if self._attempt is not None:
            self._attempt.cancel()
        self._poke.set()

    def met(self, status: MemberStatus, own_host: str = "") -> bool:
        """A broker answered.

        Args:
            status: what it says of itself.
            own_host: this broker's host as seen from there; empty where the network does not tell.

        Returns:
            False where it is this one.
        """
        if status.broker == self.promises.broker_id:
            self.membership.own_addresses.add(status.address)
            return False
        told = status.status
        if self.log.primary and told == READY:
            # It may not have noticed yet that this primary waits for it no more: then it is none to be promoted.
            follower = self.log.followers.get(status.broker)
            told = READY if follower is not None and follower.in_sync else JOINING
        self.membership.know(status.broker, status.address, told)
        if self.membership.seen_as(own_host) and self.log.primary:
            self._tell_members()
        return True

    def member_status(self) -> MemberStatus:
        """What this member says of itself."""
        return MemberStatus(
            broker=self.promises.broker_id,
            address=self.membership.own_address,
            status=self.status,
            epoch=self.epoch,
            # In the middle of a difference it holds neither what it held nor what it will.
            position=self.log.last if self.log.whole else START,
            promised=self.promises.promised,
            lost_state=self.lost_state or not self.log.whole,
            legitimate=self._legitimate,
            in_sync=sum(follower.in_sync for follower in self.log.followers.values()),
            asynchronous=self.options.ha_async and not self.log.primary,
            knows=tuple(self.membership.ids),
        )

    def set_status(self, status: str) -> None:
        """Change the state, tell it and log it."""
        if status != self.status:
            _log.info("%s -> %s (epoch %s, index %d)", self.status, status, self.epoch, self.log.last.index)
            self.status = status
            self.broker.role = status
            self._members_changed()

    # -- clients -----------------------------------------------------------------------------------------------

    def _admit(self, connection: ConnectionHandler) -> tuple[int, str] | None:
        properties = connection.client_properties
        if PEER_PROPERTY in properties or properties.get("qpid.ha-admin"):
            return None
        if self.log.primary:
            return (DROP, "this broker is being demoted") if self.handing_over else None
        return DROP, f"this broker is not the primary of its cluster but {self.status}"

    def clients(self) -> list[ConnectionHandler]:
        """Connections that only a primary has: those of neither members nor administrators."""
        return [
            connection for connection in self._of_no_members() if not connection.client_properties.get("qpid.ha-admin")
        ]

    def _of_no_members(self) -> list[ConnectionHandler]:
        return [
            connection
            for connection in self.broker.connections
            if connection.opened and PEER_PROPERTY not in connection.client_properties
        ]

    # -- promises ----------------------------------------------------------------------------------------------

    def asked_for_promise(self, candidacy: Candidacy, answer: Callable[[], None]) -> None:
        """A candidate asks for a promise. The primary that it follows sees to it first that it holds all.

        Args:
            candidacy: what it asks.
            answer: called when it is time for `answer_promise`.
        """
        follower = self.log.followers.get(candidacy.epoch.broker)
        follows = follower is not None and follower.in_sync and not candidacy.force
        if follows and not self.handing_over and self._tasks is not None:
            self._tasks.start_soon(hand_over, self, answer)
        else:
            answer()

    def answer_promise(self, candidacy: Candidacy) -> str | None:
        """Answer a candidate: None if the promise is given (and on disk), else why not."""
        epoch, position, address, force = candidacy
        own = self.member_status()
        follower = self.log.followers.get(epoch.broker)
        if follower is not None and follower.confirmed >= self.log.last.index:
            position = own.position  # it got there since it asked
        if epoch <= self.promises.promised:
            return f"{own.address} promised {self.promises.promised} already"
        # Nobody waited for what only an asynchronous member holds.
        ahead = own.position > position and not own.asynchronous
        if ahead and (not force or (self.log.primary and own.in_sync)):
            return f"{own.address} is ahead: it is at {own.position}"
        if self.log.primary and force and own.in_sync:
            return f"{own.address} is the primary and has backups in sync"
        self.promises.promise(epoch)
        self.hint = address or None
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
            # Not even the former primary is one any more.
            self.membership.nobody_follows()
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
            if queue.used or queue.exclusive:
                self.broker.queue_unused(queue, queue.auto_delete_timeout or CLIENT_PATIENCE)

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
        # A virtual address goes with the role.
        self.membership.own_addresses.clear()
        _log.warning("stepping down as the primary of epoch %s: %s", self.epoch, reason)
        followers = list(self.log.followers.values())
        self.log.demote()
        self.set_status(JOINING)
        for follower in followers:
            self.cut_off(follower)
        for task in (self._reign, self._check, self._patience, *self.handing_over):
            if task is not None:
                task.cancel()
        self._reign = self._check = self._patience = None
        self._expected = set()
        for timer in self.broker.record_timers.values():
            timer.cancel()
        self.broker.record_timers.clear()
        clients = self.clients()
        for connection in self._of_no_members():
            # Administrators may stay, but for one who waits for what this broker can confirm no more.
            if connection in clients or connection.waiting:
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
        if Epoch.of(values["promised"]) > self.epoch:
            # It confirms nothing of this epoch any more; a new reign of this same primary heals that.
            if not self._promoting and self._tasks is not None:
                self._promoting = True
                self._tasks.start_soon(self._promote, False, lambda failure: None)
            return f"epoch {self.epoch} is older than what you promised"
        return None

    def follower_joined(self, follower: Follower, values: dict[str, Any]) -> None:
        """A backup follows: give it the rest of the log, or the difference.

        Raises:
            ReplicationError: that it joined cannot be written down.
        """
        members = self.membership.ids
        self.membership.know(follower.broker_id, follower.address, JOINING)
        self._write_down_members({*members, follower.broker_id})
        old = self.log.followers.get(follower.broker_id)
        if old is not None:
            self.log.drop_follower(old)
            # Should this be the older of two links, its end must not leave the backup waiting at the other one.
            self.cut_off(old)
        suffix = self.log.suffix(Position.of(values["position"]))
        joined = {"epoch": list(self.epoch), "broker": self.promises.broker_id, "difference": suffix is None}
        follower.push(pack_map(Record.JOINED, joined))
        if suffix is None:
            follower.flush()
            follower.catch_up(difference(self.broker, self.log, values["inventory"]))
        else:
            for index, epoch, data in suffix:
                follower.push_entry(epoch, pack_entry_head(index, len(data)), data)
            follower.push(pack_index(Record.CONFIRMED, self.log.confirmed))
        self.log.followers[follower.broker_id] = follower
        if suffix is None or follower.asynchronous:
            self.membership.know(follower.broker_id, follower.address, CATCH_UP)
        _log.info(
            "backup %s joins: %s", follower.address, "needs the difference" if suffix is None else "follows the log"
        )
        self._tell_members()
        newcomer = self.membership.virtual and follower.broker_id not in members
        if newcomer and len(members) > self.log.min_replicas > 0:
            # The others have that in writing before they confirm what comes behind it.
            follower.counted = False
            self.log.when_primary(lambda: self.log.count(follower))

    def _write_down_members(self, ids: Collection[str]) -> None:
        try:
            self.membership.write_down(ids)
        except OSError as error:
            raise ReplicationError(f"who joined cannot be written down: {error}") from error

    def forget(self, member: str, done: Callable[[Exception | None], None]) -> None:
        """Count a member no more, since it will not come back; should it, it joins like a new one.

        Args:
            member: its address or system id.
            done: called with None once the others know, or with the reason why not.
        """
        id = self.membership.find(member)
        needed = min(self.log.min_replicas, len(self.membership.ids) - 2)
        if not self.log.primary:
            done(RuntimeError(f"only the primary can do that, this broker is {self.status}"))
        elif id is None:
            done(ValueError(f"{member} is no member that is known here"))
        elif id in self.log.followers:
            done(RuntimeError(f"{member} follows this primary: stop it first"))
        elif sum(follower.in_sync for follower in self.log.followers.values()) < needed:
            # With fewer members a candidate needs fewer promises, and what is safe must be held by one that gives them.
            done(RuntimeError(f"{needed} of the other members must be ready first"))
        else:
            try:
                self.membership.forget(id)
            except OSError as error:
                done(error)
                return
            _log.info("member %s is forgotten", member)
            self._tell_members()
            self.log.when_primary(lambda: done(None))

    def cut_off(self, follower: Follower) -> None:
        """Close the link to a backup that is no follower any more; where it is alive, it joins anew."""
        service = self.broker.internal[SERVICE]
        assert isinstance(service, PeerService)
        service.drop(follower)

    def follower_lost(self, follower: Follower) -> None:
        """The link to a backup is gone."""
        if self.log.followers.get(follower.broker_id) is follower:
            _log.warning("backup %s is gone", follower.address)
            self.membership.know(follower.broker_id, follower.address, UNAVAILABLE)
            self.log.drop_follower(follower)
            self._tell_members()

    def _in_sync_changed(self) -> None:
        in_sync = [follower for follower in self.log.followers.values() if follower.in_sync]
        for follower in in_sync:
            if self.membership.peers.get(follower.broker_id, {}).get("status") != READY:
                _log.info("backup %s is ready", follower.address)
            self.membership.know(follower.broker_id, follower.address, READY)
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
        told = pack_map(Record.MEMBERS, {"members": self.membership.told(self.status)})
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
            ReplicationError: this broker promised a later epoch, or cannot write down that it promised this one.
        """
        try:
            promised = self.promises.promise(epoch)
        except OSError as error:
            raise ReplicationError(f"epoch {epoch} cannot be written down as promised: {error}") from error
        if not promised:
            raise ReplicationError(f"epoch {epoch} is older than {self.promises.promised}, which this broker promised")
        self.epoch = epoch
        if difference or self.options.ha_async:
            # An asynchronous member never gets any further: no primary calls it ready.
            self.set_status(CATCH_UP)

    def replacing(self) -> None:
        """A difference takes the place of what this broker held.

        Until the primary says that it is ready, it cannot vouch for what it held before.
        """
        self.lost_state = True

    def left_by_primary(self) -> None:
        """The link is gone. One that was to catch up and did not begin with it holds what it held."""
        if self.status == CATCH_UP and self.log.whole:
            self.set_status(JOINING)

    def ready(self) -> None:
        """The primary waits for this broker from now on."""
        self.lost_state = False
        self.set_status(READY)

    def take_members(self, values: dict[str, Any]) -> None:
        """The primary says who the members are."""
        self.membership.take(values["members"])
        self._write_down_members(self.membership.peers)
