"""Three members behind a network that can be cut, what may be done to them, and what must not.

The brokers keep nothing on disk but who they are and what they promised, so a member that is killed has lost its copy.
`ha-min-replicas=1` promises that nothing is lost with one copy: no second member is killed before the first one is back
in step. Stopped members and broken links lose nothing, however many there are.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from typing_extensions import Self

from qpid_messaging import Connection, Empty
from qpid_messaging.exceptions import MessagingError, Timeout
from qpid_messaging.management import AgentError
from tests.chaos.network import BROKERS, Network
from tests.integration.cluster import BrokerProcess

HEARTBEAT = 1
"""Seconds between heartbeats among members."""
_TIMES = ("--link-heartbeat-interval", str(HEARTBEAT), "--link-maintenance-interval", "0.5")
_REIGNS = re.compile(r"(?:joining|catchup|ready) -> (?:recovering|active) ")
_BETTER = re.compile(r"promote (\S+) instead")


class Members:
    """The cluster, and its network.

    Args:
        folder: for the data and the logs of the brokers.
        options: options of all brokers.

    Attributes:
        brokers: the processes.
        network: what is between them and to the clients.
        dead: members that were killed and not started again.
        stopped: members that were stopped.
        bereft: a member that was killed and is not back in step, if there is one.
        trace: what was done, and when.
    """

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        self._folder = folder
        self._options = (*_TIMES, "--log-hires-timestamp", "yes", *options)
        self.brokers: list[BrokerProcess] = []
        self.dead: set[int] = set()
        self.stopped: set[int] = set()
        self.bereft: int | None = None
        self.better: int | None = None
        """The member that the last refusal named as the one to promote."""
        self.trace: list[tuple[float, str]] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.network = stack.enter_context(Network(3))
            stack.callback(self._end)
            for number, port in enumerate(self.network.ports):
                url = self.network.brokers_url(number)
                options = ("--ha-cluster", "yes", "--ha-brokers-url", url, *self._options)
                self.brokers.append(BrokerProcess("ABC"[number], port, self._folder, options, BROKERS))
            for broker in self.brokers:
                broker.wait_for("joining")
            self._ids = [broker.system_id() for broker in self.brokers]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        for broker in self.brokers:
            broker.end()

    def say(self, text: str) -> None:
        """Put it into the trace."""
        self.trace.append((time.monotonic(), text))

    # -- how they are

    def names(self, *numbers: int) -> str:
        """A, B, C ..."""
        return " and ".join(self.brokers[number].name for number in numbers)

    def statuses(self) -> list[str]:
        """The state of each; "gone" where it does not answer."""
        found = [broker.status() for broker in self.brokers]
        if self.bereft is not None and found[self.bereft] == "ready":
            self.bereft = None
        return found

    def running(self) -> list[int]:
        """Those that are neither dead nor stopped."""
        return [number for number in range(3) if number not in self.dead | self.stopped]

    def primary(self) -> int | None:
        """Who says that it reigns; of several, that of the latest epoch. None where nobody does."""
        reigning = [number for number, status in enumerate(self.statuses()) if status in ("recovering", "active")]
        return max(reigning, key=self._epoch, default=None)

    def _epoch(self, number: int) -> int:
        try:
            return self.brokers[number].epoch()
        except (MessagingError, Timeout):
            return 0

    def in_step(self, primary: int) -> set[int]:
        """The members that the primary waits for, as it says itself."""
        try:
            ids = self.brokers[primary].in_step()
        except (MessagingError, Timeout):
            return set()
        return {number for number, id in enumerate(self._ids) if id in ids and number != primary}

    @property
    def fail_overs(self) -> int:
        """How often a member became primary, after the first time."""
        return sum(len(_REIGNS.findall(broker.log)) for broker in self.brokers) - 1

    def archives(self, queue: str) -> list[list[str]]:
        """What each member has on a queue."""
        return [_browse(broker.admin(), queue) for broker in self.brokers]

    # -- what is done to them

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self.say(f"kill {self.names(number)}")
        self._bereave(number)
        self.brokers[number].kill()

    def terminate(self, number: int) -> None:
        """SIGTERM: it ends in order."""
        self.say(f"terminate {self.names(number)}")
        self._bereave(number)
        status = self.brokers[number].terminate()
        assert status == 0, f"{self.names(number)} ended with status {status}"

    def _bereave(self, number: int) -> None:
        assert self.bereft is None, "two copies at once are more than was promised to survive"
        assert number not in self.stopped
        self.dead.add(number)
        self.bereft = number

    def start(self, number: int) -> None:
        """Start it again, with nothing but its name and its promises."""
        self.say(f"start {self.names(number)}")
        self.brokers[number].start()
        self.dead.remove(number)

    def stop(self, number: int) -> None:
        """SIGSTOP."""
        self.say(f"stop {self.names(number)}")
        self.brokers[number].stop()
        self.stopped.add(number)

    def resume(self, number: int) -> None:
        """SIGCONT."""
        self.say(f"resume {self.names(number)}")
        self.brokers[number].resume()
        self.stopped.remove(number)

    def heal(self) -> None:
        """Everybody runs and can be reached."""
        self.say("heal")
        self.network.heal()
        for number in list(self.stopped):
            self.resume(number)
        for number in list(self.dead):
            self.start(number)

    def demote(self, number: int) -> None:
        """Have a member step down in order; one that is no primary does nothing."""
        self.say(f"demote {self.names(number)}")
        try:
            self.brokers[number].demote()
        except (AgentError, MessagingError, Timeout) as error:
            self.say(f"{self.names(number)} is not demoted: {error}")

    def promote(self, *numbers: int) -> bool:
        """Have members promoted, all at once. Returns whether any of them was."""
        done: list[bool] = []
        threads = [threading.Thread(target=lambda number=n: done.append(self._promote(number))) for n in numbers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return any(done)

    def promote_best(self, number: int) -> bool:
        """Have a member promoted, or the one that it names in its place. Returns whether one of them was."""
        if self.promote(number):
            return True
        return self.better is not None and self.promote(self.better)

    def _promote(self, number: int) -> bool:
        self.say(f"promote {self.names(number)}")
        self.better = None
        try:
            self.brokers[number].promote()
        except (AgentError, MessagingError, Timeout) as error:
            self.say(f"{self.names(number)} is not promoted: {error}")
            named = _BETTER.search(str(error))
            self.better = self.network.member_at(named[1]) if named else None
            return False
        self.say(f"{self.names(number)} is promoted")
        return True


def _browse(connection: Connection, queue: str) -> list[str]:
    try:
        receiver = connection.session().receiver(f"{queue}; {{mode: browse}}", capacity=500)
        found: list[str] = []
        try:
            while True:
                found.append(receiver.fetch(timeout=0).content)
        except Empty:
            return found
    finally:
        connection.close(5)
