"""What Kombu does with messages, where that goes through the transport: nothing in it knows of this project.

    python kombu_messages.py URL
"""

import socket
import sys

import qpidtoollibs
from kombu import Connection, Consumer, Exchange, Producer, Queue


def test_simple_queue(connection):
    with connection.SimpleQueue("simple") as queue:
        queue.put({"number": 1}, priority=3)
        queue.put("text")
        first = queue.get(timeout=10)
        assert first.payload == {"number": 1}, first.payload
        first.ack()
        second = queue.get(timeout=10)
        second.requeue()
        again = queue.get(timeout=10)
        assert again.payload == "text", again.payload
        again.reject()
        try:
            queue.get(timeout=0.1)
        except queue.Empty:
            return
        raise AssertionError("a rejected message came again")


def received(connection, queues, count):
    """Routing key and content of what comes, which has to be so many."""
    found = []

    def take(body, message):
        found.append((message.delivery_info["routing_key"], body))
        message.ack()

    with Consumer(connection.channel(), queues, callbacks=[take]):
        while len(found) < count:
            connection.drain_events(timeout=10)
        try:
            connection.drain_events(timeout=0.1)
        except socket.timeout:
            return sorted(found)
    raise AssertionError(f"more than {count}: {found}")


def test_topic(connection):
    news = Exchange("news", "topic", durable=False)
    queues = [Queue("sport", news, "*.sport", auto_delete=True), Queue("everything", news, "#", auto_delete=True)]
    producer = Producer(connection.channel(), news)
    for key in ("eu.sport", "eu.weather"):
        producer.publish(key, routing_key=key, declare=list(queues))
    assert received(connection, queues[:1], 1) == [("eu.sport", "eu.sport")]
    assert received(connection, queues[1:], 2) == [("eu.sport", "eu.sport"), ("eu.weather", "eu.weather")]


def test_fanout_and_late_binding(connection):
    everybody = Exchange("everybody", "fanout", durable=False)
    queues = [Queue(name, everybody, auto_delete=True) for name in ("one", "two")]
    producer = Producer(connection.channel(), everybody)
    producer.publish({"to": "all"}, declare=list(queues))
    assert received(connection, queues, 2) == [("", {"to": "all"})] * 2


def test_waiting_for_ever_for_what_is_there(connection):
    queue = Queue("waiting")
    Producer(connection.channel()).publish("one", routing_key="waiting", declare=[queue])
    found = []
    with Consumer(connection.channel(), [queue], callbacks=[lambda body, message: found.append(body)], no_ack=True):
        connection.drain_events(timeout=None)
    assert found == ["one"], found


def test_management(connection):
    Queue("managed", channel=connection.channel()).declare()
    queue = qpidtoollibs.BrokerAgent(connection.connection.get_qpid_connection()).getQueue("managed")
    assert (queue.name, queue.durable, queue.msgDepth) == ("managed", True, 0), queue


def test_a_channel_with_consumers_is_closed(connection):
    channel = connection.channel()
    Consumer(channel, [Queue("a"), Queue("b")], callbacks=[print]).consume()
    channel.close()
    assert channel.closed


def test_an_exclusive_queue_and_its_end(connection):
    queue = Queue("mine", exclusive=True, auto_delete=True)(connection.channel())
    queue.declare()
    assert queue.queue_declare().message_count == 0
    Producer(connection.channel()).publish("one", routing_key="mine")
    assert queue.purge() == 1
    queue.delete()


def main(url):
    options = {"max_retries": 3, "interval_start": 0.1, "reconnect_timeout": 5}  # Kombu's and the client's
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            with Connection(url, transport_options=dict(options)) as connection:
                test(connection)
            print(name, flush=True)


main(sys.argv[1])
