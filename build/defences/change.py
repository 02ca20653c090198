"""Find one place in a function by what it does, and change it there: what the entries of this folder say.

A place is the smallest node of a kind that mentions some words: names of modules, functions, classes and constants,
attributes, keywords, numbers, texts. Local variables are not seen, so renaming one, or another layout of the same
code, breaks no entry. What is put in names none either but takes them from the place: in "set({it.args[0]})" `it` is
the node found, and what follows walks down the tree as module `ast` names it; `within` is the function around it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from string import Formatter
from typing import NamedTuple

Word = str | bytes | int | float
Kind = type[ast.AST]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NAMING = ("targets", "target", "arg", "keys")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Place(NamedTuple):
    """A node and where it stands: in a field, which may be a list, of the node of the place above."""

    node: ast.AST
    field: str
    above: Place | None

    def held(self) -> list[ast.AST] | None:
        """Return the list that the node stands in, if it does."""
        found = getattr(self.above.node, self.field) if self.above is not None else None
        return found if isinstance(found, list) else None

    def put(self, *nodes: ast.AST) -> None:
        """Let `nodes` stand there instead; outside of a list it must be one."""
        held = self.held()
        if held is not None:
            at = held.index(self.node)
            held[at : at + 1] = nodes
        elif self.above is not None:
            (only,) = nodes
            setattr(self.above.node, self.field, only)

    def upwards(self) -> Iterator[Place]:
        """Yield this place and all that are above it, the nearest first."""
        place: Place | None = self
        while place is not None:
            yield place
            place = place.above


class Change(NamedTuple):
    """What `act` does to the smallest node of `kinds` that mentions all `words`.

    There must be one only, or `at` counts them from 0. `fields` are those in which the words are looked for. A word
    that is a name is compared whole; another text may be a piece of a constant.
    """

    kinds: tuple[Kind, ...]
    words: tuple[Word, ...]
    act: Callable[[Place, str], None]
    put: str = ""
    at: int | None = None
    fields: tuple[str, ...] = ()


class Pattern(NamedTuple):
    """The change of a file that is not Python: what `find` matches, once, becomes `put`."""

    find: str
    put: str


class Stale(Exception):
    """The place of an entry is not there, or there are several."""


# ---- what an entry can say


def never(*words: Word, at: int | None = None) -> Change:
    """Let the condition of `if`, `while` or `x if y else z` be false, whatever it was."""
    return condition(*words, put="False", at=at)


def always(*words: Word, at: int | None = None) -> Change:
    """Let the condition be true, whatever it was."""
    return condition(*words, put="True", at=at)


def condition(*words: Word, put: str, at: int | None = None) -> Change:
    """Let the condition be another one, which may be made of the one that it was: `it`."""
    kinds = (ast.If, ast.While, ast.IfExp, ast.comprehension)
    return Change(kinds, words, _set_condition, put, at, ("test", "ifs", "body"))


def removed(*words: Word, kind: Kind = ast.stmt, at: int | None = None) -> Change:
    """Take a statement out."""
    return instead(*words, put="pass", kind=kind, at=at)


def instead(*words: Word, put: str, kind: Kind = ast.stmt, at: int | None = None) -> Change:
    """Put other statements in the place of one."""
    return Change((kind,), words, _set_statement, put, at)


def before(*words: Word, put: str, kind: Kind = ast.stmt, at: int | None = None) -> Change:
    """Put statements in front of one."""
    return Change((kind,), words, _put_before, put, at)


def dropped(*words: Word, at: int | None = None) -> Change:
    """Take out an argument, an element, an entry of a dict, or an operand."""
    return Change((ast.expr, ast.keyword), words, _drop, "", at)


def call(*words: Word, put: str, at: int | None = None) -> Change:
    """Put another expression in the place of a call."""
    return expression(ast.Call, *words, put=put, at=at)


def expression(kind: type[ast.expr], *words: Word, put: str, at: int | None = None) -> Change:
    """Put another expression in the place of one of `kind`."""
    return Change((kind,), words, _set_expression, put, at)


def value(name: str, put: str, at: int | None = None) -> Change:
    """Give another value to the constant, attribute, keyword or key of a dict with this name."""
    kinds = (ast.Assign, ast.AnnAssign, ast.keyword, ast.Dict)
    return Change(kinds, (name,), partial(_set_value, name), put, at, _NAMING)


def text(piece: str | bytes, put: str | bytes, at: int | None = None) -> Change:
    """Put another text, or none, in the place of a piece of a constant."""
    return Change((ast.Constant,), (piece,), partial(_set_text, piece, put), "", at)


def uncaught(*words: Word, at: int | None = None) -> Change:
    """Let `except` catch what is never raised there."""
    return Change((ast.ExceptHandler,), words, _catch_nothing, "", at)


# ---- making a change


def changed(source: str, function: str, change: Change | Pattern) -> str:
    """Return the source with the change made in `function`: "name", "Class.name", or "" outside of all.

    Only the statement around the place is written anew. Raises Stale when there is not exactly one such place.
    """
    if isinstance(change, Pattern):
        found, count = re.subn(change.find, lambda _: change.put, source)
        if count != 1:
            raise Stale(f"{change.find} matches {count} times")
        return found
    place, _ = find(ast.parse(source), function, change)
    lines = source.splitlines(keepends=True)
    around = next(p for p in place.upwards() if _has_own_lines(p, lines))
    held = around.held() or []
    at, behind = held.index(around.node), len(held) - held.index(around.node) - 1
    first, last = _lines_of(around.node)
    change.act(place, change.put)
    anew = [ast.unparse(ast.fix_missing_locations(one)) for one in held[at : len(held) - behind]]
    indent = re.match(r"\s*", lines[first])
    lines[first:last] = [textwrap.indent("\n".join(anew), indent[0] if indent else "") + "\n"]
    return "".join(lines)


def find(module: ast.Module, function: str, change: Change) -> tuple[Place, set[str]]:
    """Return the one place that `change` means and the local variables there, or raise Stale."""
    scope, own = Place(module, "", None), set[str]()
    for name in filter(None, function.split(".")):
        named = [p for p in _below(scope) if isinstance(p.node, _SCOPES) and p.node.name == name]
        if len(named) != 1:
            raise Stale(f"{name} is there {len(named)} times")
        scope = named[0]
        own |= _local_names(scope.node)
    fit = [
        place
        for place in _below(scope)
        if isinstance(place.node, change.kinds)
        and all(_mentions(place.node, change.fields, word, own) for word in change.words)
    ]
    wider = {id(up.node) for place in fit for up in place.upwards() if up is not place}
    smallest = [place for place in fit if id(place.node) not in wider]
    if change.at is None and len(smallest) == 1:
        return smallest[0], own
    if change.at is None or change.at >= len(smallest):
        raise Stale(f"{function or 'outside'}: {len(smallest)} places mention {change.words}")
    return smallest[change.at], own


def names_put(change: Change) -> set[str]:
    """Return the names that stand in what is put in, apart from those of the place itself."""
    pieces = [
        said + ("it" if field is not None else "")
        for said, field, _, _ in Formatter().parse(change.put)
    ]
    tree = ast.parse("".join(pieces))
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - {"it", "self"}


# ---- looking


def _below(place: Place, *, inside: bool = False) -> Iterator[Place]:
    """Yield all places below, but of a function or class that is not `inside` of a function only itself."""
    inside = inside or isinstance(place.node, _FUNCTIONS)
    for field, held in ast.iter_fields(place.node):
        for node in held if isinstance(held, list) else [held]:
            if isinstance(node, ast.AST):
                inner = Place(node, field, place)
                if _is_docstring(node):
                    continue
                yield inner
                if inside or not isinstance(node, _SCOPES):
                    yield from _below(inner, inside=inside)


def _local_names(scope: ast.AST) -> set[str]:
    if not isinstance(scope, _FUNCTIONS):
        return set()
    found = set[str]()
    elsewhere = set[str]()
    for node in ast.walk(scope):
        if isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.Global):
            elsewhere.update(node.names)
    return found - elsewhere


def _mentions(node: ast.AST, fields: tuple[str, ...], word: Word, own: set[str]) -> bool:
    """Say whether `word` is in the node, or in these fields of it."""
    tops: list[object] = [getattr(node, f, None) for f in fields] if fields else [node]
    for top in tops:
        for one in top if isinstance(top, list) else [top]:
            inner = ast.walk(one) if isinstance(one, ast.AST) else ()
            if one == word or any(_is(sub, word, own) for sub in inner):
                return True
    return False


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is(node: ast.AST, word: Word, own: set[str]) -> bool:
    match node:
        case ast.Name(id=name):
            return name == word and name not in own
        case ast.Attribute(attr=name) | ast.keyword(arg=name) | ast.alias(name=name):
            return name == word
        case ast.Constant(value=str(held)) if isinstance(word, str):
            return held == word or (not word.isidentifier() and word in held)
        case ast.Constant(value=bytes(held)) if isinstance(word, bytes):
            return held == word or (not word.isalnum() and word in held)
        case ast.Constant(value=held):
            return type(held) is type(word) and held == word
    return False


def _has_own_lines(place: Place, lines: list[str]) -> bool:
    """Say whether a node is a statement with nothing else on its lines, such as `elif`."""
    if not isinstance(place.node, ast.stmt) or place.held() is None:
        return False
    line = lines[place.node.lineno - 1].encode()
    before = line[: place.node.col_offset]
    return not before.strip() and not line.startswith(b"elif", place.node.col_offset)


def _lines_of(node: ast.AST) -> tuple[int, int]:
    assert isinstance(node, ast.stmt)
    marks = getattr(node, "decorator_list", [])
    return min(one.lineno for one in (node, *marks)) - 1, node.end_lineno or node.lineno


# ---- acting


class _Shown:
    """A node as a template sees it: its source, and its fields as attributes."""

    def __init__(self, node: ast.AST) -> None:
        self._node = node

    def __getattr__(self, name: str) -> object:
        found = getattr(self._node, name)
        if isinstance(found, list):
            return [_Shown(one) for one in found]
        return _Shown(found) if isinstance(found, ast.AST) else found

    def __str__(self) -> str:
        said = ast.unparse(self._node)
        return f"({said})" if isinstance(self._node, ast.expr) else said


def _filled(put: str, it: ast.AST, place: Place) -> str:
    around = next((p.node for p in place.upwards() if isinstance(p.node, _FUNCTIONS)), it)
    try:
        return put.format(it=_Shown(it), within=_Shown(around))
    except (AttributeError, IndexError, KeyError) as error:
        raise Stale(f"{put} does not fit the place: {error}") from error


def _expression(put: str, it: ast.AST, place: Place) -> ast.expr:
    return ast.parse(_filled(put, it, place), mode="eval").body


def _set_condition(place: Place, put: str) -> None:
    match place.node:
        case ast.If() | ast.While() | ast.IfExp():
            place.node.test = _expression(put, place.node.test, place)
        case ast.comprehension(ifs=[only]):
            place.node.ifs = [_expression(put, only, place)]
        case _:
            raise Stale("a comprehension without a condition, or with several")


def _set_statement(place: Place, put: str) -> None:
    place.put(*ast.parse(_filled(put, place.node, place)).body)


def _put_before(place: Place, put: str) -> None:
    place.put(*ast.parse(_filled(put, place.node, place)).body, place.node)


def _set_expression(place: Place, put: str) -> None:
    place.put(_expression(put, place.node, place))


def _set_value(name: str, place: Place, put: str) -> None:
    match place.node:
        case ast.Dict(keys=keys, values=values):
            at = next(i for i, k in enumerate(keys) if k is not None and _is(k, name, set()))
            values[at] = _expression(put, values[at], place)
        case ast.Assign() | ast.AnnAssign(value=ast.expr()) | ast.keyword():
            place.node.value = _expression(put, place.node.value or place.node, place)
        case _:
            raise Stale("it has no value")


def _set_text(piece: str | bytes, other: str | bytes, place: Place, put: str) -> None:
    assert isinstance(place.node, ast.Constant)
    held = place.node.value
    if isinstance(held, bytes) and isinstance(piece, bytes) and isinstance(other, bytes):
        place.node.value = held.replace(piece, other)
    else:
        place.node.value = str(held).replace(str(piece), str(other))


def _catch_nothing(place: Place, put: str) -> None:
    assert isinstance(place.node, ast.ExceptHandler)
    place.node.type = ast.Name("ZeroDivisionError", ast.Load())


def _drop(place: Place, put: str) -> None:
    for part in place.upwards():
        match part.above:
            case Place(node=ast.BoolOp(values=[*_]) as held) as outer:
                held.values = [one for one in held.values if one is not part.node]
                if len(held.values) == 1:
                    outer.put(*held.values)
                return
            case Place(node=ast.BinOp(left=left, right=right)) as outer:
                outer.put(right if part.node is left else left)
                return
            case Place(node=ast.Dict() as held):
                entries = zip(held.keys, held.values, strict=True)
                kept = [(k, v) for k, v in entries if part.node is not k and part.node is not v]
                held.keys, held.values = [k for k, _ in kept], [v for _, v in kept]
                return
            case Place(node=ast.Call() | ast.List() | ast.Tuple() | ast.Set()) if part.held():
                part.put()
                return
    raise Stale("nothing around it can do without it")
