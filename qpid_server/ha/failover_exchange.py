"""The exchange `amq.failover`: tells clients where the cluster is, when they bind a queue to it and at each change.

A message has no body. Its header ``amq.failover`` is an array of URLs, as clients of the C++ broker know it; the header
``qpid.ha-members`` lists the members, as management does. Nobody but the broker sends anything here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import encode_header
from qpid_messaging.amqp.values import Array

from ..exchange import FanoutExchange, Route
from ..exchange_memory import ExchangeMemory
from ..message import Message
from ..observer import Observer
from ..queue import Queue

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["FAILOVER", "FailoverExchange", "FailoverNews"]

FAILOVER = "amq.failover"
"""Name and type of the exchange, and of the header."""
MEMBERS = "qpid.ha-members"


class _News(ExchangeMemory):
    """What a queue gets that is bound: not what some client published."""

    def __init__(self) -> None:
        super().__init__(sequence=False, initial_value=True)

    def passed(self, number: int, message: Message | None) -> None:
        """Nothing of it is kept."""


class FailoverExchange(FanoutExchange):
    """The exchange of that type: a fanout exchange that drops what clients send to it."""

    type = FAILOVER

    def __init__(self) -> None:
        super().__init__(FAILOVER)
        self.memory = self._news = _News()

    def latest(self, message: Message) -> None:
        """What queues get that are bound from now on."""
        self._news.last = message

    def route(self, message: Message) -> Route:
        """Nowhere."""
        return self._routes.get(None) or self._remember(None, ())


class FailoverNews(Observer):
    """Tells what changes of the cluster's addresses and members.

    Args:
        broker: gets the exchange.
        urls: the URLs that clients shall use.
        members: who the members are, as management tells it.
    """

    def __init__(
        self, broker: Broker, urls: Callable[[], list[str]], members: Callable[[], list[dict[str, Any]]]
    ) -> None:
        self._broker = broker
        self._urls = urls
        self._members = members
        self._exchange = FailoverExchange()
        self._told: tuple[list[str], list[dict[str, Any]]] = ([], [])
        self._due = False
        broker.exchanges[FAILOVER] = self._exchange
        broker.observers.append(self)
        self.members_changed()

    def members_changed(self) -> None:
        """Tell it when what is under way is done: it may come in the middle of other changes, and several at once."""
        if not self._due:
            self._due = True
            self._broker.timers.at(self._broker.clock(), self._tell)

    def _tell(self) -> None:
        self._due = False
        news = self._urls(), self._members()
        if news == self._told:
            return
        self._told = news
        broker, exchange = self._broker, self._exchange
        message = _message(*news)
        exchange.latest(message)
        bound = [binding.destination for binding in exchange.bindings.values()]
        for queue in [destination for destination in bound if isinstance(destination, Queue)]:
            # Each on its own: a backup leaves those that its primary replicates to that.
            broker.do(*broker.admit(broker.enqueues((queue,), message.anew()), strict=False))
        broker.settle()


def _message(urls: Sequence[str], members: Sequence[dict[str, Any]]) -> Message:
    headers = {FAILOVER: Array(urls), MEMBERS: list(members)}
    header = encode_header(
        c.DeliveryProperties(exchange=FAILOVER, routing_key=FAILOVER),
        c.MessageProperties(content_length=0, application_headers=headers),
    )
    return Message(FAILOVER, header, None)
