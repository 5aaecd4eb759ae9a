"""What is replicated: arguments, then rules by name, then the default; and what becomes of bindings."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.abc
import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.management.qmf import Status
from qpid_server.ha.link import LinkError
from qpid_server.ha.survey import dial
from qpid_server.queue import Replicate
from tests.unit.ha.members import E1, E2, Member, follow, replicated_state, texts
from tests.unit.management.console import Console, done
from tests.unit.server.driver import Link, Peer, make_broker

HA_OBJECT = "org.apache.qpid.ha:habroker:ha-broker"


@pytest.fixture
def session() -> Peer:
    broker = make_broker(ha_replicate="configuration", ha_replicate_rule=("queue:orders.*=all", "*.tmp=none"))
    return Link(broker).session()


@pytest.mark.parametrize(
    ("name", "arguments", "queue", "exchange"),
    [
        ("orders.x", {}, "all", "configuration"),
        ("orders.tmp", {}, "all", "none"),
        ("x", {}, "configuration", "configuration"),
        ("x.tmp", {"qpid.replicate": "all"}, "all", "all"),
        ("orders.x", {"qpid.replicate": b"none"}, "none", "none"),
    ],
)
def test_levels(session: Peer, name: str, arguments: dict[str, Any], queue: str, exchange: str) -> None:
    broker = session.link.broker
    session.declare(name, arguments=arguments)
    session.do(c.ExchangeDeclare(exchange=name, type="topic", arguments=arguments))
    assert (broker.queues[name].replicate.value, broker.exchanges[name].replicate.value) == (queue, exchange)


@pytest.mark.parametrize("value", ["some", "", 7, "ALL", ["all"]])
def test_a_wrong_level_is_refused(value: Any) -> None:
    broker = make_broker()
    commands = [
        c.QueueDeclare(queue="q", arguments={"qpid.replicate": value}),
        c.ExchangeDeclare(exchange="e", type="topic", arguments={"qpid.replicate": value}),
    ]
    for number, command in enumerate(commands):
        peer = Link(broker).session(b"%d" % number)
        peer.do(command)
        assert peer.failure is not None
        assert "replication level" in (peer.failure.description or "")
    assert "q" not in broker.queues
    assert "e" not in broker.exchanges
    peer = Link(broker).session(b"binding")
    peer.declare("q")
    peer.do(c.ExchangeBind(queue="q", exchange="amq.topic", binding_key="k", arguments={"qpid.replicate": value}))
    assert peer.failure is not None
    assert not broker.exchanges["amq.topic"].find(broker.queues["q"], "k")


def test_bindings_follow_their_ends_and_their_own_arguments() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire = follow(backup, primary)
    session = Link(primary.broker).session()
    for name, level in (("both", "all"), ("own", "none")):
        session.declare(name, arguments={"qpid.replicate": level})
        session.do(c.ExchangeDeclare(exchange=name, type="topic", arguments={"qpid.replicate": level}))
    keep_back = {"qpid.replicate": "none"}
    for queue, exchange, key, arguments in (
        ("both", "both", "told", {}),
        ("both", "amq.topic", "told", {"qpid.replicate": "configuration"}),
        ("both", "both", "kept", keep_back),
        ("both", "own", "kept", {}),
        ("own", "both", "kept", {"qpid.replicate": "all"}),
    ):
        session.do(c.ExchangeBind(queue=queue, exchange=exchange, binding_key=key, arguments=arguments))
    wire.settle()
    assert session.failure is None

    def keys(member: Member) -> list[str]:
        return sorted(binding.key for binding in member.broker.queues["both"].bindings if binding.exchange.name)

    assert keys(primary) == ["kept", "kept", "told", "told"]
    assert keys(backup) == ["told", "told"]
    session.do(c.ExchangeUnbind(queue="both", exchange="both", binding_key="kept"))
    session.do(c.ExchangeUnbind(queue="both", exchange="both", binding_key="told"))
    wire.settle()
    assert (keys(primary), keys(backup)) == (["kept", "told"], ["told"])
    # A joiner is told the same by the difference.
    late = Member("c")
    follow(late, primary)
    assert keys(late) == ["told"]


def test_an_exclusive_binding_displaces_others_on_backups_too() -> None:
    primary, backup = Member("a"), Member("b")
    primary.reign_under(E1)
    wire = follow(backup, primary)
    session = Link(primary.broker).session()
    for name, arguments in (("one", {}), ("two", {"qpid.exclusive-binding": True})):
        session.declare(name, arguments={"qpid.replicate": "all"})
        wire.settle()
        session.do(c.ExchangeBind(queue=name, exchange="amq.direct", binding_key="k", arguments=arguments))
        wire.settle()
    for member in (primary, backup):
        bindings = member.broker.exchanges["amq.direct"].bindings.values()
        assert [binding.destination for binding in bindings] == [member.broker.queues["two"]]


def test_what_a_stale_primary_bound_for_itself_stays_its_own() -> None:
    old, new = Member("a"), Member("b")
    old.reign_under(E1)
    wire = follow(new, old)
    session = Link(old.broker).session()
    session.declare("q", arguments={"qpid.replicate": "all"})
    session.do(
        c.ExchangeBind(queue="q", exchange="amq.topic", binding_key="kept", arguments={"qpid.replicate": "none"})
    )
    wire.settle()
    wire.cut()
    new.reign_under(E2)
    old.step_down("a test says so")
    follow(old, new)
    assert old.broker.queues["q"].replicate is Replicate.ALL


# -- at run time ------------------------------------------------------------------------------------------------------


def managed(**options: Any) -> tuple[Console, Member]:
    member = Member("a", **options)
    console = Console()
    console.broker.ha = member.broker.ha
    return console, member


def test_rules_are_changed() -> None:
    console, member = managed(ha_replicate_rule=("a*=all",), ha_min_replicas=1)
    assert member.broker.replication_rules.level("queue", "abc") == "all"
    assert done(console.call("setReplicateRules", {"rules": ["queue:b*=all", b"*=configuration"]}, HA_OBJECT))
    assert member.broker.ha.replicate_rules == ["queue:b*=all", "*=configuration"]
    assert member.broker.replication_rules.level("queue", "abc") == "configuration"
    for wrong in (["queue:b"], "a=all", [7], None):
        error = console.call("setReplicateRules", {"rules": wrong}, HA_OBJECT).error
        assert error[0] is Status.INVALID_PARAMETER
    assert member.broker.ha.replicate_rules == ["queue:b*=all", "*=configuration"]
    assert done(console.call("setReplicateRules", {"rules": []}, HA_OBJECT))
    assert member.broker.replication_rules.level("queue", "abc") == "none"


def test_the_public_url_is_the_brokers_url_until_it_is_set() -> None:
    _, member = managed()
    assert member.membership.public_url == member.membership.brokers_url == "a:5672,b:5672,c:5672"
    member.membership.set_brokers_url("amqp:x:1,rdma:y:2")
    assert member.membership.public_url == "amqp:x:1,rdma:y:2"
    assert member.broker.known_hosts() == ["amqp:tcp:x:1", "amqp:rdma:y:2"]
    member.membership.set_public_url("amqps:vip")
    member.membership.set_brokers_url("z")
    assert member.broker.known_hosts() == ["amqp:ssl:vip:5671"]
    with pytest.raises(ValueError, match="port"):
        member.membership.set_public_url("vip:many")
    assert member.membership.public_url == "amqps:vip"
    member.membership.set_public_url("")
    assert member.membership.public_url == "z"


def test_rdma_is_refused_by_name_when_it_is_dialled() -> None:
    _, member = managed()
    member.membership.set_brokers_url("a:5672,rdma:b:5672")
    assert member.membership.addresses_of_others(None) == ["rdma:b:5672"]
    assert member.membership.count == 2
    with pytest.raises(LinkError, match=r"rdma:b:5672: rdma is not supported"):
        anyio.run(dial, member, "rdma:b:5672")


def test_names_that_are_not_utf8_are_replicated_octet_by_octet() -> None:
    a, b = Member("a", ha_replicate="all"), Member("b")
    a.reign_under(E1)
    wire = follow(b, a)
    peer = Link(a.broker).session()
    peer.do(c.QueueDeclare(queue="q\udcff"))
    peer.do(c.ExchangeDeclare(exchange="x\udcff", type="fanout"))
    peer.do(c.ExchangeBind(exchange="x\udcff", queue="q\udcff", binding_key="k\udcff"))
    peer.send(b"1", "q\udcff")
    peer.do(c.MessageTransfer(destination="x\udcff"), None, b"2")
    wire.settle()
    peer.subscribe("q\udcff")
    peer.settle(c.MessageAccept, peer.receive_all()[0])
    wire.settle()
    assert peer.failure is None
    assert texts(b.broker, "q\udcff") == ["2"]
    newcomer = Member("c")
    follow(newcomer, a)
    assert replicated_state(a.broker) == replicated_state(b.broker) == replicated_state(newcomer.broker)


@pytest.mark.parametrize("address", ["", "nonsense", "b:port", "b:99999", "a:1,b:2", "[::1:5672", "\0:1"])
def test_what_a_member_gives_for_an_address_and_is_none(address: str) -> None:
    class Nowhere:
        async def connect(self, host: str, port: int) -> anyio.abc.ByteStream:
            raise OSError("nobody there")

    _, member = managed()
    member.network = Nowhere()
    with pytest.raises(LinkError, match=r"no address|nobody there"):
        anyio.run(dial, member, address)
