"""What a client tells of its state, and what it raises where something cannot be done in it."""

import threading

from run import same

REFUSED = "127.0.0.1:4"  # nobody listens there


def test_a_connection_that_is_opened_and_closed(peer):
    connection = peer.qm.Connection(peer.url)
    same((connection.opened(), connection.attached()), (False, False))
    for _ in range(2):
        connection.open(timeout=5)
        same((connection.opened(), connection.attached()), (True, True))
        same((connection.check_closed(), connection.get_error(), connection.check_error()), (None, None, None))
        error = peer.raises(peer.qm.ConnectionError, connection.open)
        assert "already open" in str(error)
        connection.close(timeout=5)
        same((connection.opened(), connection.attached()), (False, False))
        connection.detach(timeout=5)


def test_a_connection_that_is_refused(peer):
    connection = peer.qm.Connection(REFUSED)
    error = peer.raises(peer.qm.ConnectError, connection.open, timeout=5)
    assert "refused" in str(error)
    same(connection.get_error(), error)
    same((connection.opened(), connection.attached()), (True, True))
    peer.raises(peer.qm.ConnectError, connection.attach, timeout=5)
    peer.raises(peer.qm.ConnectionError, connection.open, timeout=5)
    connection.session()
    connection.detach(timeout=5)
    same((connection.opened(), connection.attached()), (True, False))


def test_links_of_a_connection_that_is_not_open(peer):
    connection = peer.qm.Connection(peer.url)
    session = connection.session()
    sender = session.sender(peer.queue(), capacity=5)
    receiver = session.receiver(sender.target)
    same((sender.linked, sender.closed, sender.closing), (False, False, False))
    same((sender.unsettled(), sender.available(), receiver.unsettled(), receiver.available()), (0, 5, 0, 0))
    same((session.senders, session.receivers), ([sender], [receiver]))
    peer.raises(peer.qm.Detached, sender.send, u"x")
    connection.open(timeout=5)
    same((sender.linked, receiver.linked), (True, True))
    sender.send(u"x")
    same(receiver.fetch(timeout=5).content, u"x")
    session.acknowledge()
    connection.close(timeout=5)
    same((sender.closed, receiver.closed, session.closed), (True, True, True))


def test_a_detached_connection(peer):
    connection = peer.connect()
    session, transaction = connection.session(), connection.session(transactional=True)
    sender = session.sender(peer.queue())
    transaction.sender(sender.target)
    connection.detach(timeout=5)
    same((connection.opened(), connection.attached()), (True, False))
    peer.raises(peer.qm.Detached, sender.send, u"x")
    receiver = session.receiver(sender.target)
    same(receiver.linked, False)
    same((session.get_error(), session.check_closed()), (None, None))
    same(type(transaction.get_error()), peer.qm.TransactionAborted)
    peer.raises(peer.qm.TransactionAborted, transaction.commit, timeout=5)
    connection.attach(timeout=5)
    sender.send(u"x")
    same(receiver.fetch(timeout=5).content, u"x")
    session.acknowledge()


def test_a_closed_session(peer):
    qm = peer.qm
    session = peer.session()
    sender = session.sender(peer.queue())
    receiver = session.receiver(sender.target)
    session.close(timeout=5)
    same((session.closed, session.closing, sender.closed, receiver.closed), (True, True, True, True))
    peer.raises(qm.Detached, sender.send, u"x")
    peer.raises(qm.LinkClosed, receiver.fetch, timeout=0)
    peer.raises(qm.SessionClosed, session.next_receiver, timeout=0)
    peer.raises(qm.SessionClosed, session.acknowledge)
    peer.raises(qm.SessionClosed, session.check_closed)
    peer.raises(qm.LinkClosed, sender.check_closed)
    peer.raises(qm.LinkClosed, receiver.check_closed)
    peer.raises(qm.NontransactionalSession, session.commit)
    same((session.get_error(), sender.get_error(), receiver.get_error()), (None, None, None))
    session.sync(timeout=5)


def test_errors_of_links_leave_the_session_as_it_was(peer):
    qm = peer.qm
    session = peer.session()
    for kind, address, text in (
        (qm.MalformedAddress, None, "None"),
        (qm.MalformedAddress, "name; {bad options", "expecting COLON, got ID(options) line:1,11:name; {bad options"),
        (qm.MalformedAddress, "n\0me", "unrecognized characters"),
        (qm.NotFound, "no-such-node", "no such queue: no-such-node"),
        (qm.NotFound, "no-such-node; {node: {type: topic}}", "no such topic: no-such-node"),
        (qm.InvalidOption, "q; {create: x}", "options: create: x not in ('always', 'sender', 'receiver', 'never')"),
        (qm.InvalidOption, "q; {link: {durable: 1}}", "error in options: link: durable: 1 is not a bool"),
        (qm.InvalidOption, "q; {node: {x-bindings: [{nothing: 1}]}}", "node: x-bindings: nothing: illegal key"),
        (qm.ResolutionError, "amq.topic; {assert: always, node: {type: queue}}", "queue"),
    ):
        for make in (session.sender, session.receiver):
            assert text in str(peer.raises(kind, make, address))
    same((session.senders, session.receivers, session.get_error()), ([], [], None))
    assert "mode: illegal key" in str(peer.raises(qm.InvalidOption, session.sender, "q; {mode: browse}"))
    session.sender(peer.queue()).send(u"x")


def test_codes_of_errors(peer):
    qm = peer.qm
    owner, other, third = peer.connect().session(), peer.connect().session(), peer.session()
    receiver = owner.receiver(peer.queue(exclusive=True))
    name = receiver.source.split(";")[0]
    error = peer.raises(qm.ReceiverError, other.receiver, name)
    same(error.code, 405)
    assert "resource-locked" in str(error)
    assert name in str(error)
    same((other.get_error(), other.connection.get_error()), (error, None))
    other.close(timeout=5)
    same(peer.raises(qm.SessionError, third.sender("amq.topic; {delete: always}").close).code, 530)


def test_content_that_cannot_be_sent_is_told_once(peer):
    session = peer.session()
    sender = session.sender(peer.queue())
    for _ in range(2):
        peer.raises(peer.qm.ContentError, sender.send, peer.qm.Message(1, content_type="text/plain"))
        sender.send(u"as before")
    same((session.get_error(), session.connection.get_error(), sender.unsettled()), (None, None, 0))
    same(peer.contents(session.receiver(sender.target)), [u"as before", u"as before"])
    session.acknowledge()


def test_names_and_texts(peer):
    qm = peer.qm
    session = peer.connection.session("mine")
    same(session.name, peer.connection.id + ":mine")
    assert peer.connection.session("mine") is session
    assert peer.connection.sessions[session.name] is session
    same(repr(session), "<Session %s>" % session.name)
    same(repr(qm.Message()), "Message()")
    same(repr(qm.Message(b"", content_type="a/b", ttl=5)), "Message(ttl=5, content_type='a/b', content=%r)" % b"")
    same(repr(qm.Disposition(qm.RELEASED, set_redelivered=True)), "Disposition(RELEASED, set_redelivered=True)")
    same(repr(qm.UNLIMITED), "UNLIMITED")
    same((qm.UNLIMITED.value, qm.REJECTED.value is qm.REJECTED), (0xFFFFFFFF, True))
    error = qm.NotFound(404, "no such node", node="q")
    same((error.code, error.text, error.info), (404, "no such node", {"node": "q"}))
    same(str(error), "no such node(404) node='q'")


def test_options_that_cannot_be(peer):
    for options, value in (({"protocol": "amqp1.0"}, "amqp1.0"), ({"no_such_option": 1}, "1")):
        error = peer.raises(peer.qm.ConnectionError, peer.qm.Connection, peer.url, **options)
        assert value in str(error)


class Handler(object):
    """Keeps what it is called with.

    Attributes:
        calls: the arguments of each call.
        called: set by each.
    """

    def __init__(self):
        self.calls = []
        self.called = threading.Event()

    def without(self):
        self.calls.append(())
        self.called.set()

    def with_one(self, endpoint):
        self.calls.append((endpoint,))
        self.called.set()

    def with_two(self, endpoint, error):
        self.calls.append((endpoint, error))
        self.called.set()


def test_a_handler_of_messages(peer):
    session = peer.session()
    receiver = session.receiver(peer.queue(), capacity=10)
    sender = session.sender(receiver.source)
    first, second = Handler(), Handler()
    for handler, method, arguments in ((first, first.with_one, (session,)), (second, second.without, ())):
        session.set_message_received_notify_handler(method)
        sender.send(u"x")
        assert handler.called.wait(10)
        same(handler.calls, [arguments])
    session.set_message_received_notify_handler(None)
    same(peer.contents(receiver), [u"x", u"x"])
    session.acknowledge()


def test_a_handler_of_errors(peer):
    connection, handler = peer.qm.Connection(REFUSED), Handler()
    connection.set_async_exception_notify_handler(handler.with_two)
    error = peer.raises(peer.qm.ConnectError, connection.open, timeout=5)
    same(handler.calls, [(connection, error)])


def test_timeouts(peer):
    session = peer.session()
    sender = session.sender(peer.queue(), capacity=1)
    receiver = session.receiver(sender.target)
    peer.raises(peer.qm.Empty, receiver.fetch, timeout=0)
    peer.raises(peer.qm.Empty, session.next_receiver, timeout=0)
    sender.capacity = 0
    peer.raises(peer.qm.InsufficientCapacity, sender.send, u"x", timeout=0)
    session.ack_capacity = 0
    sender.capacity = peer.qm.UNLIMITED
    sender.send(u"x")
    message = receiver.fetch(timeout=5)
    peer.raises(peer.qm.InsufficientCapacity, session.acknowledge, message)
    session.ack_capacity = peer.qm.UNLIMITED
    session.acknowledge(message)
    same((receiver.unsettled(), receiver.available()), (0, 0))
