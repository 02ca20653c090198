"""Defences of what is printed on requests and troubles, rows N6, L2 and P3."""

from __future__ import annotations

from change import call
from entry import Defence

LINES = "airelays/terminal/happening.py"
TOLD = "airelays/app/happenings.py"
PRINTABLE = ("tests/commands/test_lines.py::test_every_line_fits_and_is_printable",)
UNTOLD = (
    "tests/app/test_happenings.py::test_what_a_request_presents_as_its_secret_is_in_none_of_its_texts",
)

TERMINAL = (
    Defence(
        "N6",
        "the reason of a failure is escaped",
        LINES,
        "_row",
        call("escaped", put="{it.args[0]}", at=0),
        PRINTABLE,
    ),
    Defence(
        "N6",
        "program and model are escaped",
        LINES,
        "_row",
        call("escaped", put="{it.args[0]}", at=1),
        PRINTABLE,
    ),
    Defence(
        "N6",
        "the path of a refused request is escaped",
        LINES,
        "_refusal",
        call("escaped", put="{it.args[0]}", at=1),
        PRINTABLE,
    ),
    Defence(
        "N6",
        "sentences are escaped",
        LINES,
        "lines_of",
        call("escaped", put="{it.args[0]}"),
        PRINTABLE,
    ),
    Defence(
        "N6",
        "a service's lines are escaped",
        "airelays/terminal/reporter.py",
        "Reporter._lines",
        call("escaped", put="{it.args[0]}"),
        (
            "tests/commands/test_reporter.py::test_a_service_prints_no_requests_but_failures_that_repeat",
        ),
    ),
    Defence(
        "L2",
        "what those who watch are told of a request is redacted",
        TOLD,
        "_shown",
        call("short", put="{it.args[0]}"),
        UNTOLD,
    ),
    Defence(
        "L2",
        "what a request presents as its secret is told to nobody",
        TOLD,
        "_presented",
        call("presented_secrets", put="()"),
        UNTOLD,
    ),
    Defence(
        "P3",
        "what waits for a terminal that takes nothing is bounded",
        "airelays/terminal/reporter.py",
        "Reporter.__init__",
        call("deque", put="deque()"),
        (
            "tests/commands/test_reporter.py::test_a_terminal_that_takes_nothing_holds_nobody_up_and_is_told_what_it_missed",
        ),
    ),
)
