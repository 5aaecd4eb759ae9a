"""Address resolution: nodes and links, created, asserted and deleted as the options say."""

from run import same


def exists(peer, name):
    # On a connection of its own: the original client remembers for a while what a name was.
    try:
        peer.connect().session().sender(name)
    except peer.qm.NotFound:
        return False
    return True


def test_unknown_node(peer):
    session = peer.session()
    peer.raises(peer.qm.NotFound, session.sender, peer.name())
    peer.raises(peer.qm.NotFound, session.receiver, peer.name())
    # A link that failed does not spoil its session.
    session.sender(peer.queue()).send(u"fine")


def test_create(peer):
    name = peer.name()
    session = peer.session()
    peer.raises(peer.qm.NotFound, session.sender, name + "; {create: receiver}")
    session.receiver(name + "; {create: receiver}").close()
    session.sender(name).send(u"kept")
    same(session.receiver(name + "; {create: always}").fetch(timeout=5).content, u"kept")
    session.acknowledge()


def test_delete(peer):
    name = peer.name()
    session = peer.session()
    session.sender(name + "; {create: always}").close()
    assert exists(peer, name)
    session.sender(name + "; {delete: receiver}").close()
    assert exists(peer, name)
    session.sender(name + "; {delete: sender}").close()
    assert not exists(peer, name)


def test_create_topic(peer):
    name = peer.name("topic")
    session = peer.session()
    sender = session.sender(name + "; {create: always, delete: always, node: {type: topic}}")
    receiver = session.receiver(name + "/a.*")
    sender.send(peer.qm.Message(u"no", subject="b.c"))
    sender.send(peer.qm.Message(u"yes", subject="a.c"))
    same(receiver.fetch(timeout=5).content, u"yes")
    receiver.close()
    sender.close()
    assert not exists(peer, name)


def test_create_topic_of_a_type(peer):
    name = peer.name("fanout")
    session = peer.session()
    sender = session.sender(name + "; {create: always, node: {type: topic, x-declare: {type: fanout}}}")
    receivers = [session.receiver(name) for _ in range(2)]
    sender.send(u"to all")
    same([receiver.fetch(timeout=5).content for receiver in receivers], [u"to all"] * 2)
    session.acknowledge()


def test_assert(peer):
    session = peer.session()
    queue = session.sender(peer.queue()).target.split(";")[0]
    session.sender(queue + "; {assert: always, node: {type: queue}}").close()
    session.sender("amq.topic; {assert: always, node: {type: topic}}").close()
    options = "; {assert: always, node: {type: topic}}"
    peer.raises(peer.qm.ResolutionError, session.sender, queue + options)
    peer.raises(peer.qm.ResolutionError, session.receiver, queue + options)


def test_malformed_address(peer):
    session = peer.session()
    peer.raises(peer.qm.MalformedAddress, session.sender, "name; {create: }")
    peer.raises(peer.qm.MalformedAddress, session.receiver, "name; {")


def test_invalid_option(peer):
    session = peer.session()
    peer.raises(peer.qm.InvalidOption, session.sender, "name; {create: sometimes}")
    peer.raises(peer.qm.InvalidOption, session.receiver, "name; {node: {type: stack}}")


def test_x_declare(peer):
    name = peer.name()
    session = peer.session()
    options = "; {create: always, node: {x-declare: {auto-delete: True, arguments: {'qpid.replicate': none}}}}"
    receiver = session.receiver(name + options)
    assert exists(peer, name)
    receiver.close()
    assert not exists(peer, name), "auto-delete"


def test_exclusive_queue(peer):
    name = peer.name()
    options = "; {create: always, node: {x-declare: {exclusive: True}}}"
    peer.session().receiver(name + options)
    peer.raises(peer.qm.MessagingError, peer.connect().session().receiver, name)


def test_node_bindings(peer):
    name = peer.name()
    session = peer.session()
    session.receiver(
        name + "; {create: always, node: {x-bindings: [{exchange: 'amq.topic', key: 'news.#'},"
        " {exchange: 'amq.direct', key: exact}]}}"
    ).close()
    session.sender("amq.topic/news.today").send(u"topic")
    session.sender("amq.topic/olds.today").send(u"lost")
    session.sender("amq.direct/exact").send(u"direct")
    same(peer.contents(session.receiver(name)), [u"topic", u"direct"])
    session.acknowledge()


def test_link_bindings(peer):
    session = peer.session()
    receiver = session.receiver(
        "amq.direct; {link: {x-bindings: [{exchange: 'amq.direct', key: one}, {exchange: 'amq.direct', key: two}]}}"
    )
    for key in ("one", "two", "three"):
        session.sender("amq.direct/" + key).send(peer.qm.Message(b"sent", subject=key))
    same([receiver.fetch(timeout=5).subject for _ in range(2)], ["one", "two"])
    peer.raises(peer.qm.Empty, receiver.fetch, timeout=0)


def test_named_link_queue_is_deleted_with_the_link(peer):
    name = peer.name("subscription")
    receiver = peer.session().receiver("amq.fanout; {link: {name: '%s'}}" % name)
    assert exists(peer, name)
    receiver.close()
    assert not exists(peer, name)


def test_durable_named_link(peer):
    name = peer.name("subscription")
    address = "amq.fanout; {link: {name: '%s', durable: True, reliability: at-least-once," % name
    address += " x-declare: {auto-delete: False, exclusive: False}}}"
    session = peer.session()
    session.receiver(address).close()
    session.sender("amq.fanout").send(u"while away")
    same(session.receiver(address).fetch(timeout=5).content, u"while away")
    session.acknowledge()


def test_temporary_queue(peer):
    session = peer.session()
    receiver = session.receiver("#; {create: always}")
    session.sender(receiver.source).send(u"temporary")
    same(receiver.fetch(timeout=5).content, u"temporary")
    session.acknowledge()


def test_x_subscribe(peer):
    session = peer.session()
    address = peer.queue()
    session.sender(address).close()
    name = address.split(";")[0]
    session.receiver(name + "; {link: {x-subscribe: {exclusive: True}}}")
    other = peer.session()
    peer.raises(peer.qm.MessagingError, other.receiver, name)
