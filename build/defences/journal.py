"""Defences of the traffic log, rows L1 to L6."""

from __future__ import annotations

import ast

from change import (
    always,
    before,
    call,
    dropped,
    expression,
    instead,
    never,
    removed,
    text,
    uncaught,
    value,
)
from entry import Defence

DISK = "airelays/journal/writer.py"
LOGFILES = "airelays/journal/files.py"
RECORDS = "airelays/journal/lines.py"
REDACT = "airelays/guard/redact.py"
CUT_OUT = ("tests/journal/test_redact.py::test_a_known_secret_is_cut_out_in_every_form",)
LOOKS_SECRET = ("tests/journal/test_redact.py::test_what_looks_like_a_credential_is_cut_out",)
SECRET_NAMES = (
    "tests/journal/test_redact.py::test_values_under_secret_names_are_cut_out_at_any_depth",
)

JOURNAL = (
    Defence(
        "L1",
        "what a client chose is escaped",
        REDACT,
        "Redactor.literal",
        call("dumps", put="f'\"{{{it.args[0]}}}\"'"),
        (
            "tests/journal/test_redact.py::test_control_characters_are_escaped_in_literals",
            "tests/journal/test_live_journal.py::test_no_client_can_write_a_line_of_its_own",
        ),
    ),
    Defence(
        "L1",
        "lines are ASCII",
        REDACT,
        "Redactor.literal",
        call("dumps", put="json.dumps({it.args[0]}, ensure_ascii=False)"),
        ("tests/journal/test_redact.py::test_control_characters_are_escaped_in_literals",),
    ),
    Defence(
        "L1",
        "a record is bounded",
        DISK,
        "Journal._lines",
        never("MAX_RECORD_BYTES"),
        ("tests/journal/test_journal.py::test_a_record_is_bounded",),
    ),
    Defence(
        "L1",
        "a torn line does not take the next one with it",
        DISK,
        "Journal._write",
        never("_check_tail"),
        (
            "tests/journal/test_journal.py::test_a_line_torn_by_a_crash_does_not_take_the_next_one_with_it",
        ),
    ),
    Defence(
        "L2",
        "header values by allow-list",
        REDACT,
        "Redactor.fields",
        always("LOGGED_FIELDS"),
        ("tests/journal/test_redact.py::test_header_values_are_written_by_allow_list_only",),
    ),
    Defence(
        "L2",
        "query values by allow-list",
        REDACT,
        "Redactor.query",
        always("LOGGED_QUERY", "short"),
        ("tests/journal/test_redact.py::test_query_values_are_written_by_allow_list_only",),
    ),
    Defence(
        "L2",
        "values under secret names",
        REDACT,
        "Redactor._entry",
        never("_SECRET_KEY"),
        SECRET_NAMES,
    ),
    Defence(
        "L2",
        "api keys are secret names",
        REDACT,
        "",
        text("api[-_ ]?key|", ""),
        SECRET_NAMES,
    ),
    Defence(
        "L2",
        "Bearer and what follows",
        REDACT,
        "",
        text(r"(?i:\bbearer\s+)[^\s\"',;]+|", ""),
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "JSON web tokens",
        REDACT,
        "",
        text(r"|eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?", ""),
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "keys that begin with sk-",
        REDACT,
        "",
        text(r"|\bsk-[A-Za-z0-9_-]{8,}", ""),
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "known secrets, plain and encoded",
        REDACT,
        "Redactor.text",
        removed("_cut_out"),
        CUT_OUT,
    ),
    Defence(
        "L2",
        "known secrets behind escapes",
        REDACT,
        "Redactor.text",
        never("_needles"),
        CUT_OUT,
    ),
    Defence(
        "L2",
        "what a request presents is secret too",
        RECORDS,
        "Encoder._redactor_of",
        call("presented_secrets", put="()"),
        (
            "tests/journal/test_notes.py::test_what_a_request_presents_is_taken_out_of_all_its_records",
        ),
    ),
    Defence(
        "L2",
        "a line with a secret is withheld",
        RECORDS,
        "Encoder.__call__",
        never("is_clean"),
        ("tests/journal/test_notes.py::test_a_record_that_still_holds_a_secret_is_withheld",),
    ),
    Defence(
        "L2",
        "the relay token is known to the log",
        "airelays/journal/notes.py",
        "Recorder.know_token",
        removed("_tokens"),
        (
            "tests/journal/test_live_journal.py::test_the_relay_token_is_cut_out_of_a_request_that_does_not_present_it",
        ),
    ),
    Defence(
        "L2",
        "the sign-in is known to the log",
        "airelays/journal/notes.py",
        "Recorder.secrets",
        dropped("_upstream_secrets", "frozenset"),
        ("tests/journal/test_live_journal.py::test_the_sign_in_is_known_to_the_redaction",),
    ),
    Defence(
        "L2",
        "a malformed head is not written down",
        "airelays/journal/phases.py",
        "note_bad_head",
        value("reason", "''"),
        ("tests/journal/test_live_journal.py::test_a_malformed_head_is_written_without_its_bytes",),
    ),
    Defence(
        "L3",
        "files are 0600 whatever the umask and the mode they had",
        LOGFILES,
        "open_log",
        removed("fchmod"),
        ("tests/journal/test_journal.py::test_a_file_that_was_open_to_others_is_closed",),
    ),
    Defence(
        "L3",
        "folders are 0700",
        LOGFILES,
        "_own_folder",
        instead("mkdir", put=("os.mkdir({it.value.args[0]})\nreturn")),
        (
            "tests/journal/test_journal.py::test_records_become_lines_of_their_hour_in_private_files",
        ),
    ),
    Defence(
        "L3",
        "nothing but a file of our own is written to",
        LOGFILES,
        "open_log",
        never("S_ISREG"),
        ("tests/journal/test_journal.py::test_what_is_not_the_relays_own_is_not_written_to",),
    ),
    Defence(
        "L3",
        "no link is followed",
        LOGFILES,
        "",
        dropped("getattr", "O_NOFOLLOW"),
        ("tests/journal/test_journal.py::test_what_is_not_the_relays_own_is_not_written_to",),
    ),
    Defence(
        "L4",
        "a full disk costs records only",
        DISK,
        "Journal._store",
        uncaught("_failed"),
        ("tests/journal/test_journal.py::test_a_folder_that_cannot_be_made_costs_records_only",),
    ),
    Defence(
        "L4",
        "a cut line is taken back",
        DISK,
        "Journal._write",
        removed("ftruncate"),
        (
            "tests/journal/test_journal.py::test_a_file_size_limit_of_the_system_takes_back_the_cut_line",
        ),
    ),
    Defence(
        "L4",
        "one line a minute",
        DISK,
        "Journal._failed",
        always("_COMPLAINT_S"),
        (
            "tests/journal/test_journal.py::test_a_full_disk_drops_and_counts_and_the_file_stays_whole",
        ),
    ),
    Defence(
        "L5",
        "the file's name is UTC",
        LOGFILES,
        "hour_path",
        expression(ast.Attribute, "gmtime", put="time.localtime"),
        ("tests/journal/test_journal.py::test_the_name_of_a_file_is_utc_in_every_time_zone",),
    ),
    Defence(
        "L5",
        "a record goes to the hour in which it was made",
        DISK,
        "Journal._drain",
        expression(
            ast.ListComp,
            3600,
            put="[int(self._clock() // 3600) for every in {it.generators[0].iter}]",
        ),
        (
            "tests/journal/test_journal.py::test_the_hour_rolls_over_under_load_with_no_line_lost_or_torn",
        ),
    ),
    Defence(
        "L5",
        "limits use a clock that does not jump",
        "airelays/app/relay.py",
        "Relay._admission",
        expression(ast.Attribute, "monotonic", put="time.time"),
        (
            "tests/architecture/test_layers.py::test_limits_and_deadlines_are_told_by_the_monotonic_clock",
        ),
    ),
    Defence(
        "L5",
        "a token is refreshed five minutes before its end",
        "airelays/upstream/chatgpt/signin.py",
        "",
        value("EARLY_S", "0.0"),
        ("tests/upstream/test_tokens.py::test_refresh_is_due_five_minutes_before_exp",),
    ),
    Defence(
        "L6",
        "the queue is bounded",
        DISK,
        "Journal.put",
        dropped("MAX_QUEUED"),
        (
            "tests/journal/test_journal.py::test_the_queue_holds_a_thousand_records_and_counts_what_it_drops",
        ),
    ),
    Defence(
        "L6",
        "what the queue keeps alive is bounded",
        DISK,
        "Journal.put",
        expression(ast.BoolOp, "MAX_QUEUED_BYTES", put="False"),
        ("tests/journal/test_journal.py::test_the_bytes_that_wait_are_bounded",),
    ),
    Defence(
        "L6",
        "putting a record waits for nothing",
        DISK,
        "Journal.put",
        before("len", put="time.sleep(0.0001)"),
        ("tests/journal/test_journal.py::test_putting_never_waits_for_a_disk_that_hangs",),
    ),
    Defence(
        "L6",
        "what is queued is written at the end",
        "airelays/host/process.py",
        "_end",
        removed("to_thread"),
        ("tests/journal/test_live_journal.py::test_the_last_records_before_a_stop_are_written",),
    ),
)
