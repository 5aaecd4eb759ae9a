"""The service `qpid.ha`: what other brokers ask of this one.

A peer subscribes, sends batches of records, and gets batches back. One that joins becomes a follower of the log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp import commands as c

from ..errors import InvalidArgument, UnauthorizedAccess
from .epoch import Epoch
from .follower import Follower
from .link import PEER_PROPERTY, SERVICE
from .promotion import Candidacy
from .records import (
    MALFORMED,
    Record,
    ReplicationError,
    bytes_in,
    pack_map,
    text_in,
    unpack_index,
    unpack_map,
    unpack_records,
)

if TYPE_CHECKING:
    from ..session import SessionHandler
    from .cluster import Cluster


_log = logging.getLogger("qpid_server.ha")


class Peer:
    """A session of another broker."""

    def __init__(self, session: SessionHandler, destination: str) -> None:
        self.session = session
        self.follower: Follower | None = None
        self._transfer = c.MessageTransfer(
            destination=destination, accept_mode=c.AcceptMode.NONE, acquire_mode=c.AcquireMode.PRE_ACQUIRED
        )

    def send(self, batch: bytes) -> None:
        """Send a batch to the peer."""
        self.session.machine.send(self._transfer, None, batch)
        self.session.broker.pending[self.session.connection] = None


class PeerService:
    """Answers the peers of one broker.

    Args:
        cluster: whose membership and log they ask about.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._peers: dict[SessionHandler, Peer] = {}

    def subscribe(self, session: SessionHandler, command_id: int, command: Any) -> None:
        """A peer wants our batches."""
        self._authorize(session)
        self._peers[session] = Peer(session, command.destination)
        session.machine.complete(command_id)

    def flow(self, session: SessionHandler, destination: str, unit: int, value: int) -> None:
        """Credit: peers give it without limit."""

    def cancel(self, session: SessionHandler, destination: str) -> None:
        """A peer wants no more."""
        self.detached(session)

    def refresh(self, session: SessionHandler) -> None:
        """A peer reads again: the log sees that by itself."""

    def detached(self, session: SessionHandler) -> None:
        """A peer is gone."""
        peer = self._peers.pop(session, None)
        if peer is not None and peer.follower is not None:
            self._cluster.follower_lost(peer.follower)

    def transfer(self, session: SessionHandler, command_id: int, header: bytes | None, body: bytes | None) -> None:
        """A batch of a peer."""
        self._authorize(session)
        peer = self._peers.get(session)
        if peer is None:
            raise InvalidArgument(f"a transfer to {SERVICE} comes after a subscription")
        session.machine.complete(command_id)
        try:
            for kind, payload in unpack_records(body or b""):
                self._take(peer, kind, payload)
        except (ReplicationError, *MALFORMED) as error:
            raise InvalidArgument(f"a batch cannot be understood: {error}") from error

    def drop(self, follower: Follower) -> None:
        """Cut a follower off."""
        for peer in list(self._peers.values()):
            if peer.follower is follower:
                peer.session.connection.close(c.CloseCode.CONNECTION_FORCED, "no longer following this broker")

    def _authorize(self, session: SessionHandler) -> None:
        connection = session.connection
        user = self._cluster.options.ha_username
        if PEER_PROPERTY not in connection.client_properties:
            raise UnauthorizedAccess(f"{SERVICE} is for the brokers of the cluster")
        if self._cluster.options.auth and user and connection.user.partition("@")[0] != user:
            raise UnauthorizedAccess(f"{SERVICE} is for user {user!r}")

    def _take(self, peer: Peer, kind: int, payload: bytes) -> None:
        cluster = self._cluster
        if kind == Record.POSITION:
            if peer.follower is not None:
                cluster.log.confirm_follower(peer.follower, unpack_index(payload))
        elif kind == Record.STATUS:
            peer.send(pack_map(Record.STATUS_IS, cluster.member_status().to_map()))
        elif kind == Record.PROMISE:
            candidacy = Candidacy.from_map(unpack_map(payload))
            cluster.asked_for_promise(candidacy, lambda: self._answer_promise(peer, candidacy))
        elif kind == Record.ACTIVE:
            values = unpack_map(payload)
            cluster.primary_announced(text_in(values, "address"), Epoch.of(values["epoch"]))
        elif kind == Record.JOIN:
            self._join(peer, unpack_map(payload))
        else:
            raise ReplicationError(f"record {kind} is none that a peer sends")

    def _answer_promise(self, peer: Peer, candidacy: Candidacy) -> None:
        if peer.session not in self._peers:
            return  # it did not wait for the answer
        cluster = self._cluster
        try:
            refusal = cluster.answer_promise(candidacy)
        except OSError as error:
            _log.error("cannot write down a promise: %s", error)
            refusal = f"the promise cannot be written down: {error}"
        if refusal is None:
            peer.send(pack_map(Record.PROMISED, cluster.member_status().to_map()))
            cluster.promise_given()
        else:
            peer.send(pack_map(Record.REFUSED, {"text": refusal, **cluster.member_status().to_map()}))

    def _join(self, peer: Peer, values: dict[str, Any]) -> None:
        bytes_in(values, "inventory")
        refusal = self._cluster.refuse_join(values)
        if refusal is not None:
            peer.send(pack_map(Record.REFUSED, {"text": refusal}))
            return
        follower = Follower(
            text_in(values, "broker"),
            text_in(values, "address"),
            peer.send,
            asynchronous=bool(values.get("async")),
            congested=lambda: peer.session.connection.congested,
        )
        peer.follower = follower
        peer.session.connection.awaited = True
        self._cluster.follower_joined(follower, values)
