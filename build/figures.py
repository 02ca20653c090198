"""Write the page `hardening` from a test run: `python3 build/figures.py REPORT.xml`.

The report is pytest's: `python3 build/test.py --junitxml=REPORT.xml`. Counts of cases and the figures that tests record
are taken from it; nothing on the page is typed.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "airelays" / "docs" / "hardening.md"

# Test files and what they try, in words.
SUBJECTS = {
    "test_http1": "request and response heads, good and malformed",
    "test_chunked": "chunked bodies, whole, byte by byte, malformed",
    "test_multipart": "forms, good and malformed",
    "test_sse": "event streams, whole and byte by byte",
    "test_jsonio": "JSON bodies, good and malformed",
    "test_coding": "compressed bodies, bombs among them",
    "test_gate": "decisions of the gate",
    "test_network": "client addresses and forwarded ones",
    "test_origin": "Host, Origin and fetch metadata",
    "test_live_wire": "the way of a request over raw sockets",
    "test_live_security_page": "sentences of the security page, black box",
    "test_live_bounds": "bounds of what a client may send, hold and wait for",
    "test_live_hell": "upstreams from hell",
    "test_live_many": "slow and many clients",
    "test_live_machine": "troubles of the machine",
    "test_browser": "web pages in a real Chromium",
    "test_tokens": "the life of a sign-in, kills at every step among them",
    "test_redact": "secrets in every place and encoding",
    "test_journal": "the journal on good and bad disks",
    "test_fuzz_targets": "fuzzing targets and their old findings",
    "test_defences": "defences that `build/defences.py` takes away, one test or more for each",
}


def main(arguments: list[str]) -> int:
    """Read the report and write the page."""
    if len(arguments) != 1:
        raise SystemExit("usage: python3 build/figures.py REPORT.xml")
    cases: Counter[str] = Counter()
    figures: Counter[str] = Counter()
    bad = 0
    for case in ElementTree.parse(arguments[0]).iter("testcase"):
        bad += case.find("failure") is not None or case.find("error") is not None
        if case.find("skipped") is None:
            cases[case.get("classname", "").rpartition(".")[2]] += 1
        for found in case.iter("property"):
            value = found.get("value") or ""
            if value.isdigit():
                figures[found.get("name") or ""] += int(value)
    if bad:
        raise SystemExit(f"{bad} tests of the report failed; the page shows a good run only")
    PAGE.write_text(_page(cases, figures), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}: {sum(cases.values())} cases")
    return 0


def _page(cases: Counter[str], figures: Counter[str]) -> str:
    lines = [
        "# Hardening: what was tried",
        "",
        "Made by `build/figures.py` from the report of one run of the tests; none of these numbers is typed.",
        "`security` says what the relay promises, this page what was done to break it.",
        "",
        f"{sum(cases.values()):,} cases in all, every one of them passed. Of these:",
        "",
        "| subject | cases |",
        "| --- | --- |",
    ]
    lines += [f"| {text} | {cases[name]:,} |" for name, text in SUBJECTS.items() if cases[name]]
    lines += ["", "Held and survived within that run:", "", "| what | how many |", "| --- | --- |"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(figures.items())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
