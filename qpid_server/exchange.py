"""Exchanges: which queues a message goes to (AMQP 0-10, exchange class; types direct, fanout, topic, headers).

What a routing key matches is remembered as a :class:`Route` until a binding changes, so a message costs one dictionary
look-up whatever the type; the counters of bindings and exchange are kept in the routes and added up when asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .arguments import flag
from .errors import InternalFailure, NotFound
from .exchange_memory import exchange_memory
from .queue import Queue, Replicate
from .topic import TopicTree

if TYPE_CHECKING:
    from .message import Message

__all__ = [
    "Binding",
    "DirectExchange",
    "Exchange",
    "FanoutExchange",
    "HeadersExchange",
    "InternalReceiver",
    "Route",
    "TopicExchange",
    "exchange_class",
]

_ROUTES_LIMIT = 8192
_EXCLUSIVE_BINDING = "qpid.exclusive-binding"


class InternalReceiver(Protocol):
    """Something in the broker that takes messages from an exchange as a queue does, the management agent for one."""

    def deliver(self, message: Message, publisher: Any) -> None:
        """Take a message.

        Args:
            message: what was published.
            publisher: the connection handler that it came from, None if it came from the broker itself.
        """


class Binding:
    """A queue (or internal receiver) bound to an exchange."""

    __slots__ = ("arguments", "destination", "exchange", "key", "matched")

    def __init__(
        self, exchange: Exchange, destination: Queue | InternalReceiver, key: str, arguments: Mapping[str, Any]
    ) -> None:
        self.exchange = exchange
        self.destination = destination
        self.key = key
        self.arguments = arguments
        self.matched = 0
        """Messages that it matched; up to date after :meth:`Exchange.count`."""

    def __repr__(self) -> str:
        return f"<Binding {self.exchange.name!r} -> {self.destination!r} key {self.key!r}>"


class Route:
    """Where a message goes, and how many went there. Each queue is there once, however many bindings match."""

    __slots__ = ("bindings", "bytes", "messages", "queues", "receivers", "selective")

    def __init__(self, bindings: Iterable[Binding]) -> None:
        self.bindings = tuple(bindings)
        destinations = dict.fromkeys(binding.destination for binding in self.bindings)
        queues = (destination for destination in destinations if isinstance(destination, Queue))
        self.queues = tuple(dict.fromkeys(queue.redirect or queue for queue in queues))
        self.selective = any(queue.selective for queue in self.queues)
        self.receivers: tuple[InternalReceiver, ...] = tuple(
            destination for destination in destinations if not isinstance(destination, Queue)
        )
        self.messages = 0
        self.bytes = 0


class Exchange:
    """An exchange; the subclasses know what matches.

    Args:
        name: unique on the broker; "" is the default exchange.
        durable: it shall survive a restart (kept for the store and for queries).
        auto_delete: deleted with its last binding.
        alternate_exchange: where messages go that match nothing here.
        arguments: the arguments of its declaration, as they came.
        replicate: what backups hold of it.
    """

    type = ""

    def __init__(
        self,
        name: str,
        *,
        durable: bool = False,
        auto_delete: bool = False,
        alternate_exchange: Exchange | None = None,
        arguments: Mapping[str, Any] | None = None,
        replicate: Replicate = Replicate.NONE,
    ) -> None:
        self.name = name
        self.durable = durable
        self.auto_delete = auto_delete
        self.alternate_exchange = alternate_exchange
        self.arguments = dict(arguments or {})
        self.replicate = replicate
        self.memory = exchange_memory(self.arguments)
        """What it keeps of messages, for the few that do."""
        self.alternate_users = 0
        """Queues and exchanges that have this one as their alternate: while there are any, it cannot be deleted."""
        self.bindings: dict[Hashable, Binding] = {}
        self.deleted = False
        self.receives = 0
        self.receives_bytes = 0
        self.drops = 0
        self.drops_bytes = 0
        self.routed = 0
        self.routed_bytes = 0
        self._routes: dict[Hashable, Route] = {}

    # -- bindings

    def bind(self, queue: Queue, key: str, arguments: Mapping[str, Any] | None = None) -> Binding | None:
        """Bind a queue.

        Returns:
            The new binding; None where it was there already.

        Raises:
            SessionError: the arguments make no sense to this type of exchange.
        """
        binding = self._add(queue, key, arguments or {})
        if binding is not None:
            queue.bindings[binding] = None
        return binding

    def bind_receiver(
        self, key: str, receiver: InternalReceiver, arguments: Mapping[str, Any] | None = None
    ) -> Binding | None:
        """Bind something of the broker's own, as :meth:`bind` does a queue."""
        return self._add(receiver, key, arguments or {})

    def unbind(self, queue: Queue, key: str) -> bool:
        """Take away a queue's binding (or bindings) of that key.

        Returns:
            False if there is none.
        """
        found = self.find(queue, key)
        for binding in found:
            self.remove(binding)
        return bool(found)

    def find(self, queue: Queue, key: str) -> list[Binding]:
        """The bindings of a queue with that key."""
        return [
            binding
            for binding in queue.bindings
            if binding.exchange is self and self._key(binding.key) == self._key(key)
        ]

    def has_binding(self, queue: Queue, key: str, arguments: Mapping[str, Any]) -> bool:
        """Whether :meth:`bind` would find the same there."""
        return self._identity(queue, key, arguments) in self.bindings

    def remove(self, binding: Binding) -> None:
        """Take away a binding that is there."""
        destination = binding.destination
        del self.bindings[self._identity(destination, binding.key, binding.arguments)]
        if isinstance(destination, Queue):
            destination.bindings.pop(binding, None)
        self._unindex(binding)

    def check(self, key: str, arguments: Mapping[str, Any]) -> None:
        """Raise a SessionError where a binding cannot have this key and these arguments."""

    def displaced(self, queue: Queue, key: str, arguments: Mapping[str, Any]) -> list[Binding]:
        """The bindings that have to go when a queue is bound like that."""
        return []

    def _add(self, destination: Queue | InternalReceiver, key: str, arguments: Mapping[str, Any]) -> Binding | None:
        self.check(key, arguments)
        identity = self._identity(destination, key, arguments)
        if identity in self.bindings:
            return None
        binding = Binding(self, destination, key, arguments)
        self.bindings[identity] = binding
        self._index(binding)
        return binding

    def _key(self, key: str) -> str:
        return key

    def _identity(self, destination: Queue | InternalReceiver, key: str, arguments: Mapping[str, Any]) -> Hashable:
        return destination, self._key(key)

    def _index(self, binding: Binding) -> None:
        self._forget_routes()

    def _unindex(self, binding: Binding) -> None:
        self._forget_routes()

    # -- routing

    def route(self, message: Message) -> Route:
        """Where the message goes from here; the alternate exchange is not looked at."""
        key = message.routing_key
        route = self._routes.get(key)
        if route is None:
            route = self._remember(key, self._match(key))
        return route

    def _match(self, key: str) -> Iterable[Binding]:
        raise NotImplementedError

    def selects(self, key: str, arguments: Mapping[str, Any], message: Message) -> bool:
        """Whether a binding with this key and these arguments matches the message."""
        raise NotImplementedError

    def _remember(self, at: Hashable, bindings: Iterable[Binding]) -> Route:
        if len(self._routes) >= _ROUTES_LIMIT:
            self._forget_routes()
        route = self._routes[at] = Route(bindings)
        return route

    def forget_routes(self) -> None:
        """What is behind a binding has changed."""
        self._forget_routes()

    def _forget_routes(self) -> None:
        if self._routes:
            self.count()
            self._routes.clear()

    def _forget_route(self, at: Hashable) -> None:
        route = self._routes.pop(at, None)
        if route is not None:
            self._count(route)

    def count(self) -> None:
        """Bring the counters of this exchange and its bindings up to date."""
        for route in self._routes.values():
            self._count(route)

    def _count(self, route: Route) -> None:
        messages, size = route.messages, route.bytes
        if not messages:
            return
        route.messages = route.bytes = 0
        self.receives += messages
        self.receives_bytes += size
        if route.bindings:
            fan = len(route.queues) + len(route.receivers)
            self.routed += messages * fan
            self.routed_bytes += size * fan
            for binding in route.bindings:
                binding.matched += messages
        else:
            self.drops += messages
            self.drops_bytes += size

    # -- queries

    def bound(self, queue: Queue | None, key: str | None, arguments: Mapping[str, Any] | None) -> bool:
        """Whether there is a binding with all of what is given (exchange.bound)."""
        candidates: Iterable[Binding] = self.bindings.values() if queue is None else queue.bindings
        return any(
            binding.exchange is self
            and (key is None or self._key(binding.key) == self._key(key))
            and (arguments is None or dict(binding.arguments) == dict(arguments))
            for binding in candidates
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class DirectExchange(Exchange):
    """The routing key is the binding key. The default exchange is one with every queue bound under its name."""

    type = "direct"

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._by_key: dict[str, dict[Binding, None]] = {}

    def _index(self, binding: Binding) -> None:
        self._by_key.setdefault(binding.key, {})[binding] = None
        self._forget_route(binding.key)

    def _unindex(self, binding: Binding) -> None:
        same = self._by_key[binding.key]
        del same[binding]
        if not same:
            del self._by_key[binding.key]
        self._forget_route(binding.key)

    def displaced(self, queue: Queue, key: str, arguments: Mapping[str, Any]) -> list[Binding]:
        """Those of other queues with the same key, where ``qpid.exclusive-binding`` asks for it."""
        if not flag(arguments, _EXCLUSIVE_BINDING):
            return []
        return [binding for binding in self._by_key.get(key, ()) if binding.destination is not queue]

    def _match(self, key: str) -> Iterable[Binding]:
        return self._by_key.get(key, ())

    def selects(self, key: str, arguments: Mapping[str, Any], message: Message) -> bool:
        """Whether the keys are the same."""
        return key == message.routing_key


class FanoutExchange(Exchange):
    """Every queue that is bound gets every message; keys do not matter."""

    type = "fanout"

    def _key(self, key: str) -> str:
        return ""

    def route(self, message: Message) -> Route:
        """All queues."""
        return self._routes.get("") or self._remember("", self.bindings.values())

    def selects(self, key: str, arguments: Mapping[str, Any], message: Message) -> bool:
        """Always."""
        return True


class TopicExchange(Exchange):
    """Keys are words with dots between; in a binding ``*`` is one word and ``#`` any number of them."""

    type = "topic"

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._tree: TopicTree[Binding] = TopicTree()

    def _index(self, binding: Binding) -> None:
        self._tree.add(binding.key, binding)
        self._forget_routes()

    def _unindex(self, binding: Binding) -> None:
        self._tree.remove(binding.key, binding)
        self._forget_routes()

    def _match(self, key: str) -> Iterable[Binding]:
        return self._tree.match(key)

    def selects(self, key: str, arguments: Mapping[str, Any], message: Message) -> bool:
        """Whether the pattern matches the routing key."""
        tree: TopicTree[bool] = TopicTree()
        tree.add(key, True)
        return bool(tree.match(message.routing_key))


class HeadersExchange(Exchange):
    """The message's application headers are compared with the binding's arguments, as ``x-match`` says: all or any.

    A binding's value None asks only that the header is there. Routes are remembered by the set of bindings matched.
    """

    type = "headers"

    def check(self, key: str, arguments: Mapping[str, Any]) -> None:
        """x-match has to be there and be "all" or "any" (the C++ broker's code for that is internal-error)."""
        if arguments.get("x-match") not in ("all", "any"):
            raise InternalFailure(
                'Invalid or missing x-match value binding to headers exchange. Must be a string value "all" or "any"'
            )

    def _identity(self, destination: Queue | InternalReceiver, key: str, arguments: Mapping[str, Any]) -> Hashable:
        return destination, key, repr(sorted(arguments.items(), key=lambda item: item[0]))

    def route(self, message: Message) -> Route:
        """The queues of all bindings whose arguments match."""
        headers = message.application_headers
        matching = tuple(binding for binding in self.bindings.values() if _headers_match(binding.arguments, headers))
        return self._routes.get(matching) or self._remember(matching, matching)

    def selects(self, key: str, arguments: Mapping[str, Any], message: Message) -> bool:
        """Whether the message has the headers."""
        return _headers_match(arguments, message.application_headers)


def _headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    wanted = ((name, value) for name, value in arguments.items() if name != "x-match" and not name.startswith("qpid."))
    found = (name in headers and (value is None or _equal(value, headers[name])) for name, value in wanted)
    return any(found) if arguments["x-match"] == "any" else all(found)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, bytes) and isinstance(right, str):
        return left == right.encode()
    if isinstance(left, str) and isinstance(right, bytes):
        return left.encode() == right
    return bool(left == right)


_CLASSES: dict[str, type[Exchange]] = {
    kind.type: kind for kind in (DirectExchange, FanoutExchange, TopicExchange, HeadersExchange)
}


def exchange_class(type: str) -> type[Exchange]:
    """The class of a type's name.

    Raises:
        NotFound: there is no such type.
    """
    try:
        return _CLASSES[type]
    except KeyError:
        raise NotFound(f"Exchange type not implemented: {type}") from None
