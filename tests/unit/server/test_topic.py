"""Topic keys against a matcher that tries everything."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qpid_server.topic import TopicTree, matches, words

WORDS = st.sampled_from(["a", "b", "c", ""])
KEYS = st.lists(WORDS, max_size=6).map(".".join)
PATTERNS = st.lists(st.one_of(WORDS, st.sampled_from(["*", "#"])), max_size=6).map(".".join)


def naive(pattern: str, key: str) -> bool:
    pattern_words, key_words = words(pattern), words(key)

    @cache
    def match(p: int, k: int) -> bool:
        if p == len(pattern_words):
            return k == len(key_words)
        if pattern_words[p] == "#":
            return any(match(p + 1, later) for later in range(k, len(key_words) + 1))
        return k < len(key_words) and pattern_words[p] in ("*", key_words[k]) and match(p + 1, k + 1)

    return match(0, 0)


@given(PATTERNS, KEYS)
def test_one_pattern(pattern: str, key: str) -> None:
    assert matches(pattern, key) == naive(pattern, key)


@given(st.lists(PATTERNS, max_size=12, unique=True), KEYS, st.data())
def test_many_patterns_and_their_removal(patterns: list[str], key: str, data: st.DataObject) -> None:
    tree: TopicTree[str] = TopicTree()
    for pattern in patterns:
        tree.add(pattern, pattern)
    assert sorted(tree.match(key)) == sorted(p for p in patterns if naive(p, key))
    gone = data.draw(st.lists(st.sampled_from(patterns), unique=True)) if patterns else []
    for pattern in gone:
        tree.remove(pattern, pattern)
    assert sorted(tree.match(key)) == sorted(p for p in patterns if p not in gone and naive(p, key))


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.c", False),
        ("a.#", "a", True),
        ("#", "", True),
        ("*", "", False),
        ("#.c", "a.b.c", True),
        ("#.*", "", False),
        ("a.#.b.#.c", "a.b.b.c", True),
        ("news", "news.uk", False),
    ],
)
def test_examples(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


def test_many_hashes_do_not_multiply_the_work() -> None:
    assert not matches(".".join(["#", "a"] * 200), ".".join(["b"] * 400))


def test_removing_what_is_not_there() -> None:
    tree: TopicTree[str] = TopicTree()
    with pytest.raises(KeyError):
        tree.remove("a.b", "x")
