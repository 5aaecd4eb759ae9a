"""Matching of topic keys: words with dots between, ``*`` for one word, ``#`` for any number of words, none included.

Patterns stand in a tree, a word a level. A key is matched by walking all branches that it can still be in at once, so
the work grows with the words of the key and the branches alive, never with their combinations.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["TopicTree", "matches", "words"]

T = TypeVar("T")


def words(key: str) -> list[str]:
    """The words of a key or pattern; the empty key has none."""
    return key.split(".") if key else []


def matches(pattern: str, key: str) -> bool:
    """Whether one pattern matches one key."""
    tree: TopicTree[str] = TopicTree()
    tree.add(pattern, pattern)
    return bool(tree.match(key))


class _Node(Generic[T]):
    __slots__ = ("any", "children", "many", "one", "values")

    def __init__(self, many: bool = False) -> None:
        self.children: dict[str, _Node[T]] = {}
        self.one: _Node[T] | None = None  # child for *
        self.any: _Node[T] | None = None  # child for #
        self.many = many  # this is the node of a #: it takes further words itself
        self.values: dict[T, None] = {}

    @property
    def empty(self) -> bool:
        return not (self.children or self.one or self.any or self.values)


class TopicTree(Generic[T]):
    """Values under patterns; one pattern may have several."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, value: T) -> None:
        """Put a value under a pattern."""
        node = self._root
        for word in words(pattern):
            if word == "#":
                if node.any is None:
                    node.any = _Node(many=True)
                node = node.any
            elif word == "*":
                if node.one is None:
                    node.one = _Node()
                node = node.one
            else:
                node = node.children.setdefault(word, _Node())
        node.values[value] = None

    def remove(self, pattern: str, value: T) -> None:
        """Take a value away; branches that hold nothing any more go with it.

        Raises:
            KeyError: it is not there.
        """
        path: list[tuple[_Node[T], str]] = []
        node = self._root
        for word in words(pattern):
            path.append((node, word))
            child = node.any if word == "#" else node.one if word == "*" else node.children.get(word)
            if child is None:
                raise KeyError(pattern)
            node = child
        del node.values[value]
        for parent, word in reversed(path):
            if not node.empty:
                break
            if word == "#":
                parent.any = None
            elif word == "*":
                parent.one = None
            else:
                del parent.children[word]
            node = parent

    def match(self, key: str) -> list[T]:
        """The values of all patterns that match a key, each once."""
        alive = self._with_any([self._root])
        for word in words(key):
            following: list[_Node[T]] = []
            for node in alive:
                child = node.children.get(word)
                if child is not None:
                    following.append(child)
                if node.one is not None:
                    following.append(node.one)
                if node.many:
                    following.append(node)
            alive = self._with_any(following)
        return list(dict.fromkeys(value for node in alive for value in node.values))

    @staticmethod
    def _with_any(nodes: list[_Node[T]]) -> list[_Node[T]]:
        """The nodes and those that they reach without a word, each once."""
        reached = dict.fromkeys(nodes)
        for node in nodes:
            onward = node.any
            while onward is not None and onward not in reached:
                reached[onward] = None
                onward = onward.any
        return list(reached)
