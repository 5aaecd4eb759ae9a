"""What a verb is: a generator that touches the core, and yields what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
#: A predicate over the core, which changes nothing, and seconds, of which None is for ever.
Wait = tuple[Callable[[], object], float | None]
#: Yields waits, is resumed with whether they came true, and ends in a T. Nothing else happens between a predicate being
#: found true and the verb being resumed.
Verb = Generator[Wait, bool, T]
