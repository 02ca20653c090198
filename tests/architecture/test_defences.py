"""The table of build/defences.py fits the tree: no entry is stale, no row is without one, every test is there.

Whether the tests notice takes half an hour: `python3 build/defences.py` tries that.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "build"), str(ROOT / "build" / "defences")]

from change import (  # noqa: E402 - its folder is on the path only now
    Change,
    Pattern,
    Stale,
    always,
    before,
    call,
    changed,
    dropped,
    find,
    instead,
    names_put,
    never,
    removed,
    text,
    value,
)
from defences import DEFENCES, main  # noqa: E402 - build/ is no package
from entry import Defence  # noqa: E402

ROWS = [
    f"{letter}{number}"
    for letter, last in (("W", 16), ("A", 13), ("B", 7), ("L", 6), ("U", 15), ("P", 6))
    for number in range(1, last + 1)
]
# Of the second table (N1 to N12) those that are built.
ROWS += ["N1", "N2", "N3", "N4", "N6", "N7", "N8", "N11", "N12"]
IDS = [f"{d.row} {d.name}" for d in DEFENCES]


def test_every_row_has_an_entry_and_every_entry_a_row() -> None:
    assert {d.row for d in DEFENCES} == set(ROWS)
    assert [name for name, count in Counter(IDS).items() if count > 1] == []


@pytest.mark.parametrize("defence", DEFENCES, ids=IDS)
def test_an_entry_fits_the_tree(defence: Defence) -> None:
    source = (ROOT / defence.file).read_text(encoding="utf-8")
    without = defence.taken_from(ROOT)  # raises Stale unless there is exactly one such place
    if isinstance(defence.change, Pattern):
        assert without != source
    else:
        assert ast.dump(compiled(without)) != ast.dump(ast.parse(source))
        _, own = find(ast.parse(source), defence.function, defence.change)
        assert not names_put(defence.change) & own, "it names a local variable"
    assert defence.tests
    for test in defence.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), file
        function = re.escape(name.partition("[")[0])
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), test


def compiled(source: str) -> ast.Module:
    """Return the tree of a module that the interpreter takes whole; `parse` alone lets a stray `return` pass."""
    compile(source, "module", "exec")
    return ast.parse(source)


SOURCE = """\
LIMIT = 3


class Box:
    def take(self, given, later=None):
        count = len(given)
        if count > LIMIT:
            raise ValueError(f"{count} is more than fits")
        elif count < 0:
            return None
        self.kept.extend(given)
        return self.kept if count and self.open else []
"""


@pytest.mark.parametrize(
    ("function", "change", "expected"),
    [
        ("Box.take", never("LIMIT"), "if False:"),
        ("Box.take", never("more than"), "if False:"),
        ("Box.take", always("LIMIT"), "if True:"),
        ("Box.take", removed("extend"), "        pass\n        return self.kept"),
        ("Box.take", before("extend", put="print({it.value.args[0]})"), "print(given)"),
        (
            "Box.take",
            instead("extend", put="{it.value.func.value} = {it.value.args[0]}"),
            "self.kept = given",
        ),
        ("Box.take", call("len", put="len(set({it.args[0]}))"), "count = len(set(given))"),
        ("Box.take", dropped("open"), "return self.kept if count else []"),
        ("Box.take", text("more than", "less than"), "is less than fits"),
        ("Box.take", instead("extend", put="{within.args.args[2].arg}()"), "later()"),
        ("", value("LIMIT", "1 << 30"), "LIMIT = 1 << 30\n"),
    ],
)
def test_a_change_is_made_where_its_words_are(function: str, change: Change, expected: str) -> None:
    made = changed(SOURCE, function, change)
    assert expected in made
    compiled(made)
    # Another name of a local variable, another layout: the same change at the same place.
    other = SOURCE.replace("count", "number").replace("given", "what")
    other = other.replace("len(what)", "len(\n            what\n        )")
    again = ast.unparse(ast.parse(changed(other, function, change)))
    assert again == ast.unparse(ast.parse(made.replace("count", "number").replace("given", "what")))


def test_a_place_that_is_not_there_or_not_the_only_one_is_said() -> None:
    for change in (never("count"), never("NOTHING"), removed("kept"), never("LIMIT", at=1)):
        with pytest.raises(Stale):
            changed(SOURCE, "Box.take", change)
    with pytest.raises(Stale, match="give is there 0 times"):
        changed(SOURCE, "Box.give", never("LIMIT"))
    with pytest.raises(Stale):
        changed(SOURCE, "", never("LIMIT"))


def test_a_row_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["W1", "Q7"])
    assert ended.value.code == 2 and "no entry is of row Q7" in capsys.readouterr().err
    assert main(["--list", "A12"]) == 0
    assert capsys.readouterr().out.count("A12 ") == sum(d.row == "A12" for d in DEFENCES)
