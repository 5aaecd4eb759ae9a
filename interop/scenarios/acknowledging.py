"""Acknowledging, releasing, rejecting, browsing; prefetch."""

from run import same


def filled(peer, *contents, **declare):
    """A session and the name of a queue that holds the contents."""
    session = peer.session()
    sender = session.sender(peer.queue(**declare))
    for content in contents:
        sender.send(peer.qm.Message(content))
    return session, sender.target.split(";")[0]


def left(peer, queue):
    """What another consumer finds in the queue."""
    session = peer.session()
    found = peer.contents(session.receiver(queue))
    session.close()
    return found


def test_acknowledged_messages_are_gone(peer):
    session, queue = filled(peer, u"a", u"b", u"c")
    receiver = session.receiver(queue)
    same(peer.contents(receiver), [u"a", u"b", u"c"])
    session.acknowledge()
    receiver.close()
    same(left(peer, queue), [])


def test_acknowledge_async(peer):
    session, queue = filled(peer, u"a", u"b", u"c")
    receiver = session.receiver(queue)
    same(peer.contents(receiver), [u"a", u"b", u"c"])
    session.acknowledge(sync=False)
    session.sync(timeout=5)
    session.close()
    same(left(peer, queue), [])


def test_acknowledge_one(peer):
    session, queue = filled(peer, u"a", u"b", u"c")
    receiver = session.receiver(queue)
    receiver.fetch(timeout=5)
    second = receiver.fetch(timeout=5)
    receiver.fetch(timeout=5)
    session.acknowledge(second)
    session.close()
    same(left(peer, queue), [u"a", u"c"])


def test_what_is_not_acknowledged_comes_again(peer):
    session, queue = filled(peer, u"a", u"b")
    receiver = session.receiver(queue)
    same(receiver.fetch(timeout=5).redelivered, False)
    session.close()
    again = peer.session().receiver(queue).fetch(timeout=5)
    same((again.content, again.redelivered), (u"a", True))


def test_a_lost_connection_gives_its_messages_back(peer):
    _, queue = filled(peer, u"a", u"b")
    other = peer.qm.Connection.establish(peer.url)
    same(other.session().receiver(queue).fetch(timeout=5).content, u"a")
    other.detach(timeout=5)
    same(left(peer, queue), [u"a", u"b"])


def test_release(peer):
    session, queue = filled(peer, u"a", u"b", u"c")
    receiver = session.receiver(queue)
    a, b, c = [receiver.fetch(timeout=5) for _ in range(3)]
    session.acknowledge(a)
    session.acknowledge(b, peer.qm.Disposition(peer.qm.RELEASED, set_redelivered=True))
    session.acknowledge(c, peer.qm.Disposition(peer.qm.RELEASED))
    again = [receiver.fetch(timeout=5) for _ in range(2)]
    same([(m.content, m.redelivered) for m in again], [(u"b", True), (u"c", False)])
    session.acknowledge()


def test_reject_goes_to_the_alternate_exchange(peer):
    dead = peer.session().receiver("amq.fanout")
    session, queue = filled(peer, u"a", u"b", u"c", **{"alternate-exchange": "amq.fanout"})
    receiver = session.receiver(queue)
    a, b, c = [receiver.fetch(timeout=5) for _ in range(3)]
    session.acknowledge(a)
    session.acknowledge(b, peer.qm.Disposition(peer.qm.REJECTED))
    session.acknowledge(c, peer.qm.Disposition(peer.qm.REJECTED, code=0, text="no use"))
    same([dead.fetch(timeout=5).content for _ in range(2)], [u"b", u"c"])
    session.close()
    same(left(peer, queue), [])


def test_reject_without_alternate_exchange_drops(peer):
    session, queue = filled(peer, u"a")
    message = session.receiver(queue).fetch(timeout=5)
    session.acknowledge(message, peer.qm.Disposition(peer.qm.REJECTED))
    session.close()
    same(left(peer, queue), [])


def test_browse(peer):
    session, queue = filled(peer, u"a", u"b", u"c")
    browser = session.receiver(queue + "; {mode: browse}")
    same(peer.contents(browser), [u"a", u"b", u"c"])
    same(peer.contents(browser), [])
    again = session.receiver(queue + "; {mode: browse}")
    same(peer.contents(again), [u"a", u"b", u"c"])
    session.acknowledge()
    same(left(peer, queue), [u"a", u"b", u"c"])


def test_unreliable_link(peer):
    session, queue = filled(peer, u"a", u"b")
    receiver = session.receiver(queue + "; {link: {reliability: unreliable}}")
    same(receiver.fetch(timeout=5).content, u"a")
    receiver.close()
    session.close()
    assert u"a" not in left(peer, queue)


def test_prefetch(peer):
    session, queue = filled(peer, *[u"%s" % number for number in range(10)])
    receiver = session.receiver(queue)
    receiver.capacity = 4
    same(receiver.fetch(timeout=5).content, u"0")
    other = peer.session()
    taken = peer.contents(other.receiver(queue))
    # What the first receiver holds, fetched or not, no other consumer gets.
    assert u"0" not in taken, taken
    assert u"1" not in taken, taken
    other.close()
    same(peer.contents(receiver, timeout=1), [u"%s" % number for number in range(1, 10)])
    session.acknowledge()


def test_unlimited_prefetch(peer):
    session, queue = filled(peer)
    receiver = session.receiver(queue)
    receiver.capacity = peer.qm.UNLIMITED
    sender = session.sender(queue)
    for number in range(100):
        sender.send(peer.qm.Message(u"%s" % number), sync=False)
    same([receiver.fetch(timeout=5).content for _ in range(100)], [u"%s" % number for number in range(100)])
    session.acknowledge()


def test_next_receiver(peer):
    session = peer.session()
    receivers = [session.receiver(peer.queue()) for _ in range(3)]
    for receiver in receivers:
        receiver.capacity = 10
    session.sender(receivers[1].source).send(u"here")
    found = session.next_receiver(timeout=5)
    assert found is receivers[1], found
    same(found.fetch(timeout=5).content, u"here")
    session.acknowledge()


def test_two_consumers_share(peer):
    session, queue = filled(peer, *[u"%s" % number for number in range(20)])
    receivers = [session.receiver(queue) for _ in range(2)]
    found = []
    for _ in range(10):
        found += [receiver.fetch(timeout=5).content for receiver in receivers]
    same(sorted(found, key=int), [u"%s" % number for number in range(20)])
    session.acknowledge()


def test_sender_capacity(peer):
    session = peer.session()
    sender = session.sender(peer.queue())
    sender.capacity = 5
    for number in range(50):
        sender.send(peer.qm.Message(u"%s" % number), sync=False, timeout=5)
        assert sender.unsettled() <= 5, sender.unsettled()
    sender.sync(timeout=5)
    same(sender.unsettled(), 0)
