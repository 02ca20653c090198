"""Write "What was tried" of the page `threat-model`: `python3 build/figures.py REPORT.xml [DEFENCES.txt]`.

The report is pytest's: `python3 build/test.py --junitxml=REPORT.xml`. Counts of cases and the figures that tests record
are taken from it; DEFENCES.txt is what `build/defences.py` printed. No number of that section is typed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "airelays" / "docs" / "threat-model.md"
SECTION = "## What was tried\n"

# Test files, by room, and what they try, in words.
SUBJECTS = {
    "protocol.test_http1": "request and response heads, valid and malformed",
    "protocol.test_chunked": "chunked bodies, whole, byte by byte and malformed",
    "protocol.test_multipart": "forms, valid and malformed",
    "protocol.test_sse": "event streams, whole and byte by byte",
    "protocol.test_jsonio": "JSON bodies, valid and malformed",
    "protocol.test_coding": "compressed bodies, including bombs",
    "guard.test_gate": "decisions about requests (token, rate, slots)",
    "guard.test_network": "client addresses, direct and forwarded",
    "guard.test_browser": "Host, Origin and fetch metadata",
    "net.test_live_wire": "requests over raw sockets",
    "net.test_security_page": "sentences of the security page, tested from outside",
    "net.test_live_bounds": "limits on what a client can send, hold and wait for",
    "upstream.test_live_hell": "broken and hostile upstreams",
    "net.test_live_many": "slow and many clients",
    "net.test_live_machine": "problems of the machine",
    "app.test_browser": "web pages in a real Chromium",
    "upstream.test_tokens": "the life of a sign-in, including kills at every step",
    "journal.test_redact": "secrets in every place and encoding",
    "journal.test_journal": "the traffic log on good and bad disks",
    "architecture.test_fuzz_targets": "fuzzing targets and their old findings",
    "architecture.test_defences": "entries of `build/defences.py`, all current",
}
LETTERS = {
    "W": "HTTP on the wire",
    "A": "callers, browsers, limits",
    "B": "bodies and files",
    "L": "logs",
    "U": "upstreams and credentials",
    "P": "process, packages, builds",
    "N": "across the borders",
}


def main(arguments: list[str]) -> int:
    """Read the report and write the page."""
    if len(arguments) not in (1, 2):
        raise SystemExit("usage: python3 build/figures.py REPORT.xml [DEFENCES.txt]")
    cases: Counter[str] = Counter()
    figures: Counter[str] = Counter()
    bad = 0
    for case in ElementTree.parse(arguments[0]).iter("testcase"):
        bad += case.find("failure") is not None or case.find("error") is not None
        if case.find("skipped") is None:
            cases[case.get("classname", "").removeprefix("tests.")] += 1
        for found in case.iter("property"):
            value = found.get("value") or ""
            if value.isdigit():
                figures[found.get("name") or ""] += int(value)
    if bad:
        raise SystemExit(f"{bad} tests of the report failed; the page shows a good run only")
    tried = _tried(cases, figures)
    if len(arguments) == 2:
        tried += _defences(Path(arguments[1]).read_text(encoding="utf-8"))
    kept, _, rest = PAGE.read_text(encoding="utf-8").partition(SECTION)
    _, head, after = rest.partition("\n## ")
    PAGE.write_text(kept + tried + head + after, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}: {sum(cases.values())} cases")
    return 0


def _tried(cases: Counter[str], figures: Counter[str]) -> str:
    lines = [
        SECTION,
        "`build/figures.py` writes this section from the report of one test run.",
        "",
        f"{sum(cases.values()):,} cases in total, and all passed. Some of them:",
        "",
        "| subject | cases |",
        "| --- | --- |",
    ]
    lines += [f"| {text} | {cases[name]:,} |" for name, text in SUBJECTS.items() if cases[name]]
    lines += ["", "Load and failures in that run:", "", "| what | how many |", "| --- | --- |"]
    lines += [f"| {name} | {count:,} |" for name, count in sorted(figures.items())]
    return "\n".join(lines) + "\n"


def _defences(printed: str) -> str:
    """Return what the page says of `build/defences.py`, from its table and its last line."""
    rows = re.findall(r"^([A-Z][0-9]+) +\S.*? {2,}noticed", printed, re.MULTILINE)
    total = re.search(r"^([0-9]+) defences .*, ([0-9]+) noticed, 0 not$", printed, re.MULTILINE)
    if total is None or not total[1] == total[2] == str(len(rows)):
        raise SystemExit("the run of build/defences.py is not whole, or not everything was noticed")
    count = Counter(row[0] for row in rows)
    lines = [
        "",
        "`build/defences.py` removed each defense in a copy, one at a time. The tests failed each time.",
        "",
        "| threats | rows | defenses removed, all noticed |",
        "| --- | --- | --- |",
    ]
    for letter, text in LETTERS.items():
        kinds = len({row for row in rows if row[0] == letter})
        lines.append(f"| {text} | {kinds} | {count[letter]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
