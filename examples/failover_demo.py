"""Fail-over, seen from an application: a file sent line by line while the primary broker is killed, twice.

Three brokers run as one cluster. A producer sends the lines of a text to a replicated queue, a consumer receives them.
Twice the primary is killed with SIGKILL; a backup is promoted, as a resource manager would do it, and the dead broker
comes back as a backup. Neither the producer nor the consumer has a line of code for any of that.

    python examples/failover_demo.py [--rate MESSAGES_A_SECOND] [FILE]
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from qpid_messaging import Connection, Empty, Message, MessagingError
from qpid_messaging.management import AgentError, BrokerAgent

ADDRESS = "demo; {create: always, node: {x-declare: {arguments: {'qpid.replicate': all}}}}"
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - STARTED:7.3f} s  {text}", flush=True)


# -- the application ---------------------------------------------------------------------------------------------------


def connect(brokers: list[str]) -> Connection:
    """A connection that finds the primary among the brokers, whichever it is by then."""
    return Connection.establish(brokers[0], reconnect=True, reconnect_urls=brokers, heartbeat=5, reconnect_log=False)


class Producer(threading.Thread):
    """Sends each line and waits until the cluster has it."""

    def __init__(self, brokers: list[str], lines: list[str], rate: float) -> None:
        super().__init__(daemon=True)
        self.brokers, self.lines, self.rate = brokers, lines, rate
        self.acknowledged: list[float] = []

    def run(self) -> None:
        connection = connect(self.brokers)
        sender = connection.session().sender(ADDRESS)
        started = time.monotonic()
        for number, line in enumerate(self.lines):
            time.sleep(max(0.0, started + number / self.rate - time.monotonic()))
            sender.send(Message(content=line))
            self.acknowledged.append(time.monotonic())
        connection.close()

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time without an acknowledged send between two moments, in seconds."""
        moments = [since, *(moment for moment in self.acknowledged if since < moment < until)]
        return max((later - moment for moment, later in pairwise(moments)), default=0.0)


class Consumer(threading.Thread):
    """Receives and acknowledges lines until it has them all, and for a moment more, to see what comes twice."""

    def __init__(self, brokers: list[str], expected: int) -> None:
        super().__init__(daemon=True)
        self.brokers, self.expected = brokers, expected
        self.received: list[str] = []

    def run(self) -> None:
        connection = connect(self.brokers)
        session = connection.session()
        receiver = session.receiver(ADDRESS, capacity=100)
        try:
            while True:
                message = receiver.fetch(timeout=30 if len(self.received) < self.expected else 1)
                self.received.append(message.content)
                session.acknowledge(message)
        except Empty:
            connection.close()


# -- the cluster -------------------------------------------------------------------------------------------------------


class Broker:
    """One broker process."""

    def __init__(self, name: str, port: int, brokers_url: str, folder: Path) -> None:
        self.name, self.port, self.url = name, port, f"127.0.0.1:{port}"
        self.log = folder / f"{name}.log"
        self.command = [sys.executable, "-m", "qpid_server", "--port", str(port), "--auth", "no"]
        self.command += ["--interface", "127.0.0.1", "--data-dir", str(folder / name), "--log-enable", "info+"]
        self.command += ["--ha-cluster", "yes", "--ha-brokers-url", brokers_url, "--ha-replicate", "none"]
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def status(self) -> str:
        """What management says of it: joining, catchup, ready, recovering or active."""
        with self._admin() as connection:
            ha = BrokerAgent(connection).getHaBroker()
            return ha.status if ha else "stand-alone"

    def promote(self) -> None:
        with self._admin() as connection:
            BrokerAgent(connection).getHaBroker().promote()

    def wait_for(self, *wanted: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                status = self.status()
            except MessagingError as error:
                status = str(error)
            if status in wanted:
                return
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"{self.name} is not {' or '.join(wanted)} but {status}:\n{self.log.read_text()}")
            time.sleep(0.02)

    def _admin(self) -> Connection:
        return Connection.establish(self.url, client_properties={"qpid.ha-admin": 1})


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


# -- the demonstration -------------------------------------------------------------------------------------------------


def demonstrate(lines: list[str], rate: float, folder: Path) -> bool:
    ports = free_ports(3)
    url = ",".join(f"127.0.0.1:{port}" for port in ports)
    cluster = [Broker(name, port, url, folder) for name, port in zip("ABC", ports, strict=True)]
    try:
        for broker in cluster:
            broker.wait_for("joining")
        cluster[0].promote()
        for backup in cluster[1:]:
            backup.wait_for("ready")
        say(f"three brokers: primary {cluster[0].name}, backups {cluster[1].name} and {cluster[2].name}")
        return run_through(cluster, lines, rate)
    finally:
        for broker in cluster:
            broker.kill()


def run_through(cluster: list[Broker], lines: list[str], rate: float) -> bool:
    brokers = [broker.url for broker in cluster]
    producer, consumer = Producer(brokers, lines, rate), Consumer(brokers, len(lines))
    producer.start()
    consumer.start()
    primary, backups = cluster[0], cluster[1:]
    kills: list[float] = []
    shown, shown_sent = time.monotonic(), 0
    while producer.is_alive() or consumer.is_alive():
        sent, now = len(producer.acknowledged), time.monotonic()
        if now - shown >= 0.5:
            speed = (sent - shown_sent) / (now - shown)
            say(f"sent {sent}, received {len(consumer.received)} of {len(lines)}, {speed:.0f} messages a second")
            shown, shown_sent = now, sent
        if len(kills) < 2 and sent > len(lines) * (len(kills) + 1) // 3:
            for backup in backups:
                backup.wait_for("ready")
            primary.kill()
            kills.append(time.monotonic())
            dead, primary = primary, promote_one(backups)
            took = time.monotonic() - kills[-1]
            say(
                f"primary {dead.name} killed with SIGKILL; {primary.name} promoted, {took * 1000:.0f} ms after the kill"
            )
            dead.start()
            say(f"{dead.name} comes back as a backup")
            backups = [broker for broker in cluster if broker is not primary]
        time.sleep(0.005)
    for number, (since, until) in enumerate(zip(kills, [*kills[1:], time.monotonic()], strict=True), 1):
        gap = producer.longest_gap(since, until)
        say(f"kill {number}: the client was {gap * 1000:.0f} ms without an acknowledged send")
    return compare(lines, consumer.received, len(kills))


def promote_one(backups: list[Broker]) -> Broker:
    """Promote the next backup; the cluster refuses one that lacks what another has, then that one it is."""
    refusals: list[str] = []
    for backup in backups:
        try:
            backup.promote()
            return backup
        except AgentError as refusal:
            refusals.append(str(refusal))
    sys.exit(f"no backup can be promoted: {refusals}")


def compare(sent: list[str], received: list[str], kills: int) -> bool:
    """Tell what became of the lines. Equal lines of the text are told apart by their number."""
    pending = list(received)
    lost = 0
    for line in sent:
        if line in pending:
            pending.remove(line)
        else:
            lost += 1
    in_order = received == sent
    say(f"lost {lost}, doubled {len(pending)}, {'in order' if in_order else 'NOT in order'}, after {kills} kills")
    return in_order and kills == 2


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Send a text through a cluster of brokers whose primary is killed twice."
    )
    parser.add_argument("file", nargs="?", default="README.md", help="the text to send, a message a line [%(default)s]")
    parser.add_argument("--rate", type=float, default=100, help="messages a second [%(default)s]")
    options = parser.parse_args()
    try:
        lines = Path(options.file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"cannot read {options.file}: {error}")
    if len(lines) < 3:
        parser.error(f"{options.file} has {len(lines)} lines: two kills need three at least")
    with tempfile.TemporaryDirectory() as folder:
        return 0 if demonstrate(lines, options.rate, Path(folder)) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MessagingError as error:
        sys.exit(f"failover_demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
