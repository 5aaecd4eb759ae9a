"""How a class of managed objects is described: which objects there are, under what names, with what values.

A subclass of `ManagedClass` a class of the management schema: its properties and statistics are a function of the
broker's own objects, so nothing is kept twice and nothing has to be told when it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from qpid_messaging.management.qmf import Status, object_name, reference

from .declarations import ClassSchema

if TYPE_CHECKING:
    from qpid_server.broker import Broker

    from .agent import Agent

__all__ = ["AGENT_EPOCH", "ManagedClass", "MethodCall", "MethodError"]

T = TypeVar("T")

#: Which life of the agent transient objects belong to: nothing is kept from one life to the next.
AGENT_EPOCH = 1


class MethodError(Exception):
    """A request cannot be fulfilled: the console gets an exception.

    Args:
        status: its `error_code`.
        text: its `error_text`.
    """

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class MethodCall:
    """A method request that waits for its response.

    Args:
        method: the method's name.
        arguments: its arguments by name.
        publisher: the connection that the request came from; None for one of the broker's own.
        respond: sends the response with the arguments that the method gives back.
        refuse: sends an exception instead.
    """

    def __init__(
        self,
        method: str,
        arguments: Mapping[str, Any],
        publisher: Any,
        respond: Callable[[Mapping[str, Any]], None],
        refuse: Callable[[Status, str], None],
    ) -> None:
        self.method = method
        self.arguments = arguments
        self.publisher = publisher
        self._respond = respond
        self._refuse = refuse

    def done(self, results: Mapping[str, Any] | None = None) -> None:
        """Answer: the method has been carried out."""
        self._respond(results or {})

    def failed(self, text: str, status: Status = Status.EXCEPTION) -> None:
        """Answer: it has not, and why."""
        self._refuse(status, text)

    def text(self, name: str, default: str | None = None) -> str:
        """A text argument.

        Raises:
            MethodError: it is missing and has no default, or it is no text.
        """
        value = self.arguments.get(name, default)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        if not isinstance(value, str):
            problem = "is missing" if value is None else f"must be text, not {value!r}"
            raise MethodError(Status.INVALID_PARAMETER, f"{self.method}: argument {name!r} {problem}")
        return value

    def texts(self, name: str) -> list[str]:
        """An argument that is a list of texts.

        Raises:
            MethodError: it is missing, or it is none.
        """
        values = self.arguments.get(name)
        if not isinstance(values, list) or not all(isinstance(value, (str, bytes)) for value in values):
            raise MethodError(Status.INVALID_PARAMETER, f"{self.method}: argument {name!r} must be a list of texts")
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean argument; numbers count as in AMQP 0-10, where some peers have no booleans.

        Raises:
            MethodError: it is neither.
        """
        return as_flag(self.arguments.get(name, default), f"{self.method}: argument {name!r}")

    def number(self, name: str, default: int | None = None) -> int:
        """An argument that is a count.

        Raises:
            MethodError: it is missing and has no default, or it is no whole number from 0.
        """
        value = self.arguments.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            problem = "is missing" if value is None else f"must be a whole number from 0, not {value!r}"
            raise MethodError(Status.INVALID_PARAMETER, f"{self.method}: argument {name!r} {problem}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A map argument, empty where it is missing.

        Raises:
            MethodError: it is no map.
        """
        value = self.arguments.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise MethodError(
                Status.INVALID_PARAMETER, f"{self.method}: argument {name!r} must be a map, not {value!r}"
            )
        return dict(value)


def as_flag(value: object, what: str) -> bool:
    """A boolean, or a number in the place of one.

    Raises:
        MethodError: it is neither; `what` says what it is.
    """
    if isinstance(value, int):
        return bool(value)
    raise MethodError(Status.INVALID_PARAMETER, f"{what} must be true or false, not {value!r}")


class ManagedClass(Generic[T]):
    """A class of managed objects.

    Args:
        agent: the agent that answers for it.
    """

    schema: ClassVar[ClassSchema]

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.broker: Broker = agent.broker

    @property
    def package(self) -> str:
        """The package that the class is in."""
        return self.schema.package

    @property
    def name(self) -> str:
        """The class's name in its package."""
        return self.schema.name

    def all(self) -> Iterable[T]:
        """All objects of the class, as they are now."""
        raise NotImplementedError

    def ordered(self) -> Iterable[T]:
        """The same in the order in which consoles are told of them: by name."""
        return sorted(self.all(), key=self.key)

    def key(self, item: T) -> str:
        """What tells an object from the others of its class."""
        raise NotImplementedError

    def find(self, key: str) -> T | None:
        """The object of that key; None where there is none."""
        return next((item for item in self.all() if self.key(item) == key), None)

    def values(self, item: T) -> dict[str, Any]:
        """Its properties and statistics, those left out that are nothing (0, no, empty)."""
        raise NotImplementedError

    def stamp(self, item: T) -> object:
        """Equal to what it was before as long as the values are; cheaper to have than those."""
        return None

    def durable(self, item: T) -> bool:
        """Whether the object outlives the broker process; its object id has no epoch then."""
        return False

    @property
    def methods(self) -> Mapping[str, Callable[[T, MethodCall], None]]:
        """Its methods by name: each answers the call, at once or later, or raises MethodError or SessionError."""
        return {}

    def call(self, item: T, call: MethodCall) -> None:
        """Carry out a method.

        Raises:
            MethodError: there is none of that name, this broker does not have it, or it does not want to.
            SessionError: it cannot be done.
        """
        method = self.methods.get(call.method)
        if method is not None:
            method(item, call)
        elif call.method in self.schema.method_names:
            raise MethodError(Status.NOT_IMPLEMENTED, f"method {call.method} is not implemented")
        else:
            raise MethodError(
                Status.UNKNOWN_METHOD, f"UnknownMethod: {self.package}:{self.name} has no {call.method!r}"
            )

    def object_name(self, item: T) -> str:
        """The name that the object has on its agent."""
        return object_name(self.package, self.name, self.key(item))

    def created(self, item: T) -> int:
        """When the object came into being, in nanoseconds since 1970."""
        return self.agent.creation.of(item)

    def updated(self, item: T) -> int:
        """When its values were last known to change, in nanoseconds since 1970."""
        return self.agent.now()

    def epoch(self, item: T) -> int | None:
        """The epoch in its object id; None where it outlives the broker process."""
        return None if self.durable(item) else AGENT_EPOCH

    def reference(self, item: T) -> dict[str, Any]:
        """The object's id, as other objects refer to it."""
        return reference(self.object_name(item), self.epoch(item))
