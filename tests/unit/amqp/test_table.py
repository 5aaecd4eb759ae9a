"""The table against the specification, field by field, where the specification is there to look at."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.decoding import DECODERS

SPEC = Path(__file__).parents[4] / "shared" / "spec" / "amqp.0-10-qpid-errata.stripped.xml"
NAMESPACE = "{http://www.amqp.org/schema/amqp.xsd}"

spec_only = pytest.mark.skipif(not SPEC.exists(), reason="the specification is not beside the checkout")


@cache
def spec() -> ET.Element:
    if not SPEC.exists():
        return ET.Element("amqp")
    root = ET.parse(SPEC).getroot()
    for element in root.iter():
        element.tag = element.tag.removeprefix(NAMESPACE)
    return root


@cache
def domains() -> dict[str, ET.Element]:
    found = {domain.attrib["name"]: domain for domain in spec().findall("domain")}
    for cls in spec().findall("class"):
        for domain in cls.findall("domain"):
            found[f"{cls.attrib['name']}.{domain.attrib['name']}"] = domain
    return found


def resolve(type_name: str, class_name: str) -> tuple[str, ET.Element | None]:
    """The primitive type or struct behind a field's type, and the enum that names its values."""
    choices = None
    while True:
        # The element type of these two is not in the XML but in the prose: both hold str16.
        if type_name in ("str16-array", "amqp-host-array"):
            return "str16-array", choices
        domain = domains().get(type_name if "." in type_name else f"{class_name}.{type_name}")
        domain = domain if domain is not None else domains().get(type_name)
        if domain is None:
            return type_name, choices
        choices = choices if choices is not None else domain.find("enum")
        class_name = type_name.split(".", maxsplit=1)[0] if "." in type_name else class_name
        type_name = domain.attrib["type"]


def camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("-"))


def number(text: str | None) -> int:
    return int(text or "0", 0)


def structs_and_methods() -> list[tuple[str, ET.Element, ET.Element]]:
    """Our name for it, the specification's class, the element itself."""
    found = []
    for cls in spec().findall("class"):
        for struct in cls.iter("struct"):
            name = struct.attrib["name"]
            found.append(("SessionHeader" if name == "header" else camel(name), cls, struct))
        for kind in ("control", "command"):
            found += [(camel(cls.attrib["name"]) + camel(m.attrib["name"]), cls, m) for m in cls.findall(kind)]
    return found


EVERYTHING = structs_and_methods()


@spec_only
@pytest.mark.parametrize(("name", "cls", "element"), EVERYTHING, ids=[name for name, _, _ in EVERYTHING])
def test_class_agrees(name: str, cls: ET.Element, element: ET.Element) -> None:
    ours: Any = getattr(c, name)
    assert number(element.get("pack", "2")) == ours.PACK
    if element.get("code"):
        assert (number(cls.get("code")), number(element.get("code"))) == ours.CODE
    else:
        assert ours.CODE is None
    if element.tag == "struct":
        assert number(element.get("size")) == ours.SIZE
        assert ("session-header" if name == "SessionHeader" else element.get("name")) == ours.NAME
    else:
        assert f"{cls.get('name')}.{element.get('name')}" == ours.NAME
        assert (element.tag == "control") == ours.IS_CONTROL
        assert (element.find("segments") is not None) == ours.CONTENT
        result = element.find("result")
        if result is None:
            assert ours.RESULT is None
        else:
            inner = result.find("struct")
            expected = result.get("type") if inner is None else inner.attrib["name"]
            assert ours.RESULT is not None
            assert expected == ours.RESULT.NAME

    theirs = element.findall("field")
    assert [f.name.rstrip("_").replace("_", "-") for f in ours.FIELDS] == [f.get("name") for f in theirs]
    for our_field, their_field in zip(ours.FIELDS, theirs, strict=True):
        type_name, choices = resolve(their_field.attrib["type"], cls.attrib["name"])
        if type_name == "bit":
            assert our_field.default is False
        elif our_field.struct is not None:
            assert type_name == our_field.struct.NAME
        else:
            assert our_field.type.name == type_name
        assert enum_of(our_field.domain) == choices_of(choices), our_field


def enum_of(domain: type[IntEnum] | None) -> dict[str, int]:
    return {} if domain is None else {item.name: item.value for item in domain}


def choices_of(element: ET.Element | None) -> dict[str, int]:
    if element is None:
        return {}
    return {x.attrib["name"].upper().replace("-", "_"): number(x.get("value")) for x in element}


@spec_only
def test_nothing_is_invented() -> None:
    known = {name for name, _, _ in EVERYTHING}
    assert {cls.__name__ for table in (c.CONTROLS, c.COMMANDS, c.STRUCTS) for cls in table.values()} <= known
    coded = sum(1 for _, _, element in EVERYTHING if element.get("code"))
    assert len(c.CONTROLS) + len(c.COMMANDS) + len(c.STRUCTS) == coded == 98


@spec_only
def test_every_enum_is_there() -> None:
    enums = {name: domain for name, domain in domains().items() if domain.find("enum") is not None and "." in name}
    for name, domain in enums.items():
        cls, _, simple = name.partition(".")
        ours = getattr(c, camel(cls) + camel(simple) if simple == "return-code" else camel(simple))
        assert enum_of(ours) == choices_of(domain.find("enum"))


@spec_only
@pytest.mark.parametrize("element", spec().findall("type"), ids=lambda element: element.get("name"))
def test_type_is_decoded_in_its_width(element: ET.Element) -> None:
    if not element.get("code"):
        return  # never stands in a map
    code = number(element.get("code"))
    if element.get("fixed-width"):
        width = number(element.get("fixed-width"))
        assert DECODERS[code](bytes(200), 7, 200, 0)[1] == 7 + width
    else:
        width = number(element.get("variable-width"))
        # The smallest value: nothing, or for a struct its code, which is unknown here.
        content = b"\xff\xff" if element.get("name") == "struct32" else b""
        data = bytes(7) + len(content).to_bytes(width, "big") + content
        assert DECODERS[code](data, 7, len(data), 0)[1] == len(data)


def test_construction() -> None:
    """Positions, names, defaults, comparison and printing."""
    transfer = c.MessageTransfer("amq.topic", 1)
    assert (transfer.destination, transfer.accept_mode, transfer.acquire_mode, transfer.sync) == (
        "amq.topic",
        1,
        None,
        False,
    )
    assert transfer == c.MessageTransfer(destination="amq.topic", accept_mode=c.AcceptMode.NONE)
    assert transfer != c.MessageTransfer("amq.topic", 1, sync=True)
    assert transfer != c.MessageCancel("amq.topic")
    assert repr(transfer) == "MessageTransfer(destination='amq.topic', accept_mode=NONE)"
    assert repr(c.ExecutionSync(sync=True)) == "ExecutionSync(sync=True)"
    assert repr(c.QueueDeclare("q", durable=True, sync=True)) == "QueueDeclare(queue='q', durable=True, sync=True)"
    assert c.MessageTransfer.CODE == (4, 1)
    assert c.SessionKnownCompleted.NAME == "session.known-completed"
    with pytest.raises(TypeError):
        c.MessageTransfer(nonsense=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        transfer.nonsense = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        hash(transfer)
