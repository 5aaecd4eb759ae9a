"""QMF v2 without I/O: what a console asks and what an agent answers, as headers, maps and lists.

QMF v2 messages carry the application id `qmf2`, an opcode in their headers, and a map or a list as content
(`amqp/map`, `amqp/list`). Requests go to the exchange `qmf.default.direct` under the agent's name, where `broker` is
the agent in the broker itself; answers go to the request's reply-to address, with its correlation id. A query's answer
may come in several messages: all but the last have the header `partial`.

The C++ broker sends what its schema knows to be text as binary; so does ours, since consoles are used to it. Whoever
reads turns it into `str`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import IntEnum
from typing import Any

from .errors import AgentError

__all__ = [
    "ACL_OBJECT",
    "APP_ID",
    "BROKER_AGENT",
    "BROKER_OBJECT",
    "BROKER_PACKAGE",
    "DIRECT_EXCHANGE",
    "HA_OBJECT",
    "HA_PACKAGE",
    "LOCATE_KEY",
    "TOPIC_EXCHANGE",
    "Data",
    "Opcode",
    "Status",
    "agent_error",
    "as_binary",
    "as_text",
    "error_content",
    "is_partial",
    "method_request",
    "object_name",
    "opcode_of",
    "query_class",
    "query_object",
    "reference",
    "request_headers",
    "response_headers",
    "schema_id",
]

APP_ID = "qmf2"
#: How `qpid.messaging` spells the message property app-id among the headers.
APP_ID_HEADER = "x-amqp-0-10.app-id"
DIRECT_EXCHANGE = "qmf.default.direct"
TOPIC_EXCHANGE = "qmf.default.topic"
#: The routing key of the broker's own agent.
BROKER_AGENT = "broker"

#: The routing key on the topic exchange by which all agents are reached.
LOCATE_KEY = "console.request.agent_locate"

BROKER_PACKAGE = "org.apache.qpid.broker"
HA_PACKAGE = "org.apache.qpid.ha"
BROKER_OBJECT = f"{BROKER_PACKAGE}:broker:amqp-broker"
ACL_OBJECT = f"org.apache.qpid.acl:acl:{BROKER_OBJECT}"
HA_OBJECT = f"{HA_PACKAGE}:habroker:ha-broker"


class Opcode:
    """Values of the header `qmf.opcode`."""

    LOCATE_REQUEST = "_agent_locate_request"
    LOCATE_RESPONSE = "_agent_locate_response"
    QUERY_REQUEST = "_query_request"
    QUERY_RESPONSE = "_query_response"
    METHOD_REQUEST = "_method_request"
    METHOD_RESPONSE = "_method_response"
    DATA_INDICATION = "_data_indication"
    HEARTBEAT_INDICATION = "_agent_heartbeat_indication"
    EXCEPTION = "_exception"


class Status(IntEnum):
    """Values of `error_code` in an exception."""

    OK = 0
    UNKNOWN_OBJECT = 1
    UNKNOWN_METHOD = 2
    NOT_IMPLEMENTED = 3
    INVALID_PARAMETER = 4
    FEATURE_NOT_IMPLEMENTED = 5
    FORBIDDEN = 6
    EXCEPTION = 7


def object_name(package: str, class_name: str, key: str) -> str:
    """The name of a managed object: unique on its agent."""
    return f"{package}:{class_name}:{key}"


def reference(name: str, epoch: int | None = None) -> dict[str, Any]:
    """An object id, as it identifies an object or refers to one.

    Args:
        name: the object's name.
        epoch: which life of the agent the object belongs to; None for one that outlives the agent.
    """
    found: dict[str, Any] = {} if epoch is None else {"_agent_epoch": epoch}
    found["_object_name"] = name.encode("utf-8", "surrogateescape")
    return found


def schema_id(package: str, name: str, kind: str, digest: object = None) -> dict[str, Any]:
    """A class's id, as objects and events name it.

    Args:
        package: the class's package.
        name: the class's name in it.
        kind: `_data` for objects, `_event` for events.
        digest: identifies this form of the class.
    """
    found: dict[str, Any] = as_binary({"_class_name": name, "_package_name": package, "_type": kind})
    if digest is not None:
        found["_hash"] = digest
    return found


# -- text


def as_text(value: Any) -> Any:
    """The value with everything binary in it that is UTF-8 turned into text."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value
    if isinstance(value, dict):
        return {key: as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return value


def as_binary(value: Any) -> Any:
    """The value with all text in it turned into binary: how an agent sends what its schema knows to be text."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, Mapping):
        return {key: as_binary(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_binary(item) for item in value]
    return value


# -- headers


def request_headers(opcode: str) -> dict[str, Any]:
    """Headers of a console's request; the app-id property comes beside them."""
    return {"method": "request", "qmf.opcode": opcode}


def response_headers(
    opcode: str, agent: str, *, content: str | None = None, partial: bool = False, indication: bool = False
) -> dict[str, Any]:
    """Headers of an agent's message.

    Args:
        opcode: see `Opcode`.
        agent: the agent's name as the console knows it.
        content: what kind of items the list holds: `_data`, `_schema_id`, `_event`.
        partial: more messages answer the same request.
        indication: it goes to whoever listens, or tells an agent's address.
    """
    headers: dict[str, Any] = {
        "method": "indication" if indication else "response",
        "qmf.agent": agent,
        "qmf.opcode": opcode,
    }
    if content is not None:
        headers["qmf.content"] = content
    if partial:
        headers["partial"] = None
    return headers


def opcode_of(headers: Mapping[str, Any]) -> str | None:
    """The opcode among a message's headers; None where there is none."""
    opcode = as_text(headers.get("qmf.opcode"))
    return opcode if isinstance(opcode, str) else None


def is_partial(headers: Mapping[str, Any]) -> bool:
    """Whether more messages answer the same request."""
    return "partial" in headers


# -- contents


def query_class(class_name: str, package: str | None = None) -> dict[str, Any]:
    """A query for all objects of a class, of a certain package or of any."""
    wanted = {"_class_name": class_name}
    if package is not None:
        wanted["_package_name"] = package
    return {"_what": "OBJECT", "_schema_id": wanted}


def query_object(name: str) -> dict[str, Any]:
    """A query for one object."""
    return {"_what": "OBJECT", "_object_id": {"_object_name": name}}


def method_request(name: str, method: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A call of a method of the object of that name."""
    return {"_object_id": {"_object_name": name}, "_method_name": method, "_arguments": dict(arguments or {})}


def error_content(status: int, text: str) -> dict[str, Any]:
    """The content of an exception."""
    return {"_values": {"error_code": int(status), "error_text": as_binary(text)}}


def agent_error(content: object) -> AgentError:
    """The exception that an agent's content tells of."""
    values = as_text(content.get("_values")) if isinstance(content, dict) else None
    if not isinstance(values, dict):
        return AgentError(Status.EXCEPTION, f"an exception without values: {content!r}")
    status = values.get("error_code")
    return AgentError(status if isinstance(status, int) else Status.EXCEPTION, str(values.get("error_text", "")))


class Data:
    """A managed object as an agent describes it: an item of a query's answer or of a data indication.

    Args:
        name: the object's name, unique on its agent.
        package: package of its class.
        class_name: its class.
        values: properties and statistics by name; references to other objects are object ids.
        created: nanoseconds since 1970.
        updated: nanoseconds since 1970.
        deleted: nanoseconds since 1970; 0 while it exists.
        epoch: which life of the agent the object belongs to; None for one that outlives the agent.
        schema_hash: identifies this form of the class.
    """

    __slots__ = ("class_name", "created", "deleted", "epoch", "name", "package", "schema_hash", "updated", "values")

    def __init__(
        self,
        name: str,
        package: str,
        class_name: str,
        values: dict[str, Any],
        *,
        created: int = 0,
        updated: int = 0,
        deleted: int = 0,
        epoch: int | None = None,
        schema_hash: object = None,
    ) -> None:
        self.name = name
        self.package = package
        self.class_name = class_name
        self.values = values
        self.created = created
        self.updated = updated
        self.deleted = deleted
        self.epoch = epoch
        self.schema_hash = schema_hash

    def to_map(self) -> dict[str, Any]:
        """The map that travels: text among the values as binary; maps among them are sent as they are."""
        return {
            "_create_ts": self.created,
            "_delete_ts": self.deleted,
            "_object_id": reference(self.name, self.epoch),
            "_schema_id": schema_id(self.package, self.class_name, "_data", self.schema_hash),
            "_update_ts": self.updated,
            "_values": {
                key: as_binary(value) if isinstance(value, str) else value for key, value in self.values.items()
            },
        }

    @classmethod
    def from_map(cls, content: object) -> Data:
        """The object that a map describes.

        Raises:
            AgentError: it is not what QMF v2 calls data.
        """
        content = as_text(content)
        try:
            if not isinstance(content, dict):
                raise TypeError("not a map")
            of_class, object_id = content.get("_schema_id", {}), content.get("_object_id", {})
            epoch = object_id.get("_agent_epoch")
            return cls(
                str(object_id.get("_object_name", "")),
                str(of_class.get("_package_name", "")),
                str(of_class.get("_class_name", "")),
                dict(content["_values"]),
                created=int(content.get("_create_ts", 0)),
                updated=int(content.get("_update_ts", 0)),
                deleted=int(content.get("_delete_ts", 0)),
                epoch=None if epoch is None else int(epoch),
                schema_hash=of_class.get("_hash"),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AgentError(Status.EXCEPTION, f"malformed data from the agent ({error!r}): {content!r}") from error

    @classmethod
    def of_indication(cls, content: object) -> Iterator[Data]:
        """The objects that a data indication tells of. What is malformed is left out: anybody may publish there."""
        for item in content if isinstance(content, list) else ():
            with suppress(AgentError):
                yield cls.from_map(item)

    def __repr__(self) -> str:
        return f"<Data {self.name!r}>"
