"""A QMF v2 console: asks a broker's management agent about its objects, and calls their methods."""

# The names of methods are those of qpidtoollibs, so that scripts written for it go on working.
# ruff: noqa: N802, N803

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast
from uuid import uuid4

from ..exceptions import Empty
from ..message import Message
from . import objects, qmf
from .errors import AgentError, NoResponse
from .objects import BrokerObject, managed_object
from .qmf import Data, Opcode

if TYPE_CHECKING:
    import qpid_messaging

__all__ = ["BrokerAgent"]

_Object = TypeVar("_Object", bound=BrokerObject)

#: Answers that may come before the first of them is read: a query of many objects is answered in several messages.
_CAPACITY = 10


class BrokerAgent:
    """The management agent of the broker at the other end of a connection.

    Not to be used by several threads at once: requests are answered one at a time.

    Args:
        connection: an open connection; the agent has a session of its own on it.
        timeout: seconds to wait for an answer; None waits for as long as it takes.

    Raises:
        NotFound: management is not enabled on that broker.
    """

    def __init__(self, connection: qpid_messaging.Connection, *, timeout: float | None = 10) -> None:
        self.connection = connection
        self.timeout = timeout
        self.session = connection.session()
        self._reply_to = f"{qmf.TOPIC_EXCHANGE}/direct.{uuid4()};{{node:{{type:topic}}}}"
        self._receiver = self.session.receiver(self._reply_to)
        self._receiver.capacity = _CAPACITY
        self._sender = self.session.sender(f"{qmf.DIRECT_EXCHANGE}/{qmf.BROKER_AGENT}")
        self._requests = 0

    def close(self) -> None:
        """Close the agent's session. The connection stays open."""
        self.session.close()

    # -- requests

    def _request(self, opcode: str, content: dict[str, Any], expected: str, timeout: float | None) -> Sequence[Any]:
        """Send a request and wait for its whole answer.

        Returns:
            The contents of the messages that answer it.
        """
        timeout = self.timeout if timeout is None else timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        self._requests += 1
        correlation_id = str(self._requests)
        request = Message(
            content,
            subject=qmf.BROKER_AGENT,
            reply_to=self._reply_to,
            correlation_id=correlation_id,
            properties={**qmf.request_headers(opcode), qmf.APP_ID_HEADER: qmf.APP_ID},
        )
        # The answer says that the request has arrived.
        self._sender.send(request, sync=False)
        answers = []
        while True:
            try:
                answer = self._receiver.fetch(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except Empty:
                raise NoResponse(text=f"no answer from the management agent within {timeout:g} s") from None
            self.session.acknowledge(answer, sync=False)
            if qmf.as_text(answer.correlation_id) != correlation_id:
                continue  # the late answer to a request that was given up
            got = qmf.opcode_of(answer.properties)
            if got == Opcode.EXCEPTION:
                raise qmf.agent_error(answer.content)
            if got != expected:
                raise AgentError(qmf.Status.EXCEPTION, f"the agent answered {opcode} with {got}")
            answers.append(answer.content)
            if not qmf.is_partial(answer.properties):
                return answers

    def _query(self, content: dict[str, Any]) -> Sequence[Data]:
        answers = self._request(Opcode.QUERY_REQUEST, content, Opcode.QUERY_RESPONSE, None)
        if not all(isinstance(answer, list) for answer in answers):
            raise AgentError(qmf.Status.EXCEPTION, "the agent answered a query with something that is no list")
        return [Data.from_map(item) for answer in answers for item in answer]

    def find(self, object_id: str) -> Data | None:
        """What the agent says of the object of that name; None where there is none."""
        found = self._query(qmf.query_object(object_id))
        return found[0] if len(found) == 1 else None

    def find_all(self, class_name: str, package: str | None = None) -> Sequence[BrokerObject]:
        """All objects of a class.

        Args:
            class_name: for example `queue`, in any case.
            package: only of the class in that package.
        """
        return [managed_object(self, data) for data in self._query(qmf.query_class(class_name.lower(), package))]

    def get(self, object_id: str) -> BrokerObject | None:
        """The object of that name (`org.apache.qpid.broker:queue:my-queue`); None where there is none."""
        data = self.find(object_id)
        return None if data is None else managed_object(self, data)

    def call(
        self,
        object_id: BrokerObject | str,
        method: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Call a method of a managed object and wait until it is done.

        Args:
            object_id: the object, or its name.
            method: the method's name in the management schema.
            arguments: its arguments by name.
            timeout: seconds to wait; None is the agent's own timeout.

        Returns:
            The arguments that the method gives back.

        Raises:
            AgentError: the agent refused or failed.
            NoResponse: no answer came in time. The method may have been carried out.
        """
        name = object_id.getObjectId() if isinstance(object_id, BrokerObject) else object_id
        content = qmf.method_request(name, method, arguments)
        answer = self._request(Opcode.METHOD_REQUEST, content, Opcode.METHOD_RESPONSE, timeout)[-1]
        result = answer.get("_arguments") if isinstance(answer, dict) else None
        return cast("dict[str, Any]", qmf.as_text(result or {}))

    def list(self, class_name: str) -> Sequence[dict[str, Any]]:
        """The properties and statistics of all objects of a class."""
        return [found.values for found in self.find_all(class_name)]

    # -- objects by class

    def _all(self, cls: type[_Object]) -> Sequence[_Object]:
        return [cls(self, data) for data in self._query(qmf.query_class(cls.__name__.lower()))]

    def _single(self, cls: type[_Object]) -> _Object | None:
        found = self._all(cls)
        return found[0] if found else None

    def _named(self, cls: type[_Object], key: str) -> _Object | None:
        data = self.find(qmf.object_name(qmf.BROKER_PACKAGE, cls.__name__.lower(), key))
        return None if data is None else cls(self, data)

    def getBroker(self) -> objects.Broker | None:
        """The broker's own statistics."""
        return self._single(objects.Broker)

    def getHaBroker(self) -> objects.HaBroker | None:
        """The broker's part in a cluster; None where it stands alone."""
        return self._single(objects.HaBroker)

    def getMemory(self) -> objects.Memory | None:
        """The broker process's memory."""
        return self._single(objects.Memory)

    def getAcl(self) -> objects.Acl | None:
        """The broker's access control; None where it has none."""
        return self._single(objects.Acl)

    def getAllQueues(self) -> Sequence[objects.Queue]:
        """All queues."""
        return self._all(objects.Queue)

    def getQueue(self, name: str) -> objects.Queue | None:
        """The queue of that name; None where there is none."""
        return self._named(objects.Queue, name)

    def getAllExchanges(self) -> Sequence[objects.Exchange]:
        """All exchanges."""
        return self._all(objects.Exchange)

    def getExchange(self, name: str) -> objects.Exchange | None:
        """The exchange of that name; None where there is none."""
        return self._named(objects.Exchange, name)

    def getAllBindings(self) -> Sequence[objects.Binding]:
        """All bindings."""
        return self._all(objects.Binding)

    def getAllSubscriptions(self) -> Sequence[objects.Subscription]:
        """All subscriptions."""
        return self._all(objects.Subscription)

    def getSubscription(self, oid: str) -> objects.Subscription | None:
        """The subscription whose object id ends like that."""
        return self._named(objects.Subscription, oid)

    def getAllConnections(self) -> Sequence[objects.Connection]:
        """All connections of clients."""
        return self._all(objects.Connection)

    def getConnection(self, oid: str) -> objects.Connection | None:
        """The connection whose object id ends like that."""
        return self._named(objects.Connection, oid)

    def getAllSessions(self) -> Sequence[objects.Session]:
        """All sessions."""
        return self._all(objects.Session)

    def getSession(self, oid: str) -> objects.Session | None:
        """The session whose object id ends like that."""
        return self._named(objects.Session, oid)

    def getAllLinks(self) -> Sequence[objects.Link]:
        """All links to other brokers."""
        return self._all(objects.Link)

    # -- the broker's methods

    def echo(self, sequence: int = 1, body: str = "Body") -> dict[str, Any]:
        """Have the agent say the same again: shows that the path to it is whole."""
        return self.call(qmf.BROKER_OBJECT, "echo", {"sequence": sequence, "body": body})

    def create(
        self, _type: str, name: str, properties: Mapping[str, Any] | None = None, strict: bool = False
    ) -> dict[str, Any]:
        """Create a queue, an exchange or a binding.

        Args:
            _type: `queue`, `exchange` or `binding`.
            name: its name; a binding's is `exchange/queue/key`.
            properties: its options and arguments.
            strict: refuse properties that the broker does not know.
        """
        arguments = {"type": _type, "name": name, "properties": dict(properties or {}), "strict": strict}
        return self.call(qmf.BROKER_OBJECT, "create", arguments)

    def delete(self, _type: str, name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Delete a queue, an exchange or a binding.

        Args:
            _type: `queue`, `exchange` or `binding`.
            name: its name; a binding's is `exchange/queue/key`.
            options: for a queue `if_empty` and `if_unused`.
        """
        return self.call(qmf.BROKER_OBJECT, "delete", {"type": _type, "name": name, "options": dict(options or {})})

    def addQueue(self, name: str, options: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        """Create a queue; options and arguments by name, also as keywords."""
        self.create("queue", name, {**(options or {}), **kwargs}, strict=True)

    def delQueue(self, name: str, if_empty: bool = True, if_unused: bool = True) -> None:
        """Delete a queue, by default only one without messages and subscriptions."""
        self.delete("queue", name, {"if_empty": if_empty, "if_unused": if_unused})

    def addExchange(
        self, exchange_type: str, name: str, options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Create an exchange; options and arguments by name, also as keywords."""
        self.create("exchange", name, {"exchange-type": exchange_type, **(options or {}), **kwargs}, strict=True)

    def delExchange(self, name: str) -> None:
        """Delete an exchange."""
        self.delete("exchange", name)

    def bind(
        self, exchange: str, queue: str, key: str = "", options: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Bind a queue to an exchange; arguments of the binding by name, also as keywords."""
        self.create("binding", f"{exchange}/{queue}/{key}", {**(options or {}), **kwargs}, strict=True)

    def unbind(self, exchange: str, queue: str, key: str) -> None:
        """Take a binding away."""
        self.delete("binding", f"{exchange}/{queue}/{key}")

    def queueMoveMessages(self, srcQueue: str, destQueue: str, qty: int) -> None:
        """Move the first `qty` messages to another queue, or all where that is 0."""
        arguments = {"srcQueue": srcQueue, "destQueue": destQueue, "qty": qty}
        self.call(qmf.BROKER_OBJECT, "queueMoveMessages", arguments)
