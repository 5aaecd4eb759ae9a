"""A management agent as a console reaches it over QMF v2: requests, and their answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from ..amqp.errors import ProtocolError
from ..exceptions import Empty
from ..message import Message
from . import qmf
from .errors import AgentError, NoResponse
from .objects import BrokerObject, managed_object
from .qmf import Data, Opcode
from .schema import ClassId, Schema, request_unit, units

if TYPE_CHECKING:
    import qpid_messaging
    from qpid_messaging import Sender

__all__ = ["Agent"]

#: Answers that may come before the first of them is read: a query of many objects is answered in several messages.
_CAPACITY = 10


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


class Agent:
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
        deadline = _deadline(timeout)
        correlation_id = self._send(self._sender, opcode, content, qmf.BROKER_AGENT)
        answers = []
        while True:
            answer = self._fetch(timeout, deadline)
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

    def _send(self, sender: Sender, opcode: str, content: Any, subject: str) -> str:
        """Send a request; returns the correlation id of its answers, which say that it has arrived."""
        self._requests += 1
        correlation_id = str(self._requests)
        request = Message(
            content,
            subject=subject,
            reply_to=self._reply_to,
            correlation_id=correlation_id,
            properties={**qmf.request_headers(opcode), qmf.APP_ID_HEADER: qmf.APP_ID},
        )
        sender.send(request, sync=False)
        return correlation_id

    def _fetch(self, timeout: float | None, deadline: float | None) -> Message:
        """The next message to the reply-to address."""
        try:
            answer = self._receiver.fetch(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except Empty:
            raise NoResponse(text=f"no answer from the management agent within {timeout:g} s") from None
        self.session.acknowledge(answer, sync=False)
        return answer

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

    # -- other agents

    def agents(self, quiet: float = 0.5) -> Sequence[dict[str, Any]]:
        """The attributes of all agents that are reached through the broker, its own among them.

        Args:
            quiet: seconds without an answer after which nobody else is expected to give one.
        """
        sender = self.session.sender(qmf.TOPIC_EXCHANGE)
        correlation_id = self._send(sender, Opcode.LOCATE_REQUEST, [], qmf.LOCATE_KEY)
        found: list[dict[str, Any]] = []
        try:
            while True:
                answer = self._fetch(quiet, _deadline(quiet))
                if qmf.as_text(answer.correlation_id) == correlation_id and isinstance(answer.content, dict):
                    found.append(qmf.as_text(answer.content.get("_values", {})))
        except NoResponse:
            return found
        finally:
            sender.close()

    # -- the schema

    def classes(self) -> Sequence[ClassId]:
        """All classes of objects and events that the agent has."""
        packages = self._schema_request(b"P")
        return [named for package in packages for named in self._schema_request(b"Q", package=package)]

    def schema(self, of_class: ClassId) -> Schema:
        """What a class is made of.

        Raises:
            AgentError: the agent has none of that form.
        """
        found = self._schema_request(b"S", of_class=of_class)
        if not found:
            raise AgentError(qmf.Status.INVALID_PARAMETER, f"no such class: {of_class}")
        return cast("Schema", found[0])

    def _schema_request(self, opcode: bytes, **of: Any) -> Sequence[Any]:
        """Send a request of QMF v1, and collect what its answers say."""
        timeout = self.timeout
        deadline = _deadline(timeout)
        self._requests += 1
        request = request_unit(opcode, self._requests, **of)
        self._sender.send(Message(request, subject=qmf.BROKER_AGENT, reply_to=self._reply_to), sync=False)
        found: list[Any] = []
        while True:
            answer = self._fetch(timeout, deadline)
            if answer.correlation_id is not None or not isinstance(answer.content, bytes):
                continue  # the late answer to a request of QMF v2
            try:
                for got, sequence, what in units(answer.content):
                    if sequence != self._requests:
                        break
                    if got == b"z":
                        return found
                    found.append(what)
                    if got == b"s":  # nothing follows
                        return found
            except ProtocolError as error:
                raise AgentError(qmf.Status.EXCEPTION, f"malformed answer from the agent: {error}") from error
