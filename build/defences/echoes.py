"""Defences against upstreams that echo credentials, and against whole answers without an end, row N8."""

from __future__ import annotations

from entry import Defence

TOLD = "airelays/dialects/stream/told.py"
REDACT = "airelays/guard/redact.py"
DISGUISE = "airelays/guard/disguise.py"
FORWARDING = "airelays/app/forwarding.py"
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
        "        if holds_error(name, event):\n",
        "        if False:\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "frames that are passed on",
        "airelays/dialects/stream/passed.py",
        "            look = look_through(frames, self.redactor, self._note)\n",
        "            look = look_through(frames, Redactor, self._note)\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "texts between frames",
        TOLD,
        '        if line.partition(b":")[0] in (b"", *_FIELDS)\n',
        "        if line\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "the request inside a failed answer",
        TOLD,
        "    if size > TOLD_BYTES or not redactor.is_plain(json.dumps(long).encode()):\n",
        "    if False:\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "error objects of compatible servers",
        "airelays/upstream/compatible/refusal.py",
        "        self.error = self._redactor.told(self.error)\n",
        "",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "error objects of ChatGPT",
        "airelays/upstream/chatgpt/faults.py",
        "        told = self._redactor.told(said)\n",
        "        told = said\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "header fields of compatible servers",
        "airelays/upstream/compatible/refusal.py",
        " in redactor.passed(tuple(found))\n",
        " in tuple(found)\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "header fields of ChatGPT",
        "airelays/upstream/chatgpt/faults.py",
        "    return redactor.passed(tuple(found))\n",
        "    return tuple(found)\n",
        IN_ERRORS,
    ),
    Defence(
        "N8",
        "quoted-printable is undone",
        DISGUISE,
        '    if b"=" in low:\n',
        "    if False:\n",
        IN_ERRORS,
    ),
    Defence(
        "N8", "HTML is undone", DISGUISE, '    if b"&" in low:\n', "    if False:\n", IN_ERRORS
    ),
    Defence(
        "N8",
        "pieces of a secret at an edge",
        REDACT,
        "        return self._without_edges(shown) if self._needles else shown\n",
        "        return shown\n",
        (
            "tests/upstream/test_echoes.py::test_a_secret_that_is_split_over_two_texts_cannot_be_put_together",
        ),
    ),
    Defence(
        "N8",
        "a secret that the bound cuts in two",
        REDACT,
        "            shown = shown[: max(0, len(shown) - self._margin)]\n",
        "            pass\n",
        ("tests/upstream/test_echoes.py::test_a_secret_at_the_end_of_what_is_looked_through",),
    ),
    Defence(
        "N8",
        "the issuer's errors",
        "airelays/upstream/chatgpt/oauth.py",
        "        if response.status >= 300 and body:\n",
        "        if False:\n",
        ("tests/upstream/test_oauth.py::test_an_error_that_echoes_the_token_does_not_show_it",),
    ),
    Defence(
        "N8",
        "whole answers are bounded",
        FORWARDING,
        "        limit_bytes = upstream.max_answer_bytes\n",
        "        limit_bytes = 1 << 40\n",
        BOUND,
    ),
    Defence(
        "N8",
        "whole answers are JSON",
        "airelays/protocol/jsonio.py",
        "json.JSONDecoder(parse_constant=_no_constant)",
        "json.JSONDecoder()",
        NOT_JSON,
    ),
)
