"""A QMF v2 console on a broker without sockets."""

from __future__ import annotations

from typing import Any, NamedTuple

from qpid_messaging.amqp.codec import decode_list, decode_map, encode_header, encode_list, encode_map
from qpid_messaging.amqp.commands import DeliveryProperties, MessageProperties, ReplyTo
from qpid_messaging.management import qmf
from qpid_messaging.management.qmf import Opcode, Status
from qpid_server.broker import Broker
from qpid_server.effects import Bound, QueueDeclared
from qpid_server.management import install
from qpid_server.message import Message
from qpid_server.options import Options

AGENT = "broker"


class Answer(NamedTuple):
    headers: dict[str, Any]
    content: Any
    correlation_id: bytes | None

    @property
    def opcode(self) -> str:
        return str(self.headers["qmf.opcode"])

    @property
    def error(self) -> tuple[Status, str]:
        """Status and text of an exception."""
        assert self.opcode == Opcode.EXCEPTION
        found = qmf.agent_error(self.content)
        return Status(found.status), str(found.text)


class Console:
    """Sends messages to the agent of a broker and reads what comes to its reply-to address."""

    def __init__(self, **options: Any) -> None:
        self.broker = Broker(Options(auth=False, no_data_dir=True, **options), clock=lambda: 100.0)
        self.agent = install(self.broker)
        self.broker.do(QueueDeclared("replies"))
        queue, topic = self.broker.queue("replies"), self.broker.exchange(qmf.TOPIC_EXCHANGE)
        self.broker.do(Bound(queue, topic, "direct.me"))

    def send(
        self,
        opcode: str | None,
        content: Any,
        *,
        exchange: str = qmf.DIRECT_EXCHANGE,
        key: str = AGENT,
        body: bytes | None = None,
        content_type: str | None = None,
        reply_to: ReplyTo | None = ReplyTo("qmf.default.topic", "direct.me"),  # noqa: B008 - never changed
        app_id: bytes | None = b"qmf2",
        headers: dict[str, Any] | None = None,
    ) -> list[Answer]:
        """Publish one message; returns the answers to it."""
        if body is None:
            body = encode_list(content) if isinstance(content, list) else encode_map(content)
        if content_type is None:
            content_type = "amqp/list" if isinstance(content, list) else "amqp/map"
        properties = MessageProperties(
            correlation_id=b"7",
            reply_to=reply_to,
            content_type=content_type,
            app_id=app_id,
            application_headers={**({} if opcode is None else qmf.request_headers(opcode)), **(headers or {})},
        )
        self.publish(exchange, encode_header(DeliveryProperties(routing_key=key), properties), body)
        self.settle()
        return self.answers()

    def settle(self) -> None:
        """What takes more than one turn of the broker takes as many as it needs."""
        while self.broker.timers.due is not None and self.broker.timers.due < 101:
            self.broker.timers.run(101)

    def publish(self, exchange: str, header: bytes, body: bytes) -> None:
        self.broker.do(*self.broker.route(Message(exchange, header, body), self.broker.exchange(exchange)))

    def answers(self) -> list[Answer]:
        """Take what has come."""
        found = []
        queue = self.broker.queue("replies")
        for entry in queue.available():
            properties = entry.message.properties
            decode = {"amqp/map": decode_map, "amqp/list": decode_list}[properties.content_type or ""]
            headers = properties.application_headers or {}
            found.append(Answer(headers, decode(entry.message.body or b""), properties.correlation_id))
            queue.remove(entry)
        return found

    def query(self, content: dict[str, Any]) -> list[dict[str, Any]]:
        """The items of a query's answer."""
        answers = self.send(Opcode.QUERY_REQUEST, content)
        assert {answer.opcode for answer in answers} == {Opcode.QUERY_RESPONSE}
        assert [qmf.is_partial(answer.headers) for answer in answers] == [True] * (len(answers) - 1) + [False]
        return [item for answer in answers for item in answer.content]

    def call(self, method: str, arguments: dict[str, Any], name: str = qmf.BROKER_OBJECT) -> Answer:
        """The answer to a method request."""
        [answer] = self.send(Opcode.METHOD_REQUEST, qmf.method_request(name, method, arguments))
        assert answer.correlation_id == b"7"
        return answer

    def create(self, kind: str, name: str, properties: dict[str, Any] | None = None, *, strict: bool = True) -> Answer:
        return self.call("create", {"type": kind, "name": name, "properties": properties or {}, "strict": strict})

    def delete(self, kind: str, name: str, options: dict[str, Any] | None = None) -> Answer:
        return self.call("delete", {"type": kind, "name": name, "options": options or {}})


def done(answer: Answer) -> bool:
    """Whether a method was carried out, with nothing to give back."""
    return answer.opcode == Opcode.METHOD_RESPONSE and answer.content == {"_arguments": {}}
