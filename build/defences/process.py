"""Defences of the process, its packages and what it is made of, rows P1 to P6."""

from __future__ import annotations

from entry import Defence

__all__ = ["PROCESS"]

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
        "        for listening in self.sockets:\n            listening.close()\n",
        "",
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[second signal]",
        ),
    ),
    Defence(
        "P1",
        "a stop lets running streams finish",
        RUN,
        "    await _drain(listener, force, settings.drain_seconds)\n",
        "    await _drain(listener, force, 0.0)\n",
        ("tests/net/test_live_wire.py::test_a_drain_finishes_running_streams",),
    ),
    Defence(
        "P1",
        "a stop does not wait for ever, and says why",
        LISTENER,
        "            session.interrupt(last_word)\n",
        "            session.connection.abort()\n",
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[drain]",
        ),
    ),
    Defence(
        "P1",
        "a second signal ends at once",
        RUN,
        "        (force if stop.is_set() else stop).set()\n",
        "        stop.set()\n",
        (
            "tests/net/test_live_wire.py::test_what_a_drain_cannot_finish_ends_with_a_typed_error[second signal]",
        ),
    ),
    Defence(
        "P1",
        "an idle connection does not hold up a stop",
        "airelays/net/session.py",
        "        if self.request is None and self._task is not None:\n            self.connection.abort()\n",
        "",
        ("tests/net/test_live_wire.py::test_an_idle_relay_ends_at_once",),
    ),
    Defence(
        "P2",
        "a port that is taken is one line",
        LISTENER,
        "            raise ConfigError(_bind_error(address, port, error)) from error\n",
        "            raise\n",
        ("tests/net/test_live_wire.py::test_a_taken_port_says_who_to_blame",),
    ),
    Defence(
        "P2",
        "a port is shared with nobody",
        LISTENER,
        "            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n",
        "            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)\n",
        ("tests/net/test_live_bounds.py::test_a_port_is_shared_with_nobody",),
    ),
    Defence(
        "P2",
        "open mode is not open to other machines unless told twice",
        CONFIG,
        "        or settings.allow_open_network\n",
        "        or True\n",
        (
            "tests/settings/test_config.py::test_open_mode_beyond_loopback_must_be_said_twice",
            "tests/net/test_security_page.py::test_open_mode_refuses_to_bind_wide_unless_told_twice",
        ),
    ),
    Defence(
        "P2",
        "a weak token is not open to other machines unless told twice",
        "airelays/commands/weaktoken.py",
        "settings.allow_weak_token and settings.allow_open_network\n",
        "settings.allow_weak_token\n",
        (
            "tests/credentials/test_weak_tokens.py::test_beyond_loopback_it_is_refused_unless_confirmed_twice",
        ),
    ),
    Defence(
        "P2",
        "a weak token that comes later lets nobody in beyond loopback",
        "airelays/credentials/token.py",
        '        if weak and self.weak_is == "refused":\n',
        "        if False:\n",
        (
            "tests/credentials/test_weak_tokens.py::test_a_weak_token_that_comes_later_lets_nobody_in_beyond_loopback",
        ),
    ),
    Defence(
        "P2",
        "without a token the relay does not start",
        "airelays/commands/serve.py",
        "        raise ConfigError(\n"
        '            f"there is no relay token in {token.path}; type: airelays init "\n',
        "        return\n        raise ConfigError(\n"
        '            f"there is no relay token in {token.path}; type: airelays init "\n',
        ("tests/net/test_security_page.py::test_without_a_token_serve_says_what_to_run",),
    ),
    Defence(
        "P3",
        "a loop that was held up is said",
        LAG,
        "        if late_s > LAG_SECONDS and",
        "        if late_s > 3600.0 and",
        ("tests/host/test_looplag.py::test_a_long_hold_is_told_once",),
    ),
    Defence(
        "P3",
        "files are written off the loop",
        "airelays/app/files.py",
        "            self.writing = loop.run_in_executor(None, self.spool.write, self.pieces)\n",
        "            self.spool.write(self.pieces)\n"
        "            self.writing = loop.run_in_executor(None, int)\n",
        ("tests/net/test_live_bounds.py::test_files_are_written_off_the_loop",),
    ),
    Defence(
        "P4",
        "PyInstaller of 6 or newer, pinned",
        "build/requirements/build.txt",
        "pyinstaller==6.22.3 ",
        "pyinstaller==5.13.2 ",
        ("tests/delivery/test_freeze.py::test_pyinstaller_is_new_enough_and_pinned",),
    ),
    Defence(
        "P4",
        "no child gets the loader's variables",
        "packaging/pyinstaller/clean_environment.py",
        "        os.environ[_name] = _before\n    else:\n        os.environ.pop(_name, None)\n",
        "        pass\n",
        ("tests/delivery/test_freeze.py::test_no_child_gets_the_variables_of_the_loader",),
    ),
    Defence(
        "P4",
        "nor the browser",
        "airelays/commands/login.py",
        '        if k != "LD_LIBRARY_PATH" and not k.startswith("_MEIPASS")\n',
        "",
        (
            "tests/upstream/test_login.py::test_the_browser_is_opened_without_a_shell_and_the_loaders_variables",
        ),
    ),
    Defence(
        "P4",
        "the environment is cleaned first thing",
        SPEC,
        '    runtime_hooks=[os.path.join(HERE, "clean_environment.py")],\n',
        "",
        ("tests/delivery/test_freeze.py::test_no_child_gets_the_variables_of_the_loader",),
    ),
    Defence(
        "P4",
        "nothing is packed",
        SPEC,
        '    "upx": False,\n',
        '    "upx": True,\n',
        ("tests/delivery/test_freeze.py::test_packing_is_off_and_the_build_is_of_one_analysis",),
    ),
    Defence(
        "P5",
        "two packages at run time",
        "build/requirements/run.txt",
        "h11==0.16.0 \\\n",
        "requests==2.0.0 \\\n    --hash=sha256:00\nh11==0.16.0 \\\n",
        ("tests/delivery/test_launcher.py::test_the_run_list_is_the_two_dependencies_and_no_more",),
    ),
    Defence(
        "P5",
        "nothing else is imported",
        "airelays/net/malloc.py",
        "import sys\n",
        "import sys\nimport requests\n",
        (
            "tests/architecture/test_layers.py::test_nothing_outside_the_standard_library_but_h11_and_certifi",
        ),
    ),
    Defence(
        "P5",
        "packages are locked by hash",
        "build/requirements/run.txt",
        "h11==0.16.0 \\\n"
        "    --hash=sha256:4e35b956cf45792e4caa5885e69fba00bdbc6ffafbfa020300e549b208ee5ff1 \\\n"
        "    --hash=sha256:63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86\n",
        "h11==0.16.0\n",
        (
            "tests/delivery/test_launcher.py::test_a_locked_list_pins_every_package_by_hash_and_names_no_host",
        ),
    ),
    Defence(
        "P5",
        "nothing is installed without a digest",
        "airelays.py",
        ' + ["--require-hashes"]',
        "",
        ("tests/delivery/test_launcher.py::test_a_list_without_digests_is_refused",),
    ),
    Defence(
        "P5",
        "no .pth file gets into the folder",
        FREEZE,
        "    if stray:\n",
        "    if False:\n",
        ("tests/delivery/test_freeze.py::test_a_pth_file_fails_the_build",),
    ),
    Defence(
        "P5",
        "the same files make the same archive",
        FREEZE,
        "            entry.mtime = epoch\n",
        "",
        ("tests/delivery/test_freeze.py::test_an_archive_of_the_same_files_has_the_same_bytes",),
    ),
    Defence(
        "P5",
        "the bill names what is inside",
        "build/release.py",
        '    components = [_package("h11", "MIT"), _package("certifi", "MPL-2.0")]\n',
        '    components = [_package("h11", "MIT")]\n',
        ("tests/delivery/test_release.py::test_the_bill_names_what_is_inside",),
    ),
    Defence(
        "P5",
        "actions are pinned to commits",
        ".github/workflows/release.yml",
        "actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131 # v7.0.0",
        "actions/download-artifact@v7",
        ("tests/delivery/test_packaging.py::test_actions_are_pinned_to_commits",),
    ),
    Defence(
        "P5",
        "images are pinned by digest",
        ".github/workflows/release.yml",
        "python:3.13-alpine@sha256:399babc8b49529dabfd9c922f2b5eea81d611e4512e3ed250d75bd2e7683f4b0",
        "python:3.13-alpine",
        (
            "tests/delivery/test_packaging.py::test_images_are_official_and_pinned_by_digest",
            "tests/delivery/test_packaging.py::test_zizmor_finds_nothing",
        ),
    ),
    Defence(
        "P5",
        "a system's byte in gzip is the same everywhere",
        "build/packing.py",
        "zlib.DEFLATED, 0, epoch, 2, 255)",
        "zlib.DEFLATED, 0, epoch, 2, sys.version_info[1])",
        (
            "tests/delivery/test_deb.py::test_every_python_writes_the_same_bytes",
            "tests/delivery/test_packing.py::test_a_gzip_member_names_no_system",
        ),
    ),
    Defence(
        "P6",
        "nothing is decided by an assert",
        "airelays/protocol/chunked.py",
        "        if FIELD_LINES.fullmatch(buffer, at, end + 4) is None:\n"
        '            raise ProtocolFault("trailer section is malformed")\n',
        '        assert FIELD_LINES.fullmatch(buffer, at, end + 4), ProtocolFault("malformed")\n',
        ("tests/protocol/test_chunked.py::test_a_malformed_body_is_refused",),
        ("-O",),
    ),
    Defence(
        "P6",
        "an assert that decides is found",
        "airelays/protocol/chunked.py",
        "        if FIELD_LINES.fullmatch(buffer, at, end + 4) is None:\n"
        '            raise ProtocolFault("trailer section is malformed")\n',
        "        assert FIELD_LINES.fullmatch(buffer, at, end + 4)\n",
        ("tests/architecture/test_layers.py::test_nothing_is_decided_by_an_assert",),
    ),
)
