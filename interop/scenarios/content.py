"""What a message can hold arrives as it was sent."""

import time
import uuid

from run import same


def echo(peer, message):
    session = peer.session()
    sender = session.sender(peer.queue())
    receiver = session.receiver(sender.target)
    sender.send(message)
    received = receiver.fetch(timeout=5)
    session.acknowledge()
    same(session.receiver(sender.target).available(), 0)
    return received


def test_hello(peer):
    same(echo(peer, peer.qm.Message(u"Hello world!")).content, u"Hello world!")


def test_text(peer):
    received = echo(peer, peer.qm.Message(u"na\xefve \u20ac \U0001f600"))
    same(received.content, u"na\xefve \u20ac \U0001f600")
    same(received.content_type, "text/plain")


def test_bytes(peer):
    every = bytes(bytearray(range(256)))
    received = echo(peer, peer.qm.Message(every))
    same(received.content, every)
    same(received.content_type, None)


def test_nothing(peer):
    received = echo(peer, peer.qm.Message(None))
    assert not received.content, received


def test_empty(peer):
    same(echo(peer, peer.qm.Message(u"")).content or u"", u"")


def test_map(peer):
    content = {
        u"text": u"\u20ac",
        u"whole": 42,
        u"negative": -(2**62),
        u"real": 2.5,
        u"yes": True,
        u"no": False,
        u"none": None,
        u"uuid": uuid.UUID("12345678123456781234567812345678"),
        u"list": [1, u"two", [3.0, None]],
        u"map": {u"deep": {u"deeper": [{}]}},
    }
    received = echo(peer, peer.qm.Message(content))
    same(received.content, content)
    same(received.content_type, "amqp/map")


def test_list(peer):
    content = [1, u"two", 3.0, None, True, {u"five": 5}, []]
    received = echo(peer, peer.qm.Message(content))
    same(received.content, content)
    same(received.content_type, "amqp/list")


def test_own_content_type(peer):
    received = echo(peer, peer.qm.Message(b"\x89PNG", content_type="image/png"))
    same(received.content, b"\x89PNG")
    same(received.content_type, "image/png")


def test_more_than_a_frame(peer):
    content = b"0123456789abcdef" * 20000
    same(echo(peer, peer.qm.Message(content)).content, content)


def test_message_properties(peer):
    sent = peer.qm.Message(
        u"content",
        id=uuid.uuid4(),
        subject=u"subject",
        user_id="user",
        correlation_id="correlation",
        durable=True,
        priority=7,
        ttl=60,
        properties={u"number": 1, u"text": u"\u20ac", u"nested": {u"list": [1, 2]}},
    )
    received = echo(peer, sent)
    same(received.id, sent.id)
    same(received.subject, u"subject")
    same(received.user_id, "user")
    same(received.correlation_id, "correlation")
    same(received.durable, True)
    same(received.priority, 7)
    assert 0 < received.ttl <= 60, received.ttl
    for key, value in sent.properties.items():
        same(received.properties[key], value)
    same(received.redelivered, False)


def test_unset_properties_stay_unset(peer):
    received = echo(peer, peer.qm.Message(b"bare"))
    same((received.id, received.reply_to, received.correlation_id, received.user_id), (None,) * 4)
    assert not received.durable
    same(received.ttl, None)


def test_reply_to(peer):
    session = peer.session()
    replies = session.receiver("#")
    requests = session.receiver(peer.queue())
    session.sender(requests.source).send(peer.qm.Message(u"request", reply_to=replies.source, correlation_id="1"))
    request = requests.fetch(timeout=5)
    session.sender(request.reply_to).send(peer.qm.Message(u"reply", correlation_id=request.correlation_id))
    reply = replies.fetch(timeout=5)
    same((reply.content, reply.correlation_id), (u"reply", "1"))
    session.acknowledge()


def test_reply_to_a_topic(peer):
    session = peer.session()
    replies = session.receiver("amq.topic/answers")
    requests = session.receiver(peer.queue())
    sent = peer.qm.Message(u"request", reply_to="amq.topic/answers; {node: {type: topic}}")
    session.sender(requests.source).send(sent)
    session.sender(requests.fetch(timeout=5).reply_to).send(u"reply")
    same(replies.fetch(timeout=5).content, u"reply")
    session.acknowledge()


def test_order(peer):
    session = peer.session()
    sender = session.sender(peer.queue())
    for number in range(500):
        sender.send(peer.qm.Message(u"%s" % number), sync=False)
    sender.sync(timeout=5)
    receiver = session.receiver(sender.target)
    receiver.capacity = 50
    same([receiver.fetch(timeout=5).content for _ in range(500)], [u"%s" % number for number in range(500)])
    session.acknowledge()


def test_expired_messages_are_not_delivered(peer):
    session = peer.session()
    sender = session.sender(peer.queue())
    sender.send(peer.qm.Message(u"gone", ttl=0.001))
    session.sync(timeout=5)
    time.sleep(0.01)  # the time that has to pass is what is tested
    sender.send(peer.qm.Message(u"stays", ttl=60))
    same(peer.contents(session.receiver(sender.target)), [u"stays"])
