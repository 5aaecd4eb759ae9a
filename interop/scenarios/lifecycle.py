"""Connections, sessions and links end as they should, and errors stay where they belong."""

import time

from run import same


def test_heartbeat(peer):
    connection = peer.connect(heartbeat=1)
    session = connection.session()
    receiver = session.receiver(peer.queue())
    # Longer than two heartbeat intervals of silence: either side would have given the other up without heartbeats.
    peer.raises(peer.qm.Empty, receiver.fetch, timeout=2.5)
    session.sender(receiver.source).send(u"alive")
    same(receiver.fetch(timeout=5).content, u"alive")
    session.acknowledge()


def test_sessions_are_independent(peer):
    first, second = peer.session(), peer.session()
    receiver = second.receiver(peer.queue())
    first.close()
    second.sender(receiver.source).send(u"still here")
    same(receiver.fetch(timeout=5).content, u"still here")
    second.acknowledge()


def test_named_session(peer):
    session = peer.session(name=peer.name("session"))
    session.sender(peer.queue()).send(u"x")
    session.close()


def test_a_session_error_is_told_and_spares_the_connection(peer):
    session = peer.session()
    receiver = session.receiver(peer.queue())
    sender = session.sender(receiver.source)
    name = receiver.source.split(";")[0]
    # Sending to an exchange that was deleted meanwhile: execution.exception, which ends this session alone.
    topic = session.sender("%s-x; {create: always, node: {type: topic}}" % name)
    peer.session().sender("%s-x; {delete: always}" % name).close()
    error = peer.raises(peer.qm.MessagingError, topic.send, u"nowhere", timeout=5)
    assert "%s-x" % name in str(error), error
    peer.raises(peer.qm.MessagingError, sender.send, u"x")
    peer.session().sender(name).send(u"other session")


def test_reopened_connection(peer):
    connection = peer.qm.Connection(peer.url)
    session = connection.session()
    connection.open(timeout=5)
    connection.attach(timeout=5)
    receiver = session.receiver(peer.queue())
    sender = session.sender(receiver.source)
    connection.detach(timeout=5)
    connection.attach(timeout=5)
    sender.send(u"after detach and attach")
    same(receiver.fetch(timeout=5).content, u"after detach and attach")
    session.acknowledge()
    connection.close(timeout=5)


def test_many_sessions_and_links(peer):
    sessions = [peer.session() for _ in range(20)]
    receivers = [session.receiver(peer.queue()) for session in sessions for _ in range(5)]
    for receiver in receivers:
        sessions[0].sender(receiver.source).send(u"x", sync=False)
    for receiver in receivers:
        same(receiver.fetch(timeout=5).content, u"x")


def test_closed_receiver_gives_back_what_it_prefetched(peer):
    session = peer.session()
    receiver = session.receiver(peer.queue())
    sender = session.sender(receiver.source)
    receiver.capacity = 10
    for number in range(5):
        sender.send(peer.qm.Message(u"%s" % number))
    same(receiver.fetch(timeout=5).content, u"0")
    session.acknowledge()
    receiver.close()
    same(peer.contents(session.receiver(sender.target)), [u"1", u"2", u"3", u"4"])


def test_fetch_waits_for_its_timeout(peer):
    receiver = peer.session().receiver(peer.queue())
    began = time.time()
    peer.raises(peer.qm.Empty, receiver.fetch, timeout=0.3)
    assert 0.25 < time.time() - began < 5


def test_closing_twice(peer):
    session = peer.session()
    receiver = session.receiver(peer.queue())
    for _ in range(2):
        receiver.close()
    for _ in range(2):
        session.close()
