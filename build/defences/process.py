"""Defences of the process, its packages and what it is made of, rows P1 to P6."""

from __future__ import annotations

import ast

from change import (
    Pattern,
    always,
    before,
    call,
    dropped,
    expression,
    instead,
    never,
    removed,
    value,
)
from entry import Defence

CONFIG = "airelays/settings/load.py"
FREEZE = "build/freeze.py"
LAG = "airelays/host/looplag.py"
LISTENER = "airelays/net/listener.py"
RUN = "airelays/host/process.py"
SPEC = "packaging/pyinstaller/airelays.spec"

PROCESS = (
    Defence(
        "P1",
        "a stop takes no further client",
        LISTENER,
        "Listener.stop_accepting",
        removed("sockets", at=1),
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[second signal]",
        ),
    ),
    Defence(
        "P1",
        "a stop lets running streams finish",
        RUN,
        "_end",
        expression(ast.Attribute, "drain_seconds", put="0.0", at=1),
        ("tests/net/test_live_wire.py::test_a_drain_finishes_running_streams",),
    ),
    Defence(
        "P1",
        "a stop does not wait for ever, and says why",
        LISTENER,
        "Listener.drain",
        call("interrupt", put="{it.func.value}.connection.abort()"),
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[drain]",
        ),
    ),
    Defence(
        "P1",
        "a second signal ends at once",
        RUN,
        "_serve",
        expression(ast.IfExp, "is_set", put="{it.test.func.value}"),
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[second signal]",
        ),
    ),
    Defence(
        "P1",
        "an idle connection does not hold up a stop",
        "airelays/net/session.py",
        "Session._end_idle",
        removed("request"),
        ("tests/net/test_live_wire.py::test_an_idle_relay_ends_at_once",),
    ),
    Defence(
        "P1",
        "a client that has just come is answered before a stop",
        "airelays/net/session.py",
        "Session.stop",
        always("_end_idle"),
        ("tests/host/test_systemd.py::test_no_client_is_refused_while_the_relay_restarts",),
    ),
    Defence(
        "P2",
        "a socket that systemd passes is one of the settings",
        "airelays/app/doors.py",
        "open_doors",
        removed("_refuse_others", kind=ast.Expr),
        ("tests/host/test_systemd.py::test_a_socket_that_the_settings_do_not_name_is_refused",),
    ),
    Defence(
        "P2",
        "a socket that systemd passes listens",
        "airelays/host/systemd.py",
        "_taken",
        call("getsockopt", put="True"),
        (
            "tests/host/test_systemd.py::test_something_else_than_a_listening_socket_is_refused[quiet]",
        ),
    ),
    Defence(
        "P2",
        "sockets that are meant for another process are not taken",
        "airelays/host/systemd.py",
        "count_passed",
        never("LISTEN_PID"),
        ("tests/host/test_systemd.py::test_sockets_for_another_process_are_left_alone",),
    ),
    Defence(
        "P2",
        "a port that is taken is one line",
        LISTENER,
        "bind",
        instead("_bind_error", put="raise"),
        ("tests/net/test_live_wire.py::test_a_taken_port_says_who_to_blame",),
    ),
    Defence(
        "P2",
        "a port is shared with nobody",
        LISTENER,
        "_bind_one",
        expression(ast.Attribute, "SO_REUSEADDR", put="socket.SO_REUSEPORT"),
        ("tests/net/test_live_bounds.py::test_a_port_is_shared_with_nobody",),
    ),
    Defence(
        "P2",
        "open mode is not open to other machines unless told twice",
        CONFIG,
        "check_listener",
        call("check_open", put="None"),
        (
            "tests/settings/test_config.py::test_open_mode_beyond_loopback_must_be_said_twice",
            "tests/net/test_security_page.py::test_open_mode_refuses_to_bind_wide_unless_told_twice",
        ),
    ),
    Defence(
        "P2",
        "a weak token is not open to other machines unless told twice",
        "airelays/commands/weaktoken.py",
        "is_refused",
        dropped("allow_open_network"),
        (
            "tests/credentials/test_weak_tokens.py::test_beyond_loopback_it_is_refused_unless_confirmed_twice",
        ),
    ),
    Defence(
        "P2",
        "a weak token that comes later lets nobody in beyond loopback",
        "airelays/credentials/token.py",
        "TokenSource._look_at",
        never("refused"),
        (
            "tests/credentials/test_weak_tokens.py::test_a_weak_token_that_comes_later_lets_nobody_in_beyond_loopback",
        ),
    ),
    Defence(
        "P2",
        "without a token the relay does not start",
        "airelays/commands/serve.py",
        "needs_new_token",
        before("path", put="return"),
        ("tests/net/test_security_page.py::test_without_a_token_serve_says_what_to_run",),
    ),
    Defence(
        "P3",
        "a loop that was held up is said",
        LAG,
        "LagWatch._look",
        expression(ast.Compare, "LAG_SECONDS", put="{it.left} > 3600.0"),
        ("tests/host/test_looplag.py::test_a_long_hold_is_told_once",),
    ),
    Defence(
        "P3",
        "files are written off the loop",
        "airelays/app/files.py",
        "_Upload._flush",
        instead(
            "run_in_executor",
            put=(
                "{it.value.args[1]}({it.value.args[2]})\n"
                "{it.targets[0]} = {it.value.func}(None, int)"
            ),
        ),
        ("tests/net/test_live_bounds.py::test_files_are_written_off_the_loop",),
    ),
    Defence(
        "P4",
        "PyInstaller of 6 or newer, pinned",
        "build/requirements/build.txt",
        "",
        Pattern(r"pyinstaller==\S+ ", "pyinstaller==5.13.2 "),
        ("tests/delivery/test_freeze.py::test_pyinstaller_is_new_enough_and_pinned",),
    ),
    Defence(
        "P4",
        "no child gets the loader's variables",
        "packaging/pyinstaller/clean_environment.py",
        "",
        removed(kind=ast.If),
        ("tests/delivery/test_freeze.py::test_no_child_gets_the_variables_of_the_loader",),
    ),
    Defence(
        "P4",
        "nor the browser",
        "airelays/terminal/browser.py",
        "open_browser",
        always("startswith"),
        (
            "tests/upstream/test_login.py::test_the_browser_is_opened_without_a_shell_and_the_loaders_variables",
        ),
    ),
    Defence(
        "P4",
        "the environment is cleaned first thing",
        SPEC,
        "",
        dropped("runtime_hooks"),
        ("tests/delivery/test_freeze.py::test_no_child_gets_the_variables_of_the_loader",),
    ),
    Defence(
        "P4",
        "nothing is packed",
        SPEC,
        "",
        value("upx", "True", at=0),
        ("tests/delivery/test_freeze.py::test_packing_is_off_and_the_build_is_of_one_analysis",),
    ),
    Defence(
        "P5",
        "two packages at run time",
        "build/requirements/run.txt",
        "",
        Pattern(r"(?m)^h11==", "requests==2.0.0 \\\n    --hash=sha256:00\nh11=="),
        ("tests/delivery/test_launcher.py::test_the_run_list_is_the_two_dependencies_and_no_more",),
    ),
    Defence(
        "P5",
        "nothing else is imported",
        "airelays/net/malloc.py",
        "",
        before(put="import requests", kind=ast.Import),
        (
            "tests/architecture/test_layers.py::test_nothing_outside_the_standard_library_but_h11_and_certifi",
        ),
    ),
    Defence(
        "P5",
        "packages are locked by hash",
        "build/requirements/run.txt",
        "",
        Pattern(r"(?m)^(h11==[\d.]+) \\\n(    --hash=.*\n)+", "h11==0.16.0\n"),
        (
            "tests/delivery/test_launcher.py::test_a_locked_list_pins_every_package_by_hash_and_names_no_host",
        ),
    ),
    Defence(
        "P5",
        "nothing is installed without a digest",
        "airelays.py",
        "install",
        dropped("--require-hashes"),
        ("tests/delivery/test_launcher.py::test_a_list_without_digests_is_refused",),
    ),
    Defence(
        "P5",
        "no .pth file gets into the folder",
        FREEZE,
        "refuse_pth",
        never("join"),
        ("tests/delivery/test_freeze.py::test_a_pth_file_fails_the_build",),
    ),
    Defence(
        "P5",
        "the same files make the same archive",
        FREEZE,
        "write_archive",
        removed("mtime"),
        ("tests/delivery/test_freeze.py::test_an_archive_of_the_same_files_has_the_same_bytes",),
    ),
    Defence(
        "P5",
        "the bill names what is inside",
        "build/contents.py",
        "_executable",
        removed("_libraries"),
        ("tests/delivery/test_contents.py::test_everything_inside_one_file_is_named",),
    ),
    Defence(
        "P5",
        "the list of digests must be signed",
        "airelays/commands/verify.py",
        "_keygen",
        never("returncode"),
        ("tests/commands/test_verify.py::test_one_changed_bit_is_refused",),
    ),
    Defence(
        "P5",
        "a file must be the one that is listed",
        "airelays/commands/verify.py",
        "_compare",
        instead("ConfigError", "SHA-256", put="pass", kind=ast.If),
        ("tests/commands/test_verify.py::test_one_changed_bit_is_refused",),
    ),
    Defence(
        "P5",
        "a key signs releases and nothing else",
        "airelays/commands/verify.py",
        "_keygen",
        expression(ast.Name, "NAMESPACE", put="'file'"),
        ("tests/commands/test_verify.py::test_a_file_of_a_signed_release_is_accepted",),
    ),
    Defence(
        "P5",
        "a release signs with a key that users can check",
        "build/release.py",
        "sign",
        instead("no user could check this signature", put="return ''", kind=ast.Raise),
        ("tests/commands/test_verify.py::test_a_key_that_no_user_could_check_signs_nothing",),
    ),
    Defence(
        "P5",
        "actions are pinned to commits",
        ".github/workflows/release.yml",
        "",
        Pattern(r"actions/download-artifact@\S+.*", "actions/download-artifact@v4"),
        ("tests/delivery/test_packaging.py::test_actions_are_pinned_to_commits",),
    ),
    Defence(
        "P5",
        "images are pinned by digest",
        ".github/workflows/release.yml",
        "",
        Pattern(r"python:3\.13-alpine@sha256:[0-9a-f]{64}", "python:3.13-alpine"),
        (
            "tests/delivery/test_packaging.py::test_images_are_official_and_pinned_by_digest",
            "tests/delivery/test_packaging.py::test_zizmor_finds_nothing",
        ),
    ),
    Defence(
        "P5",
        "a system's byte in gzip is the same everywhere",
        "build/packing.py",
        "",
        Pattern(r"epoch, 2, 255\)", "epoch, 2, sys.version_info[1])"),
        (
            "tests/delivery/test_deb.py::test_every_python_writes_the_same_bytes",
            "tests/delivery/test_packing.py::test_a_gzip_member_names_no_system",
        ),
    ),
    Defence(
        "P6",
        "nothing is decided by an assert",
        "airelays/protocol/chunked.py",
        "ChunkDecoder._take_trailers",
        instead("FIELD_LINES", put="assert {it.test.left}, ProtocolFault('malformed')"),
        ("tests/protocol/test_chunked.py::test_a_malformed_body_is_refused",),
        ("-O",),
    ),
    Defence(
        "P6",
        "an assert that decides is found",
        "airelays/protocol/chunked.py",
        "ChunkDecoder._take_trailers",
        instead("FIELD_LINES", put="assert {it.test.left}"),
        ("tests/architecture/test_layers.py::test_nothing_is_decided_by_an_assert",),
    ),
)
