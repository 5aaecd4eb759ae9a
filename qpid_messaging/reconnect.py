"""Which broker to try next, when, and when to give up: the reconnect policy.

A *campaign* begins when a connection is wanted and there is none, and ends with an open one. It goes over the list of
brokers in rounds, and tries each `connect_retries` times more before the next. The first round comes at once, since the
application behind a killed primary shall not sleep before it tries the broker next to it. The pause before each later
round is tenacity's: exponential from the minimum to the maximum, with jitter.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qpid_address import AddressError, BrokerURL

from .exceptions import ConnectError

if TYPE_CHECKING:
    from qpid_address import BrokerAddress
    from tenacity.wait import wait_base

    from .options import ConnectionOptions

log = logging.getLogger("qpid_messaging")

#: Where no interval is given: seconds before the second round; doubles from there.
FIRST_PAUSE = 0.01
#: Where no interval is given: the longest pause as long as any broker answers or refuses; a promotion is noticed soon.
LIVELY_PAUSE = 1.0
#: `reconnect_interval_max` where it is not given, as in qpid.messaging.
LONGEST_PAUSE = 120.0


class ReconnectPolicy:
    """The brokers of one connection and the order and times in which to try them. Knows no clock: it is told the time.

    Args:
        options: the connection's options; `reconnect*` may be changed by the application at any time.

    Attributes:
        current: the broker tried last.
        attempts: brokers tried in this campaign.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        self.options = options
        self.current: BrokerAddress | None = None
        self.attempts = 0
        self._learnt: list[BrokerAddress] = []
        self._round = 0
        self._lively = False
        self._hopeless = True
        self._initial = False
        self._todo: list[BrokerAddress] = []
        # How often the current broker was tried in a row, and whether that goes on.
        self._tries = 0
        self._again = False
        self._began: float | None = None

    def learn(self, urls: list[str]) -> bool:
        """Take the URLs that a broker told us of, by `known-hosts` in connection.open-ok or by `amq.failover`.

        They come behind those of the options, or in their place with `reconnect_urls_replace`. A broker that tells of
        none changes nothing.

        Returns:
            Whether that is news.
        """
        brokers = _addresses(urls)
        if not brokers or brokers == self._learnt:
            return False
        self._learnt = brokers
        return True

    def forget(self) -> None:
        """What was learnt is of no value any more."""
        self._learnt = []

    def brokers(self) -> list[BrokerAddress]:
        """Every broker known, in the order of the list, each once."""
        learnt = self._reachable()
        configured = [] if learnt and self.options.reconnect_urls_replace else self.options.brokers()
        return list(dict.fromkeys(configured + learnt))

    def _reachable(self) -> list[BrokerAddress]:
        """The brokers learnt, by the transport that this connection uses: a cluster may tell of several."""
        own = [address for address in self._learnt if self.options.uses(address.transport)]
        return [self.options.with_port(address) for address in own or self._learnt]

    def begin(self, now: float, *, initial: bool = False) -> float:
        """A connection is wanted.

        Args:
            now: the time.
            initial: it is the first one, for which even without `reconnect` each broker of the URL is tried once.

        Returns:
            When to try first: now.
        """
        self._began = now
        self._initial = initial
        self.attempts = self._round = 0
        self._again = False
        self._todo = []
        self._new_round()
        return now

    def next_broker(self) -> BrokerAddress:
        """The broker to try now.

        Raises:
            ConnectError: there is none, or one of the URLs does not parse.
        """
        self.attempts += 1
        if self._again and self.current is not None:
            self._tries += 1
            return self.current
        if not self._todo:
            self._todo = self._in_turn()
        self.current = self._todo.pop(0)
        self._tries = 1
        return self.current

    def succeeded(self) -> None:
        """A connection is open (open-ok came: an accepted socket alone means little). The campaign is over."""
        self._began = None
        self._initial = self._again = False

    def failed(self, now: float, *, answered: bool, fatal: bool = False) -> float | None:
        """The attempt failed.

        Args:
            now: the time.
            answered: whether something was there: it refused, turned us away, or spoke before it closed.
            fatal: whether the same would happen again: wrong credentials, another protocol.

        Returns:
            When to make the next attempt; None to give up.
        """
        if self._began is None:
            self._began = now
        self._lively = self._lively or answered
        self._hopeless = self._hopeless and fatal
        ends_at = self._ends_at()
        if ends_at is not None and now >= ends_at:
            return None
        wanted = self.options.reconnect or self._initial
        here = self.options if self.current is None else self.options.at(self.current)
        self._again = wanted and not fatal and self._tries <= here.connect_retries
        if self._again:
            return self._after(here.connect_delay, now)
        if wanted and self._todo:
            return now
        if self._hopeless or not self.options.reconnect:
            return None
        self._round += 1
        limit = self.options.later_rounds()
        if limit is not None and self._round > limit:
            return None
        pause = self._pause(now)
        self._new_round()
        return self._after(pause, now)

    def _new_round(self) -> None:
        self._lively = False
        self._hopeless = True

    def _in_turn(self) -> list[BrokerAddress]:
        """All brokers, beginning behind the one tried last: it comes at the end."""
        brokers = self.brokers()
        if not brokers:
            raise ConnectError(text="no broker to connect to")
        if self.current is None or self.current not in brokers:
            return brokers
        after = brokers.index(self.current) + 1
        return brokers[after:] + brokers[:after]

    def _ends_at(self) -> float | None:
        """When `reconnect_timeout` ends this search. The first one is limited by the call that waits for it."""
        timeout = self.options.reconnect_timeout
        if not timeout or timeout < 0 or self._began is None or self._initial:
            return None
        return self._began + timeout

    def _pause(self, now: float) -> float:
        from tenacity import RetryCallState  # noqa: PLC0415 - 40 ms of import that an unbroken connection never needs

        state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]
        state.attempt_number = self._round
        state.outcome_timestamp = now
        return self._wait()(state)

    def _after(self, pause: float, now: float) -> float:
        ends_at = self._ends_at()
        # One more attempt when the time is up, rather than none in the rest of it.
        return now + (pause if ends_at is None else min(pause, max(0.0, ends_at - now)))

    def _wait(self) -> wait_base:
        from tenacity import wait_exponential, wait_random_exponential  # noqa: PLC0415 - see _pause

        options = self.options
        interval = options.reconnect_interval
        least = options.reconnect_interval_min if options.reconnect_interval_min is not None else interval
        most = options.reconnect_interval_max if options.reconnect_interval_max is not None else interval
        if least is not None:
            return wait_exponential(multiplier=least, max=max(least, LONGEST_PAUSE if most is None else most))
        longest = LONGEST_PAUSE if most is None else most
        if self._lively:
            longest = min(longest, LIVELY_PAUSE)
        return wait_exponential(multiplier=FIRST_PAUSE, max=longest) + wait_random_exponential(
            multiplier=FIRST_PAUSE / 2, max=longest / 10
        )


def _addresses(urls: list[str]) -> list[BrokerAddress]:
    """The brokers that a broker told us of; what does not parse is a matter for the log."""
    brokers: list[BrokerAddress] = []
    for url in urls:
        if not url:
            continue
        try:
            brokers += BrokerURL.parse(url).addresses
        except AddressError as error:
            log.warning("a broker told of another, and %r is no broker URL: %s", url, error)
    return brokers
