"""Arrows point down only: qpid_server -> qpid_messaging -> qpid_address, and amqp/ imports nothing outside itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

OURS = ("qpid_address", "qpid_messaging", "qpid_server")
FOLDERS = {"qpid_address": "address/qpid_address", "qpid_messaging": "qpid_messaging", "qpid_server": "qpid_server"}
ALLOWED = {"qpid_address": OURS[:1], "qpid_messaging": OURS[:2], "qpid_server": OURS}


def imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Absolute names of the modules that the source of `module` imports, at any depth in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield node.module or ""
                continue
            parts = module.split(".")
            base = parts[: len(parts) - node.level + is_package]
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)


def modules(root: Path, package: str) -> Iterator[tuple[str, list[str]]]:
    folder = root / FOLDERS[package]
    for path in sorted(folder.rglob("*.py")):
        is_package = path.name == "__init__.py"
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if is_package else parts)
        yield name, list(imported(ast.parse(path.read_text("utf-8")), name, is_package=is_package))


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("package", OURS)
def test_a_package_imports_only_itself_and_those_below(root: Path, package: str) -> None:
    wrong = [
        f"{module} imports {name}"
        for module, names in modules(root, package)
        for name in names
        if name.split(".")[0] in OURS and name.split(".")[0] not in ALLOWED[package]
    ]
    assert not wrong


def test_the_protocol_imports_nothing_of_ours_outside_itself_and_does_no_io(root: Path) -> None:
    io = {"socket", "select", "selectors", "ssl", "threading", "asyncio", "anyio", "trio", "time"}
    wrong = [
        f"{module} imports {name}"
        for module, names in modules(root, "qpid_messaging")
        if within(module, "qpid_messaging.amqp")
        for name in names
        if name.split(".")[0] in io or (name.split(".")[0] in OURS and not within(name, "qpid_messaging.amqp"))
    ]
    assert not wrong


def test_relative_imports_are_resolved() -> None:
    source = "from . import a\nfrom .. import b\nfrom ..c import d\nimport e.f"
    assert list(imported(ast.parse(source), "p.q.m", is_package=False)) == ["p.q.a", "p.b", "p.c", "e.f"]
    assert list(imported(ast.parse(source), "p.q", is_package=True)) == ["p.q.a", "p.b", "p.c", "e.f"]
