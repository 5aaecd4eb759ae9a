"""What is replicated of queues and exchanges whose declarations do not say: rules by name, before the broker's default.

A rule is ``[queue:|exchange:]PATTERN=LEVEL``. The pattern is that of a shell: ``*`` stands for any characters, ``?``
for one, ``[ab]`` for one of those. The first rule that fits holds. The C++ broker has the default
only (``ha-replicate``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

__all__ = ["LEVELS", "ReplicationRule", "ReplicationRules"]

Kind = Literal["queue", "exchange"]

#: What `qpid.replicate` may be.
LEVELS = ("none", "configuration", "all")
_KINDS = ("queue", "exchange")


@dataclass(frozen=True, slots=True)
class ReplicationRule:
    """One rule. ``str()`` writes it as it was.

    Args:
        kind: "queue" or "exchange"; empty for both.
        pattern: which names.
        level: none, configuration or all.
    """

    kind: str
    pattern: str
    level: str

    @classmethod
    def parse(cls, text: str) -> ReplicationRule:
        """Read a rule.

        Raises:
            ValueError: it is none.
        """
        names, separator, level = text.strip().rpartition("=")
        kind, colon, pattern = names.partition(":")
        if not colon or kind not in _KINDS:
            kind, pattern = "", names
        if not separator or not pattern:
            raise ValueError(f"{text!r} is not [queue:|exchange:]PATTERN=LEVEL")
        if level not in LEVELS:
            raise ValueError(f"{level!r} in {text!r} is none of {', '.join(LEVELS)}")
        return cls(kind, pattern, level)

    def fits(self, kind: Kind, name: str) -> bool:
        """Whether the rule speaks of that queue or exchange."""
        return self.kind in ("", kind) and fnmatchcase(name, self.pattern)

    def __str__(self) -> str:
        return f"{self.kind}{':' if self.kind else ''}{self.pattern}={self.level}"


class ReplicationRules:
    """Rules in order, and the level where none fits.

    Args:
        rules: as text.
        default: the level where none fits (``--ha-replicate``).

    Raises:
        ValueError: one of them is no rule, or the default is no level.
    """

    def __init__(self, rules: Iterable[str], default: str) -> None:
        self._rules = tuple(map(ReplicationRule.parse, rules))
        if default not in LEVELS:
            raise ValueError(f"{default!r} is none of {', '.join(LEVELS)}")
        self.default = default

    def level(self, kind: Kind, name: str) -> str:
        """What is replicated of the queue or exchange of that name."""
        return next((rule.level for rule in self._rules if rule.fits(kind, name)), self.default)

    @property
    def texts(self) -> list[str]:
        """The rules, as they were written."""
        return [str(rule) for rule in self._rules]
