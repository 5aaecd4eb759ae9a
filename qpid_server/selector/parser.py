"""From the tokens of a selector to a function that evaluates it.

The grammar, loosest first; every word in capitals may be written in any case::

    selector   = [ or ]                                            an empty one selects everything
    or         = and { OR and }
    and        = comparison { AND comparison }
    comparison = NOT comparison
               | sum IS [NOT] NULL
               | sum [NOT] LIKE string [ ESCAPE string ]
               | sum [NOT] BETWEEN sum AND sum
               | sum [NOT] IN "(" primary { "," primary } ")"
               | sum [ ("=" | "<>" | "<" | "<=" | ">" | ">=") sum ]
    sum        = product { ("+" | "-") product }
    product    = unary { ("*" | "/") unary }
    unary      = ("+" | "-") unary | "(" or ")" | primary
    primary    = identifier | string | number | TRUE | FALSE
"""

from __future__ import annotations

from collections.abc import Callable

from .lexer import SelectorError, Token, tokenize
from .properties import Properties, property_of
from .values import Value, arithmetic, compare, like, negate

__all__ = ["Evaluate", "parse"]

Evaluate = Callable[[Properties], Value]
_Truth = Callable[[Properties], bool | None]

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")
_DEEPEST = 100
_TOO_LARGE = 1 << 63


def parse(text: str) -> Evaluate:
    """Make a function of a selector.

    Raises:
        SelectorError: it is none.
    """
    return _Parser(tokenize(text)).selector()


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def _peek(self) -> str:
        return self._tokens[self._next].kind

    def _take(self, *kinds: str) -> Token | None:
        token = self._tokens[self._next]
        if token.kind in kinds:
            self._next += 1
            return token
        return None

    def _demand(self, kind: str) -> Token:
        token = self._take(kind)
        if token is None:
            raise self._wrong(f"expected {kind.upper()}")
        return token

    def _wrong(self, what: str) -> SelectorError:
        token = self._tokens[self._next]
        found = "its end" if token.kind == "end" else repr(token.kind if token.value is None else token.value)
        return SelectorError(f"{what} at {token.position}, found {found}")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._wrong(f"nested deeper than {_DEEPEST}")

    def selector(self) -> Evaluate:
        if self._take("end"):
            return lambda of: True
        evaluate = self._or()
        if not self._take("end"):
            raise self._wrong("expected the end")
        return evaluate

    def _or(self) -> Evaluate:
        terms = [self._and()]
        while self._take("or"):
            terms.append(self._and())
        return terms[0] if len(terms) == 1 else _any_of([_truth(term) for term in terms])

    def _and(self) -> Evaluate:
        terms = [self._comparison()]
        while self._take("and"):
            terms.append(self._comparison())
        return terms[0] if len(terms) == 1 else _all_of([_truth(term) for term in terms])

    def _comparison(self) -> Evaluate:
        if self._take("not"):
            self._deeper()
            inverse = _not(_truth(self._comparison()))
            self._depth -= 1
            return inverse
        left = self._sum()
        if self._take("is"):
            wanted = not self._take("not")
            self._demand("null")
            return lambda of: (left(of) is None) is wanted
        operator = self._take(*_COMPARISONS)
        if operator is not None:
            kind, right = operator.kind, self._sum()
            return lambda of: compare(kind, left(of), right(of))
        negated = self._take("not") is not None
        if self._take("like"):
            found = self._like(left)
        elif self._take("between"):
            found = self._between(left)
        elif self._take("in"):
            return self._in(left, negated=negated)
        elif negated:
            raise self._wrong("expected LIKE, BETWEEN or IN")
        else:
            return left
        return _not(found) if negated else found

    def _like(self, left: Evaluate) -> _Truth:
        pattern = self._demand("string").value
        escape: Value = ""
        if self._take("escape"):
            escape = self._demand("string").value
        assert isinstance(pattern, str)
        assert isinstance(escape, str)
        if len(escape) > 1:
            self._next -= 1
            raise self._wrong("expected an escape of one character")
        matches = like(pattern, escape)

        def evaluate(of: Properties) -> bool | None:
            value = left(of)
            return matches(value) if isinstance(value, str) else None

        return evaluate

    def _between(self, left: Evaluate) -> _Truth:
        lower = self._sum()
        self._demand("and")
        upper = self._sum()
        return _all_of([lambda of: compare(">=", left(of), lower(of)), lambda of: compare("<=", left(of), upper(of))])

    def _in(self, left: Evaluate, *, negated: bool) -> Evaluate:
        self._demand("(")
        items = [self._primary()]
        while self._take(","):
            items.append(self._primary())
        self._demand(")")
        if negated:
            # A value of another kind is not different, as with <>.
            return _all_of([_comparing("<>", left, item) for item in items])
        return _any_of([_comparing("=", left, item) for item in items])

    def _sum(self) -> Evaluate:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Evaluate:
        return self._chain(("*", "/"), self._unary)

    def _chain(self, operators: tuple[str, str], operand: Callable[[], Evaluate]) -> Evaluate:
        first = operand()
        rest: list[tuple[str, Evaluate]] = []
        while (operator := self._take(*operators)) is not None:
            rest.append((operator.kind, operand()))
        if not rest:
            return first

        def evaluate(of: Properties) -> Value:
            value = first(of)
            for kind, right in rest:
                value = arithmetic(kind, value, right(of))
            return value

        return evaluate

    def _unary(self) -> Evaluate:
        self._deeper()
        try:
            if self._take("-"):
                if self._tokens[self._next].value == _TOO_LARGE and self._take("number"):
                    return lambda of: -_TOO_LARGE
                operand = self._unary()
                return lambda of: negate(operand(of))
            if self._take("+"):
                number = self._unary()
                return lambda of: arithmetic("+", 0, number(of))
            if self._take("("):
                inner = self._or()
                self._demand(")")
                return inner
            return self._primary()
        finally:
            self._depth -= 1

    def _primary(self) -> Evaluate:
        name = self._take("name")
        if name is not None:
            assert isinstance(name.value, str)
            return property_of(name.value)
        if self._tokens[self._next].kind == "number" and self._tokens[self._next].value == _TOO_LARGE:
            raise self._wrong("expected an integer of 64 bits")
        literal = self._take("string", "number")
        if literal is not None:
            value = literal.value
            return lambda of: value
        truth = self._take("true", "false")
        if truth is not None:
            return lambda of: truth.kind == "true"
        raise self._wrong("expected an identifier or a value")


def _truth(evaluate: Evaluate) -> _Truth:
    def truth(of: Properties) -> bool | None:
        value = evaluate(of)
        return value if isinstance(value, bool) else None

    return truth


def _comparing(operator: str, left: Evaluate, right: Evaluate) -> _Truth:
    return lambda of: compare(operator, left(of), right(of))


def _not(truth: _Truth) -> _Truth:
    def evaluate(of: Properties) -> bool | None:
        value = truth(of)
        return None if value is None else not value

    return evaluate


def _any_of(terms: list[_Truth]) -> _Truth:
    def evaluate(of: Properties) -> bool | None:
        result: bool | None = False
        for term in terms:
            value = term(of)
            if value:
                return True
            if value is None:
                result = None
        return result

    return evaluate


def _all_of(terms: list[_Truth]) -> _Truth:
    def evaluate(of: Properties) -> bool | None:
        result: bool | None = True
        for term in terms:
            value = term(of)
            if value is False:
                return False
            if value is None:
                result = None
        return result

    return evaluate
