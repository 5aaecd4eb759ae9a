"""Finding, making and deleting the node that an address names: AMQP 0-10 queries, declares, binds and deletes.

A *node* is a queue or a topic; a topic is an exchange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..amqp.commands import (
    Command,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    ExchangeQuery,
    ExchangeQueryResult,
    QueueDeclare,
    QueueDelete,
    QueueQuery,
    QueueQueryResult,
)
from ..exceptions import AssertionFailed, InvalidOption, NotFound, ResolutionError

if TYPE_CHECKING:
    from ..options import ConnectionOptions
    from .tasks import Steps

C = TypeVar("C", bound=Command)


class Node(NamedTuple):
    """What a name was found to be: kind "queue" or "topic", and the exchange type of a topic."""

    kind: str
    exchange_type: str | None = None


class NodeCache:
    """What names were lately found to be at the broker of this connection.

    Args:
        options: of these, `address_ttl` says how long that holds.

    Attributes:
        now: the time, as the shell told it last.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self.now = 0.0
        self._options = options
        self._nodes: dict[str, tuple[float, Node]] = {}

    def get(self, name: str) -> Node | None:
        """What the name was found to be, if that is not too long ago."""
        found, node = self._nodes.get(name, (0.0, None))
        return None if node is None or self.now - found >= self._options.address_ttl else node

    def put(self, name: str, node: Node) -> None:
        """The name was found to be this."""
        self._nodes[name] = (self.now, node)

    def forget(self, name: str) -> None:
        """It may be something else by now."""
        self._nodes.pop(name, None)

    def clear(self) -> None:
        """Another broker."""
        self._nodes.clear()


def resolve(name: str, options: Mapping[str, Any], role: str, known: Node | None) -> Steps[Node]:
    """Find the node of an address, making or asserting it where the options say so.

    Args:
        name: the address's name.
        options: its options.
        role: "sender" or "receiver".
        known: what the name was found to be lately, if it was looked up.

    Raises:
        NotFound: there is no such node and `create` does not ask for one.
        AssertionFailed: the node is of another type than the address asserts.
        InvalidOption: x-declare names an argument that there is not.
    """
    node_options = options.get("node") or {}
    wanted = node_options.get("type")
    create = options.get("create") in ("always", role)
    if create and wanted:
        # The declaration itself tells whether such a node can be: no need to ask first.
        node = None
    elif known is not None and not create and not wanted:
        node = known
    else:
        node = yield from query(name, wanted)
    if node is None:
        if not create:
            raise NotFound(text=f"no such {wanted or 'queue'}: {name}")
        return (yield from declare(name, node_options))
    if options.get("assert") in ("always", role) and wanted and node.kind != wanted:
        raise AssertionFailed(text=f"{name}: expected {wanted}, got {node.kind}")
    binds = bindings(node_options, **{"queue" if node.kind == "queue" else "exchange": name})
    if binds:
        yield binds
    return node


def query(name: str, wanted: str | None, before: Sequence[Command] = ()) -> Steps[Node | None]:
    """Ask the broker what a name is.

    Args:
        name: the name.
        wanted: "queue" or "topic" to look for that only; None looks for both, and a queue goes first.
        before: commands that go before the question, in the same step.

    Raises:
        ResolutionError: the broker's answer is none.
    """
    exchange = queue = None
    if wanted == "topic":
        *_, exchange = yield [*before, ExchangeQuery(name=name)]
    elif wanted == "queue":
        *_, queue = yield [*before, QueueQuery(queue=name)]
    else:
        *_, exchange, queue = yield [*before, ExchangeQuery(name=name), QueueQuery(queue=name)]
    if not isinstance(exchange, (ExchangeQueryResult, type(None))) or not isinstance(
        queue, (QueueQueryResult, type(None))
    ):
        raise ResolutionError(text=f"the broker's answer to a query for {name} is none: {exchange!r}, {queue!r}")
    if queue is not None and queue.queue:
        return Node("queue")
    if exchange is not None and not exchange.not_found:
        return Node("topic", exchange.type)
    return None


def declare(name: str, node_options: Mapping[str, Any]) -> Steps[Node]:
    """Declare the node as its options say, with its bindings.

    Raises:
        InvalidOption: x-declare names an argument that there is not.
    """
    durable = bool(node_options.get("durable", False))
    overrides = node_options.get("x-declare") or {}
    if node_options.get("type") == "topic":
        exchange = override(ExchangeDeclare(exchange=name, durable=durable), overrides)
        if exchange.type is None:
            exchange.type = "topic"
        yield [exchange, *bindings(node_options, exchange=name)]
        return Node("topic", exchange.type)
    queue = override(QueueDeclare(queue=name, durable=durable), overrides)
    yield [queue, *bindings(node_options, queue=name)]
    return Node("queue")


def delete(name: str, wanted: str | None, before: Sequence[Command] = ()) -> Steps[None]:
    """Delete the node if it is there; `before` that, carry out some commands."""
    node = yield from query(name, wanted, before)
    if node is not None:
        yield [QueueDelete(queue=name) if node.kind == "queue" else ExchangeDelete(exchange=name)]


def bindings(
    options: Mapping[str, Any], *, queue: str | None = None, exchange: str | None = None, key: str | None = None
) -> list[Command]:
    """The binds that `x-bindings` asks for; what one of them leaves out is the node itself."""
    return [
        ExchangeBind(
            queue=binding.get("queue", queue),
            exchange=binding.get("exchange", exchange),
            binding_key=binding.get("key", key),
            arguments=binding.get("arguments") or {},
        )
        for binding in options.get("x-bindings") or ()
    ]


def override(command: C, overrides: Mapping[str, Any]) -> C:
    """Set fields of a command to what `x-declare` or `x-subscribe` says; hyphens stand for underscores.

    Raises:
        InvalidOption: the command has no such field.
    """
    for key, value in overrides.items():
        name = str(key).replace("-", "_")
        if name not in _fields(type(command)):
            raise InvalidOption(text=f"{command.NAME} has no argument {key!r}")
        current = getattr(command, name)
        if name == "arguments" and current:
            value = {**current, **value}
        setattr(command, name, bool(value) if isinstance(current, bool) else value)
    return command


def _fields(kind: type[Command]) -> frozenset[str]:
    names = _FIELDS.get(kind)
    if names is None:
        slots = (slot for base in kind.__mro__ for slot in _slots(base))
        names = _FIELDS[kind] = frozenset(slots) - {"sync"}
    return names


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


_FIELDS: dict[type[Command], frozenset[str]] = {}
