"""SASLprep (RFC 4013): user names and passwords that look the same are the same."""

from __future__ import annotations

import stringprep
from unicodedata import ucd_3_2_0

from .mechanism import SASLError

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Bring a user name or password into its canonical form. Code points that Unicode 3.2 did not have are let pass.

    Raises:
        SASLError: a character that has no business in either, or left-to-right and right-to-left text mixed.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    if any(prohibited(char) for prohibited in _PROHIBITED for char in prepared):
        raise SASLError("a prohibited character in user name or password")
    if any(map(stringprep.in_table_d1, prepared)) and (
        any(map(stringprep.in_table_d2, prepared))
        or not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1]))
    ):
        raise SASLError("left-to-right and right-to-left characters mixed in user name or password")
    return prepared
