"""Slow checks of passwords, off the event loop: hosts take turns, and the users of a host do.

A hash is slow by design, so who asks for many keeps others waiting unless somebody sees to it: one who tries passwords
gets a turn in every round like everybody else, and no more of them wait than a bound allows.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import anyio
import anyio.to_thread

from qpid_messaging.amqp.sasl import Accepted

from .authenticator import Refused, Slow

__all__ = ["LoginQueue"]

#: Checks of one host, and of all hosts, that may wait.
_MOST_OF_HOST, _MOST = 250, 1000


class _Login(NamedTuple):
    check: Slow
    wanted: Callable[[], bool]
    answer: Callable[[Accepted | Refused], None]


class LoginQueue:
    """Checks that wait for a thread.

    Args:
        most_of_host: how many of one host may wait.
        most: how many of all may.
        threads: how many run at a time; by default one processor is left to the broker.
    """

    def __init__(self, most_of_host: int = _MOST_OF_HOST, most: int = _MOST, threads: int | None = None) -> None:
        self._most_of_host = most_of_host
        self._most = most
        self._threads = threads if threads is not None else min(4, max(1, (os.cpu_count() or 1) - 1))
        self._hosts: dict[str, dict[str, deque[_Login]]] = {}
        self._lengths: dict[str, int] = {}
        self._length = 0
        self._arrived: anyio.Event | None = None

    def submit(
        self,
        host: str,
        check: Slow,
        wanted: Callable[[], bool],
        answer: Callable[[Accepted | Refused], None],
    ) -> None:
        """Have a check made.

        Args:
            host: who asks.
            check: the check.
            wanted: whether anybody still waits for it when its turn comes.
            answer: called with what came out, in the event loop; at once where too many wait already.
        """
        length = self._lengths.get(host, 0)
        if length >= self._most_of_host or self._length >= self._most:
            answer(Refused("too many logins are waiting", "The broker has too many logins to check, try again later"))
            return
        self._hosts.setdefault(host, {}).setdefault(check.username, deque()).append(_Login(check, wanted, answer))
        self._lengths[host] = length + 1
        self._length += 1
        if self._arrived is not None:
            self._arrived.set()

    async def run(self) -> None:
        """Make checks until cancelled."""
        self._arrived = anyio.Event()
        async with anyio.create_task_group() as tasks:
            for _ in range(self._threads):
                tasks.start_soon(self._work)

    async def _work(self) -> None:
        limiter = anyio.CapacityLimiter(1)
        while True:
            while not self._length:
                if self._arrived is None or self._arrived.is_set():
                    self._arrived = anyio.Event()
                await self._arrived.wait()
            login = self._next()
            if login.wanted():
                login.answer(await anyio.to_thread.run_sync(login.check.find, limiter=limiter))

    def _next(self) -> _Login:
        host = next(iter(self._hosts))
        users = self._hosts.pop(host)
        username = next(iter(users))
        logins = users.pop(username)
        login = logins.popleft()
        # Who has more to come goes to the end of the round.
        if logins:
            users[username] = logins
        if users:
            self._hosts[host] = users
        self._length -= 1
        self._lengths[host] -= 1
        if not self._lengths[host]:
            del self._lengths[host]
        return login
