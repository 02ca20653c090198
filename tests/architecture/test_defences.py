"""The table of build/defences.py fits the tree: no entry is stale, no row is without one, every test is there.

Whether the tests notice takes half an hour: `python3 build/defences.py` tries that.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

from defences import DEFENCES, Defence, main  # noqa: E402 - build/ is no package

ROWS = [
    f"{letter}{number}"
    for letter, last in (("W", 16), ("A", 13), ("B", 6), ("L", 6), ("U", 15), ("P", 6))
    for number in range(1, last + 1)
]
# Of the second table (N1 to N12) those that are built.
ROWS += ["N7", "N8"]
IDS = [f"{d.row} {d.name}" for d in DEFENCES]


def test_every_row_has_an_entry_and_every_entry_a_row() -> None:
    assert {d.row for d in DEFENCES} == set(ROWS)
    assert [name for name, count in Counter(IDS).items() if count > 1] == []


@pytest.mark.parametrize("defence", DEFENCES, ids=IDS)
def test_an_entry_fits_the_tree(defence: Defence) -> None:
    text = (ROOT / defence.file).read_text(encoding="utf-8")
    assert text.count(defence.old) == 1, f"the text stands {text.count(defence.old)} times"
    assert defence.new != defence.old
    assert defence.tests
    for test in defence.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), file
        function = re.escape(name.partition("[")[0])
        assert re.search(rf"^def {function}\(", (ROOT / file).read_text(), re.MULTILINE), test


def test_a_row_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["W1", "Q7"])
    assert ended.value.code == 2 and "no entry is of row Q7" in capsys.readouterr().err
    assert main(["--list", "A12"]) == 0
    assert capsys.readouterr().out.count("A12 ") == sum(d.row == "A12" for d in DEFENCES)
