"""What a connection machine has to tell its owner, in the order in which it happened.

Every call of `Connection.receive` returns a list of these. `Incoming` and `Completed` are the hot ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .commands import Command, ExecutionException, Struct
    from .errors import ProtocolError
    from .session import Session


class Incoming(NamedTuple):
    """A command of the peer; its owner calls `session.complete(id)` once it has been carried out."""

    session: Session
    id: int
    command: Command
    header: bytes | None
    body: bytes | None


class Completed(NamedTuple):
    """The peer completed commands of ours: the inclusive (lower, upper) ranges that are new, and their tokens."""

    session: Session
    ranges: list[tuple[int, int]]
    tokens: list[Any]


class Result(NamedTuple):
    """execution.result for a command of ours, with the token that was given with that command."""

    session: Session
    id: int
    value: Struct | None
    token: Any


class Failed(NamedTuple):
    """execution.exception: the peer refused a command of ours; it ends the session."""

    session: Session
    exception: ExecutionException


class Authenticate(NamedTuple):
    """Server: a SASL response came. Answer with `challenge`, `authenticated` or `refuse`."""

    mechanism: str
    response: bytes
    initial: bool


class OpenRequested(NamedTuple):
    """Server: connection.open came. Answer with `open_ok` or `close`."""

    virtual_host: str


class Opened(NamedTuple):
    """Client: open-ok came, the connection is usable."""

    known_hosts: list[str]


class AttachRequested(NamedTuple):
    """Server: session.attach came. The session is on its channel already, since commands may follow in the same
    read; answer with `ServerConnection.attached` or `ServerConnection.detach`."""

    session: Session
    force: bool


class Attached(NamedTuple):
    """Client: the session is attached."""

    session: Session


class DetachRequested(NamedTuple):
    """The peer ends the session. Answer with `Connection.detach`, after everything that came before."""

    session: Session


class Detached(NamedTuple):
    """The peer says that the session is attached no more; `code` is a session.detach-code, 0 where we asked for it."""

    session: Session
    code: int


class TimeoutRequested(NamedTuple):
    """The peer asks to keep the session for so many seconds without a connection; answer with `grant_timeout`."""

    session: Session
    timeout: int


class TimeoutGranted(NamedTuple):
    """The peer keeps the session for so many seconds after a detach; 0 is not at all."""

    session: Session
    timeout: int


class ExpectedRequested(NamedTuple):
    """The peer asks which command we expect next. Answer with `session.send_expected`."""

    session: Session


class Expected(NamedTuple):
    """What the peer expects next: the id of a command, or None where it knows nothing of the session."""

    session: Session
    id: int | None


class HeartbeatReceived(NamedTuple):
    """connection.heartbeat came."""


class Closed(NamedTuple):
    """The connection was closed in order: by the peer with a close-code and text, or by us and the peer agreed."""

    code: int
    text: str
    by_peer: bool


class Broken(NamedTuple):
    """The peer broke the protocol. A connection.close is queued; send it and drop the socket."""

    error: ProtocolError


Event = (
    Incoming
    | Completed
    | Result
    | Failed
    | Authenticate
    | OpenRequested
    | Opened
    | AttachRequested
    | Attached
    | DetachRequested
    | Detached
    | TimeoutRequested
    | TimeoutGranted
    | ExpectedRequested
    | Expected
    | HeartbeatReceived
    | Closed
    | Broken
)
