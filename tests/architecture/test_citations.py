"""Every document that the source names is in the repository, and every row of the threat model that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "airelays" / "docs"
FOLDERS = ("airelays", "tests", "build", "packaging")
ENDINGS = {".py", ".mjs", ".spec", ".service", ".yml", ".toml", ".md"}
FILES = sorted(
    path
    for path in [
        *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*") if p.suffix in ENDINGS),
        *ROOT.glob("*.md"),
        *ROOT.glob("*.toml"),
        ROOT / "airelays.py",
    ]
    if "node_modules" not in path.parts and "__pycache__" not in path.parts
)
# The address of a site, not a file.
ELSEWHERE = {"obsidian.md"}
# In the quotes of a program the name can be put together, as in f"{name}.md".
_DOCUMENT = re.compile(r"(?<![{}\w*])((?:[\w-]+/)*[\w-]+\.md)\b")
_ROW = re.compile(r"threat-model\.md,? ([WABLUPN][0-9]+)")


def rows() -> set[str]:
    text = (DOCS / "threat-model.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| ([WABLUPN][0-9]+) \|", text, re.MULTILINE))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_document_that_is_cited_is_in_the_repository(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in set(_DOCUMENT.findall(text)):
        if name.rpartition("/")[2] not in ELSEWHERE:
            places = (ROOT / name, ROOT / "airelays" / name, DOCS / name)
            assert any(place.is_file() for place in places), f"{path} cites {name}"
    for row in _ROW.findall(text):
        assert row in rows(), f"{path} cites a row {row}"


def test_the_source_cites_the_threat_model() -> None:
    cited = [row for path in FILES for row in _ROW.findall(path.read_text(encoding="utf-8"))]
    assert len(cited) >= 8


def test_the_threat_model_has_every_row_once_in_order() -> None:
    text = (DOCS / "threat-model.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([WABLUPN])([0-9]+) \|", text, re.MULTILINE)
    last = {"W": 16, "A": 13, "B": 7, "L": 6, "U": 15, "P": 6}
    expected = [(letter, str(n)) for letter, most in last.items() for n in range(1, most + 1)]
    assert found == [*expected, *(("N", str(n)) for n in (1, 2, 3, 4, *range(6, 13)))]
