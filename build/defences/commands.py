"""Defences of the control listener and of the commands that use it, row N3."""

from __future__ import annotations

from change import call, never
from entry import Defence

RULES = "airelays/guard/control.py"
CONTROL = "airelays/app/control.py"
CONTACT = "airelays/host/contact.py"
SECRETFILE = "airelays/credentials/secretfile.py"
LIVE = "tests/host/test_live_control.py"

COMMANDS = (
    Defence(
        "N3",
        "a control request needs the secret of the process",
        CONTROL,
        "Control.handle",
        call("knows", put="True"),
        (f"{LIVE}::test_the_secret_and_nothing_else_opens_the_control_listener",),
    ),
    Defence(
        "N3",
        "no browser and no other host name reaches the control listener",
        RULES,
        "check_source",
        never("control_forbidden"),
        (f"{LIVE}::test_no_browser_and_no_other_name_reaches_it",),
    ),
    Defence(
        "N3",
        "a command believes a relay that proves itself, and nobody else",
        CONTACT,
        "_disproved",
        call("is_proof", put="True"),
        (f"{LIVE}::test_nothing_is_sent_to_a_program_that_cannot_prove_itself",),
    ),
    Defence(
        "N3",
        "a running.json that others can read is not trusted",
        SECRETFILE,
        "_check_trusted",
        never("so it is not trusted"),
        (f"{LIVE}::test_a_file_that_others_can_read_is_not_trusted",),
    ),
)
