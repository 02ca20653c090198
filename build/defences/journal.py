"""Defences of the traffic log, rows L1 to L6."""

from __future__ import annotations

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
        "            found = json.dumps(self.short(value))\n",
        "            found = f'\"{self.short(value)}\"'\n",
        (
            "tests/journal/test_redact.py::test_control_characters_are_escaped_in_literals",
            "tests/journal/test_live_journal.py::test_no_client_can_write_a_line_of_its_own",
        ),
    ),
    Defence(
        "L1",
        "lines are ASCII",
        REDACT,
        "            found = json.dumps(self.short(value))\n",
        "            found = json.dumps(self.short(value), ensure_ascii=False)\n",
        ("tests/journal/test_redact.py::test_control_characters_are_escaped_in_literals",),
    ),
    Defence(
        "L1",
        "a record is bounded",
        DISK,
        "                len(line) > MAX_RECORD_BYTES\n",
        "                False\n",
        ("tests/journal/test_journal.py::test_a_record_is_bounded",),
    ),
    Defence(
        "L1",
        "a torn line does not take the next one with it",
        DISK,
        '            lead = b"\\n"  # a crash',
        '            lead = b""  # a crash',
        (
            "tests/journal/test_journal.py::test_a_line_torn_by_a_crash_does_not_take_the_next_one_with_it",
        ),
    ),
    Defence(
        "L2",
        "header values by allow-list",
        REDACT,
        "                if name in LOGGED_FIELDS\n",
        "                if True\n",
        ("tests/journal/test_redact.py::test_header_values_are_written_by_allow_list_only",),
    ),
    Defence(
        "L2",
        "query values by allow-list",
        REDACT,
        "            kept = self.short(value) if name in LOGGED_QUERY else REDACTED\n",
        "            kept = self.short(value)\n",
        ("tests/journal/test_redact.py::test_query_values_are_written_by_allow_list_only",),
    ),
    Defence(
        "L2",
        "values under secret names",
        REDACT,
        "        if _SECRET_KEY.search(key):\n",
        "        if False:\n",
        SECRET_NAMES,
    ),
    Defence(
        "L2",
        "api keys are secret names",
        REDACT,
        "cookie|api[-_ ]?key|bearer|code_verifier",
        "cookie|bearer|code_verifier",
        SECRET_NAMES,
    ),
    Defence(
        "L2",
        "Bearer and what follows",
        REDACT,
        '    r"(?i:\\bbearer\\s+)[^\\s\\"\',;]+"\n    r"|',
        '    r"',
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "JSON web tokens",
        REDACT,
        '    r"|eyJ[A-Za-z0-9_-]{4,}\\.[A-Za-z0-9_-]{4,}(?:\\.[A-Za-z0-9_-]*)?"\n',
        "",
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "keys that begin with sk-",
        REDACT,
        '    r"|\\bsk-[A-Za-z0-9_-]{8,}"\n',
        "",
        LOOKS_SECRET,
    ),
    Defence(
        "L2",
        "known secrets, plain and encoded",
        REDACT,
        "        raw = self._cut_out(raw)\n",
        "",
        CUT_OUT,
    ),
    Defence(
        "L2",
        "known secrets behind escapes",
        REDACT,
        "        if self._needles and self._hides_one(raw.lower()):\n",
        "        if False:\n",
        CUT_OUT,
    ),
    Defence(
        "L2",
        "what a request presents is secret too",
        RECORDS,
        "presented_secrets(fields)",
        "()",
        (
            "tests/journal/test_notes.py::test_what_a_request_presents_is_taken_out_of_all_its_records",
        ),
    ),
    Defence(
        "L2",
        "a line with a secret is withheld",
        RECORDS,
        '        if not self.redactor.is_clean(b"".join(lines)):\n',
        "        if False:\n",
        ("tests/journal/test_notes.py::test_a_record_that_still_holds_a_secret_is_withheld",),
    ),
    Defence(
        "L2",
        "the relay token is known to the log",
        "airelays/journal/notes.py",
        "                self._tokens |= {token}\n",
        "                pass\n",
        (
            "tests/journal/test_live_journal.py::test_the_relay_token_is_cut_out_of_a_request_that_does_not_present_it",
        ),
    ),
    Defence(
        "L2",
        "the sign-in is known to the log",
        "airelays/journal/notes.py",
        " | frozenset(self._upstream_secrets())\n",
        "\n",
        ("tests/journal/test_live_journal.py::test_the_sign_in_is_known_to_the_redaction",),
    ),
    Defence(
        "L2",
        "a malformed head is not written down",
        "airelays/journal/phases.py",
        '        reason="malformed_request",\n        status_code',
        '        reason="",\n        status_code',
        ("tests/journal/test_live_journal.py::test_a_malformed_head_is_written_without_its_bytes",),
    ),
    Defence(
        "L3",
        "files are 0600 whatever the umask and the mode they had",
        LOGFILES,
        "            os.fchmod(fd, 0o600)\n",
        "            pass\n",
        ("tests/journal/test_journal.py::test_a_file_that_was_open_to_others_is_closed",),
    ),
    Defence(
        "L3",
        "folders are 0700",
        LOGFILES,
        "        os.mkdir(folder, 0o700)\n        found = os.lstat(folder)\n",
        "        os.mkdir(folder)\n        return\n",
        (
            "tests/journal/test_journal.py::test_records_become_lines_of_their_hour_in_private_files",
        ),
    ),
    Defence(
        "L3",
        "nothing but a file of our own is written to",
        LOGFILES,
        "        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or not _is_ours(found):\n",
        "        if False:\n",
        ("tests/journal/test_journal.py::test_what_is_not_the_relays_own_is_not_written_to",),
    ),
    Defence(
        "L3",
        "no link is followed",
        LOGFILES,
        '    | getattr(os, "O_NOFOLLOW", 0)\n    | getattr(os, "O_CLOEXEC", 0)\n',
        '    | getattr(os, "O_CLOEXEC", 0)\n',
        ("tests/journal/test_journal.py::test_what_is_not_the_relays_own_is_not_written_to",),
    ),
    Defence(
        "L4",
        "a full disk costs records only",
        DISK,
        "            except (OSError, ConfigError) as error:\n                reason = getattr",
        "            except ZeroDivisionError as error:\n                reason = getattr",
        ("tests/journal/test_journal.py::test_a_folder_that_cannot_be_made_costs_records_only",),
    ),
    Defence(
        "L4",
        "a cut line is taken back",
        DISK,
        "                    os.ftruncate(fd, size + end)\n",
        "                    pass\n",
        (
            "tests/journal/test_journal.py::test_a_file_size_limit_of_the_system_takes_back_the_cut_line",
        ),
    ),
    Defence(
        "L4",
        "one line a minute",
        DISK,
        "        if now_s - self._complained_s >= _COMPLAINT_S:\n",
        "        if True:\n",
        (
            "tests/journal/test_journal.py::test_a_full_disk_drops_and_counts_and_the_file_stays_whole",
        ),
    ),
    Defence(
        "L5",
        "the file's name is UTC",
        LOGFILES,
        "    t = time.gmtime(hour * 3600)\n",
        "    t = time.localtime(hour * 3600)\n",
        ("tests/journal/test_journal.py::test_the_name_of_a_file_is_utc_in_every_time_zone",),
    ),
    Defence(
        "L5",
        "a record goes to the hour in which it was made",
        DISK,
        "        hours = [int(record[0] // 3600) for record in records]\n",
        "        hours = [int(self._clock() // 3600) for record in records]\n",
        (
            "tests/journal/test_journal.py::test_the_hour_rolls_over_under_load_with_no_line_lost_or_torn",
        ),
    ),
    Defence(
        "L5",
        "limits use a clock that does not jump",
        "airelays/app/relay.py",
        "                time.monotonic(),\n                token=token,\n",
        "                time.time(),\n                token=token,\n",
        (
            "tests/architecture/test_layers.py::test_limits_and_deadlines_are_told_by_the_monotonic_clock",
        ),
    ),
    Defence(
        "L5",
        "a token is refreshed five minutes before its end",
        "airelays/upstream/chatgpt/signin.py",
        "EARLY_S = 300.0\n",
        "EARLY_S = 0.0\n",
        ("tests/upstream/test_tokens.py::test_refresh_is_due_five_minutes_before_exp",),
    ),
    Defence(
        "L6",
        "the queue is bounded",
        DISK,
        "        if waiting >= MAX_QUEUED or (\n",
        "        if (\n",
        (
            "tests/journal/test_journal.py::test_the_queue_holds_a_thousand_records_and_counts_what_it_drops",
        ),
    ),
    Defence(
        "L6",
        "what the queue keeps alive is bounded",
        DISK,
        "            weight and self._held - self._freed + weight > MAX_QUEUED_BYTES\n",
        "            False\n",
        ("tests/journal/test_journal.py::test_the_bytes_that_wait_are_bounded",),
    ),
    Defence(
        "L6",
        "putting a record waits for nothing",
        DISK,
        "        queue = self._queue\n",
        "        queue = self._queue\n        time.sleep(0.0001)\n",
        ("tests/journal/test_journal.py::test_putting_never_waits_for_a_disk_that_hangs",),
    ),
    Defence(
        "L6",
        "what is queued is written at the end",
        "airelays/host/process.py",
        "    await asyncio.to_thread(relay.notes.close)\n",
        "",
        ("tests/journal/test_live_journal.py::test_the_last_records_before_a_stop_are_written",),
    ),
)
