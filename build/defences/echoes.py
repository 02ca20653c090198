"""Defences against upstreams that echo credentials, and against whole answers without an end, row N8."""

from __future__ import annotations

import ast

from change import call, condition, dropped, expression, never, removed
from entry import Defence

TOLD = "airelays/dialects/stream/told.py"
REDACT = "airelays/guard/redact.py"
DISGUISE = "airelays/guard/disguise.py"
IN_ERRORS = ("tests/upstream/test_echoes.py::test_no_secret_in_any_form_gets_through_an_error",)
NOT_JSON = (
    "tests/upstream/test_live_answers.py::test_a_200_that_is_not_json_is_a_502_that_says_so",
)
BOUND = (
    "tests/upstream/test_live_answers.py::test_an_answer_can_be_as_long_as_the_setting_and_no_longer",
)

ECHOES = (
    Defence(
        "N8",
        "events that tell of a failure",
        "airelays/dialects/stream/events.py",
        "EventMap._read",
        never("holds_error"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "frames that are passed on",
        "airelays/dialects/stream/passed.py",
        "PassedChunks._look",
        expression(ast.Attribute, "redactor", put="Redactor"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "texts between frames",
        TOLD,
        "_passed",
        condition("partition", put="{it.left.value.func.value}"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "the request inside a failed answer",
        TOLD,
        "_tell",
        never("TOLD_BYTES"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "error objects of compatible servers",
        "airelays/upstream/compatible/refusal.py",
        "Refused._read",
        expression(ast.Attribute, "told", put="(lambda tree: tree)"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "error objects of ChatGPT",
        "airelays/upstream/chatgpt/faults.py",
        "Refusal._read",
        call("told", put="{it.args[0]}"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "header fields of compatible servers",
        "airelays/upstream/compatible/refusal.py",
        "passed_fields",
        call("passed", put="{it.args[0]}"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "header fields of ChatGPT",
        "airelays/upstream/chatgpt/faults.py",
        "passed_fields",
        call("passed", put="{it.args[0]}"),
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "quoted-printable is undone",
        DISGUISE,
        "_once",
        never(b"="),
        IN_ERRORS,
    ),
    Defence("N8", "HTML is undone", DISGUISE, "_once", never(b"&"), IN_ERRORS),
    Defence(
        "N8",
        "pieces of a secret at an edge",
        REDACT,
        "Redactor.said",
        expression(ast.IfExp, "_needles", put="{it.body.args[0]}"),
        (
            "tests/upstream/test_echoes.py::test_a_secret_that_is_split_over_two_texts_cannot_be_put_together",
        ),
    ),
    Defence(
        "N8",
        "a secret that the bound cuts in two",
        REDACT,
        "Redactor.said",
        removed("_margin"),
        ("tests/upstream/test_echoes.py::test_a_secret_at_the_end_of_what_is_looked_through",),
    ),
    Defence(
        "N8",
        "the issuer's errors",
        "airelays/upstream/chatgpt/oauth.py",
        "Issuer._post",
        never("told"),
        ("tests/upstream/test_oauth.py::test_an_error_that_echoes_the_token_does_not_show_it",),
    ),
    Defence(
        "N8",
        "whole answers are bounded",
        "airelays/upstream/compatible/__init__.py",
        "Compatible.ask",
        expression(ast.Attribute, "max_answer_bytes", put="1 << 40"),
        BOUND,
    ),
    Defence(
        "N8",
        "whole answers are JSON",
        "airelays/protocol/jsonio.py",
        "",
        dropped("_no_constant"),
        NOT_JSON,
    ),
)
