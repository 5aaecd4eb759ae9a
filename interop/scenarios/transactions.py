"""Local transactions: all of it, or nothing."""

from run import same


def test_commit_sends(peer):
    session = peer.session(transactional=True)
    sender = session.sender(peer.queue())
    receiver = peer.session().receiver(sender.target)
    for content in (u"a", u"b", u"c"):
        sender.send(content)
    same(peer.contents(receiver), [])
    session.commit(timeout=5)
    same(peer.contents(receiver), [u"a", u"b", u"c"])


def test_rollback_forgets_sends(peer):
    session = peer.session(transactional=True)
    sender = session.sender(peer.queue())
    sender.send(u"a")
    session.rollback(timeout=5)
    session.commit(timeout=5)
    same(peer.contents(peer.session().receiver(sender.target)), [])


def test_commit_acknowledges(peer):
    plain, session = peer.session(), peer.session(transactional=True)
    sender = plain.sender(peer.queue())
    sender.send(u"a")
    receiver = session.receiver(sender.target)
    same(receiver.fetch(timeout=5).content, u"a")
    session.acknowledge()
    session.commit(timeout=5)
    session.close()
    same(peer.contents(plain.receiver(sender.target)), [])


def test_rollback_gives_back(peer):
    plain, session = peer.session(), peer.session(transactional=True)
    sender = plain.sender(peer.queue())
    for content in (u"a", u"b"):
        sender.send(content)
    receiver = session.receiver(sender.target)
    same(peer.contents(receiver), [u"a", u"b"])
    session.acknowledge()
    session.rollback(timeout=5)
    again = [receiver.fetch(timeout=5) for _ in range(2)]
    same([(m.content, m.redelivered) for m in again], [(u"a", True), (u"b", True)])


def test_move_in_one_transaction(peer):
    plain, session = peer.session(), peer.session(transactional=True)
    source, target = plain.sender(peer.queue()), session.sender(peer.queue())
    source.send(u"a")
    session_receiver = session.receiver(source.target)
    target.send(session_receiver.fetch(timeout=5))
    session.acknowledge()
    arrived = plain.receiver(target.target)
    same(peer.contents(arrived), [])
    session.commit(timeout=5)
    same(peer.contents(arrived), [u"a"])


def test_closing_without_commit_is_a_rollback(peer):
    session = peer.session(transactional=True)
    sender = session.sender(peer.queue())
    sender.send(u"a")
    session.close(timeout=5)
    same(peer.contents(peer.session().receiver(sender.target)), [])


def test_commit_of_a_plain_session_is_an_error(peer):
    peer.raises(peer.qm.NontransactionalSession, peer.session().commit)
