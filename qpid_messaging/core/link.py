"""What senders and receivers have in common: an address, and being linked to its node."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..address import ParseError, parse
from ..exceptions import MalformedAddress, MessagingError
from . import nodes
from .endpoint import Endpoint
from .options import validate
from .tasks import Task

if TYPE_CHECKING:
    from ..amqp.commands import Command
    from .session import SessionCore
    from .tasks import Steps


#: The part of a capacity that may be left before more is asked for.
THRESHOLD = 0.5


class LinkState(enum.Enum):
    """Where a link stands on the wire of the current connection."""

    UNLINKED = enum.auto()
    LINKING = enum.auto()
    LINKED = enum.auto()
    UNLINKING = enum.auto()
    CLOSED = enum.auto()


class LinkCore(Endpoint):
    """One end of a link.

    Args:
        session: the session that it belongs to.
        address: the address; a name that begins with `#` stands for a node of its own, made for this link.

    Attributes:
        state: where it stands on the wire.
        closing: whether it shall be closed.
        address: the address as given, but for the name of a temporary node, which is made here.

    Raises:
        MalformedAddress: the address does not parse.
        InvalidOption: it has an option that does not exist or an impossible value.
    """

    ROLE = ""

    def __init__(self, session: SessionCore, address: str | None) -> None:
        self.session = session
        self.state = LinkState.UNLINKED
        self.closing = False
        self._was_linked = False
        self.address, self.name, self.subject, self.options = self._parse(address)
        validate(self.ROLE, self.options)
        self.link_options: dict[str, Any] = self.options.get("link") or {}

    def _parse(self, address: str | None) -> tuple[str, str, str | None, dict[str, Any]]:
        if not isinstance(address, str):
            raise MalformedAddress(text=f"a {self.ROLE}'s address is text, not {address!r}")
        try:
            name, subject, options = parse(address)
        except ParseError as error:
            raise MalformedAddress(text=str(error)) from error
        options = dict(options or {})
        if address.startswith("#"):
            # A node of our own. The name is made once, so that it is the same after a fail-over, and for those who are
            # given the address: the other end of a request, for one.
            unique = str(uuid4())
            address, name = unique + address, unique + name
            node = dict(options.get("node") or {})
            node["x-declare"] = {"auto-delete": True, "exclusive": True, **(node.get("x-declare") or {})}
            options["create"] = "always"
            options["node"] = node
        return address, name, subject, options

    @property
    def closed(self) -> bool:
        """Whether it is gone, by request or by an error."""
        return self.state is LinkState.CLOSED

    @property
    def linked(self) -> bool:
        """Whether it can be used now."""
        return self.state is LinkState.LINKED

    def close(self) -> None:
        """Want it to be closed."""
        self.closing = True
        self.session.reconcile()

    def reconcile(self) -> None:
        """Link what is not linked, unlink what is closing. The session is attached."""
        if self.state is LinkState.UNLINKED:
            if self.closing and not self._was_linked:
                self._close()
            else:
                self.state = LinkState.LINKING
                Task(self.session.wire, self._link(), self._linked).start()
        elif self.state is LinkState.LINKED and self.closing and self._may_unlink():
            self.state = LinkState.UNLINKING
            Task(self.session.wire, self._unlink_and_delete(), self._unlinked).start()

    def suspend(self) -> None:
        """The connection is lost: nothing of this is on a wire any more."""
        if self.state is not LinkState.CLOSED:
            self.state = LinkState.UNLINKED

    def fail(self, error: Exception) -> None:
        """The link is of no use any more."""
        self.state = LinkState.CLOSED
        self.error = error
        self._forget()

    def _linked(self, error: MessagingError | None) -> None:
        if error is not None:
            self.session.connection.node_cache.forget(self.name)
            self.fail(error)
        else:
            self.state = LinkState.LINKED
            self._was_linked = True
        self.session.reconcile()

    def _unlinked(self, error: MessagingError | None) -> None:
        if error is not None:
            self.fail(error)
        else:
            self._close()
        self.session.reconcile()

    def _close(self) -> None:
        self.state = LinkState.CLOSED
        self._forget()

    def _resolve(self) -> Steps[nodes.Node]:
        cache = self.session.connection.node_cache
        # After a fail-over the cache is empty: what one broker has the other need not have.
        known = cache.get(self.name)
        node = yield from nodes.resolve(self.name, self.options, self.ROLE, known)
        # A queue and an exchange may have one name, which means the queue then: who asks for the topic by its type says
        # nothing of the plain name.
        if node.kind == "queue" or not (self.options.get("node") or {}).get("type"):
            cache.put(self.name, node)
        return node

    def _unlink_and_delete(self) -> Steps[None]:
        commands = self._unlink()
        if self.options.get("delete") not in ("always", self.ROLE):
            yield commands
        else:
            yield from nodes.delete(self.name, (self.options.get("node") or {}).get("type"), commands)
            self.session.connection.node_cache.forget(self.name)

    def _link(self) -> Steps[None]:
        raise NotImplementedError

    def _unlink(self) -> list[Command]:
        """What takes the link off the wire."""
        raise NotImplementedError

    def _may_unlink(self) -> bool:
        return True

    def _forget(self) -> None:
        """Closed: leave the session's tables."""
