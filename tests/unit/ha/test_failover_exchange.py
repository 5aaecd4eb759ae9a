"""What clients hear at the exchange amq.failover of where the cluster is."""

from __future__ import annotations

from typing import Any

from qpid_address import BrokerURL

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp.codec import decode_header
from qpid_messaging.amqp.values import Array
from qpid_server.ha.failover_exchange import FAILOVER, MEMBERS
from tests.unit.ha.members import E1, Member, follow
from tests.unit.server.driver import Link, Peer, make_broker


def listener(member: Member, queue: str = "news") -> Peer:
    """A client that binds a queue of its own."""
    peer = Link(member.broker).session(queue.encode())
    peer.declare(queue, exclusive=True, auto_delete=True)
    peer.do(c.ExchangeBind(queue=queue, exchange=FAILOVER))
    peer.subscribe(queue)
    return peer


def news(peer: Peer) -> list[dict[str, Any]]:
    """The headers of what it has heard since the last time."""
    peer.link.handler.broker.timers.run(peer.link.handler.broker.clock())
    found = []
    for transfer in peer.receive_all():
        delivery, properties = decode_header(transfer.header or b"")
        assert isinstance(delivery, c.DeliveryProperties)
        assert isinstance(properties, c.MessageProperties)
        assert (delivery.routing_key, transfer.body) == (FAILOVER, None)
        assert properties.application_headers is not None
        found.append(properties.application_headers)
    return found


def primary(**options: Any) -> Member:
    member = Member("a", **options)
    member.reign_under(E1)
    member.advance(0)
    return member


def test_who_binds_a_queue_is_told_at_once() -> None:
    member = primary()
    (told,) = news(listener(member))
    assert isinstance(told[FAILOVER], Array)
    assert told[FAILOVER] == ["amqp:tcp:a:5672,tcp:b:5672,tcp:c:5672"]
    assert [address.host for address in BrokerURL.parse(told[FAILOVER][0]).addresses] == ["a", "b", "c"]
    assert [known["status"] for known in told[MEMBERS]] == [4]


def test_changes_are_told_to_everybody_and_only_changes() -> None:
    member = primary()
    peers = [listener(member, name) for name in ("one", "two")]
    for peer in peers:
        news(peer)
    member.membership.set_public_url("amqps:gate:1000,gate2")
    for peer in peers:
        assert [told[FAILOVER] for told in news(peer)] == [["amqp:ssl:gate:1000,ssl:gate2:5671"]]
    member.membership.set_public_url("amqps:gate:1000,gate2")
    assert news(peers[0]) == []


def test_members_that_one_virtual_address_does_not_name() -> None:
    member = Member("a", names="a")
    member.membership.set_brokers_url("virtual:5672")
    member.reign_under(E1)
    peer = listener(member)
    news(peer)
    follow(Member("b"), member)
    member.advance(0)
    told = news(peer)[-1]
    assert told[FAILOVER][0] == "amqp:tcp:virtual:5672"
    assert told[FAILOVER][1] == "amqp:tcp:b:5672"
    assert (b"b", 2) in [(known["host-name"], known["status"]) for known in told[MEMBERS]]
    # Clients come in elsewhere than brokers: the addresses of these are nothing to them.
    member.membership.set_public_url("gate")
    assert news(peer)[-1][FAILOVER] == ["amqp:tcp:gate:5672"]


def test_what_clients_send_there_goes_nowhere() -> None:
    member = primary()
    peer = listener(member)
    news(peer)
    peer.send(b"lies", FAILOVER, FAILOVER)
    assert peer.failure is None
    assert peer.receive() == []
    (told,) = news(listener(member, "late"))
    assert told[FAILOVER] == ["amqp:tcp:a:5672,tcp:b:5672,tcp:c:5672"]


def test_clients_can_ask_for_it_and_cannot_delete_it() -> None:
    member = primary()
    peer = Link(member.broker).session()
    assert peer.ask(c.ExchangeQuery(name=FAILOVER)).type == FAILOVER
    peer.do(c.ExchangeDelete(exchange=FAILOVER))
    assert peer.failure is not None
    assert FAILOVER in member.broker.exchanges


def test_a_broker_that_stands_alone_has_none() -> None:
    assert FAILOVER not in make_broker().exchanges


def test_a_listener_that_survives_is_told_by_each_new_primary() -> None:
    old, new = Member("a"), Member("b")
    old.reign_under(E1)
    wire = follow(new, old)
    peer = Link(old.broker).session()
    peer.declare("news", arguments={"qpid.replicate": "all"})
    peer.do(c.ExchangeBind(queue="news", exchange=FAILOVER))
    wire.settle()
    assert [binding.exchange.name for binding in new.broker.queues["news"].bindings] == [""]
    # What the primary put on a replicated queue its backup holds; it puts nothing there itself.
    new.advance(0)
    ids = [list(member.broker.queues["news"].by_id) for member in (old, new)]
    assert ids[0] == ids[1] != []
