"""Operations of several steps: send commands, await their completion, look at the results, go on.

Such an operation is a generator. It yields the commands of a step and is resumed, when the peer has completed all of
them, with their results in the same order (None for a command that has none):

    def delete(name):
        (found,) = yield [QueueQuery(queue=name)]
        if found.queue:
            yield [QueueDelete(queue=name)]
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..amqp.errors import EncodeError
from ..exceptions import InvalidOption, MessagingError

if TYPE_CHECKING:
    from ..amqp.commands import Command
    from ..amqp.session import Session

T = TypeVar("T")
#: A generator of steps that ends in a T.
Steps = Generator[Sequence["Command"], list[Any], T]


class Token(Protocol):
    """What goes with a command and is told of its fate."""

    def completed(self) -> None:
        """The peer has completed the command."""

    def result(self, id: int, value: Any) -> None:
        """The command with this id has a result; its completion follows."""


class Task:
    """Runs steps on a session.

    Args:
        wire: the session to send on.
        steps: what to do.
        done: called once with the MessagingError that the steps raised, or None. Never called for a task whose
            connection is lost: who started it starts again.
    """

    __slots__ = ("_awaited", "_done", "_ids", "_results", "_steps", "_wire")

    def __init__(self, wire: Session, steps: Steps[None], done: Callable[[MessagingError | None], None]) -> None:
        self._wire = wire
        self._steps = steps
        self._done = done
        self._ids: list[int] = []
        self._results: dict[int, Any] = {}
        self._awaited = 0

    def start(self) -> None:
        """Do the first step. `done` may be called from in here."""
        self._advance(None)

    def completed(self) -> None:
        self._awaited -= 1
        if self._awaited == 0:
            self._advance([self._results.get(id) for id in self._ids])

    def result(self, id: int, value: Any) -> None:
        self._results[id] = value

    def _advance(self, results: list[Any] | None) -> None:
        try:
            step = self._steps.send(results)  # type: ignore[arg-type]
            while not step:
                step = self._steps.send([])
        except StopIteration:
            self._done(None)
            return
        except MessagingError as error:
            self._done(error)
            return
        # Completions are asked for with the last one: those of the others come no later.
        step[-1].sync = True
        self._results = {}
        self._awaited = len(step)
        try:
            self._ids = [self._wire.send(command, token=self) for command in step]
        except EncodeError as error:
            # An application's value of a type that the command's field cannot have.
            self._wire.forget(self)
            self._steps.close()
            self._done(InvalidOption(text=str(error)))
