"""Subscriptions to the exchanges that every broker has."""

from run import same


def test_topic(peer):
    session = peer.session()
    keys = ("#", "a.#", "a.*", "*.b", "a.b", "#.c", "")
    receivers = {key: session.receiver("amq.topic/" + key if key else "amq.topic") for key in keys}
    sender = session.sender("amq.topic")
    for subject in ("a", "a.b", "a.b.c", "b", "c"):
        sender.send(peer.qm.Message(b"x", subject=subject))

    def subjects(receiver):
        found = []
        while True:
            try:
                found.append(receiver.fetch(timeout=0).subject)
            except peer.qm.Empty:
                return found

    same(subjects(receivers["#"]), ["a", "a.b", "a.b.c", "b", "c"])
    same(subjects(receivers[""]), ["a", "a.b", "a.b.c", "b", "c"])
    same(subjects(receivers["a.#"]), ["a", "a.b", "a.b.c"])
    same(subjects(receivers["a.*"]), ["a.b"])
    same(subjects(receivers["*.b"]), ["a.b"])
    same(subjects(receivers["a.b"]), ["a.b"])
    same(subjects(receivers["#.c"]), ["a.b.c", "c"])


def test_direct(peer):
    session = peer.session()
    receiver = session.receiver("amq.direct/right")
    session.sender("amq.direct/wrong").send(u"wrong")
    session.sender("amq.direct/right").send(u"right")
    same(peer.contents(receiver), [u"right"])


def test_fanout(peer):
    session = peer.session()
    receivers = [session.receiver("amq.fanout") for _ in range(3)]
    session.sender("amq.fanout").send(u"to all")
    same([peer.contents(receiver) for receiver in receivers], [[u"to all"]] * 3)


def test_headers(peer):
    session = peer.session()
    address = (
        "amq.match; {link: {x-bindings: [{exchange: 'amq.match', key: k,"
        " arguments: {'x-match': '%s', colour: red, size: 7}}]}}"
    )
    both, either = session.receiver(address % "all"), session.receiver(address % "any")
    sender = session.sender("amq.match")
    for text, properties in (
        (u"both", {"colour": u"red", "size": 7}),
        (u"one", {"colour": u"red", "size": 8}),
        (u"none", {"colour": u"blue"}),
    ):
        sender.send(peer.qm.Message(text, properties=properties))
    same(peer.contents(both), [u"both"])
    same(peer.contents(either), [u"both", u"one"])


def test_default_exchange_delivers_to_the_queue_of_that_name(peer):
    session = peer.session()
    receiver = session.receiver(peer.queue())
    session.sender(receiver.source).send(u"straight")
    same(peer.contents(receiver), [u"straight"])


def test_subject_of_the_address_is_the_default(peer):
    session = peer.session()
    receiver = session.receiver("amq.topic/from.address")
    sender = session.sender("amq.topic/from.address")
    sender.send(peer.qm.Message(b"default"))
    sender.send(peer.qm.Message(b"own", subject="elsewhere"))
    found = receiver.fetch(timeout=5)
    same((found.content, found.subject), (b"default", "from.address"))
    peer.raises(peer.qm.Empty, receiver.fetch, timeout=0)
