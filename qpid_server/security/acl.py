"""Access control lists: so far only the one that allows everything."""

from __future__ import annotations

from pathlib import Path

from ..options import OptionError

__all__ = ["demand_allow_all"]


def demand_allow_all(path: Path) -> None:
    """See that an ACL file says what this broker does: that every user may do everything.

    Raises:
        OptionError: it says anything else, or cannot be read. Not to heed it would let people do what it denies.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"acl-file {path}: {error}") from None
    rules = 0
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if [word.lower() for word in words] != ["acl", "allow", "all", "all"]:
            raise OptionError(
                f"acl-file {path}:{number}: access control lists are not supported yet, but for 'acl allow all all'"
            )
        rules += 1
    if not rules:
        raise OptionError(f"acl-file {path}: it has no rule, and so denies everything; that is not supported yet")
