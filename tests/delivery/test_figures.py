"""build/figures.py: the section of the threat model that is made from a test run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build"))

import figures  # noqa: E402 - build/ is no package

REPORT = """\
<testsuites><testsuite>
<testcase classname="tests.guard.test_gate" name="a"/>
<testcase classname="tests.guard.test_gate" name="b"/>
<testcase classname="tests.app.test_browser" name="c"><skipped/></testcase>
<testcase classname="tests.net.test_live_many" name="d">
<properties><property name="connections at once" value="2000"/></properties></testcase>
</testsuite></testsuites>
"""
DEFENCES = """\
W1   two lengths      noticed  protocol/test_http1.py::test_a
N7   a link           noticed  disk/test_outside.py::test_b
2 defences of 2 rows taken away, 2 noticed, 0 not
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "threat-model.md"
    page.write_text(
        f"# Threat model\n\nKept.\n\n{figures.SECTION}\nold\n\n## An hour\n\nAlso kept.\n"
    )
    monkeypatch.setattr(figures, "PAGE", page)
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    (tmp_path / "report.xml").write_text(REPORT)
    (tmp_path / "defences.txt").write_text(DEFENCES)
    return page


def test_only_the_section_of_figures_is_written_anew(page: Path, tmp_path: Path) -> None:
    assert figures.main([str(tmp_path / "report.xml"), str(tmp_path / "defences.txt")]) == 0
    text = page.read_text()
    assert text.startswith("# Threat model\n\nKept.\n\n## What was tried\n\n`build/figures.py` ")
    assert text.endswith("\n\n## An hour\n\nAlso kept.\n")
    assert "old" not in text and "3 cases in total" in text
    assert (
        "| decisions about requests (token, rate, slots) | 2 |\n" in text
        and "real Chromium" not in text
    )
    assert "| connections at once | 2,000 |\n" in text
    assert "| HTTP on the wire | 1 | 1 |\n" in text and "| across the borders | 1 | 1 |\n" in text


def test_a_run_that_failed_or_is_not_whole_makes_no_page(page: Path, tmp_path: Path) -> None:
    before = page.read_text()
    bad = tmp_path / "bad.xml"
    bad.write_text(REPORT.replace("<skipped/>", "<failure/>"))
    with pytest.raises(SystemExit, match="1 tests of the report failed"):
        figures.main([str(bad)])
    (tmp_path / "defences.txt").write_text(DEFENCES.replace("2 noticed, 0 not", "1 noticed, 1 not"))
    with pytest.raises(SystemExit, match="not everything was noticed"):
        figures.main([str(tmp_path / "report.xml"), str(tmp_path / "defences.txt")])
    assert page.read_text() == before


def test_every_subject_is_a_test_file_and_the_page_has_the_section() -> None:
    for name in figures.SUBJECTS:
        assert (ROOT / "tests" / f"{name.replace('.', '/')}.py").is_file(), name
    page = ROOT / "airelays" / "docs" / "threat-model.md"
    assert page.read_text(encoding="utf-8").count(figures.SECTION) == 1
