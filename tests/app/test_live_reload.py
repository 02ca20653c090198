"""SIGHUP: what can be changed while serving, and what is said of the rest."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from airelays.host.contact import find
from airelays.settings.reload import RELOADABLE, reload_text, split_changes
from airelays.settings.values import Settings
from tests.live import Relay, running


def test_every_reloadable_name_is_a_setting() -> None:
    assert all(hasattr(Settings(data_dir="/x"), name) for name in RELOADABLE)


def test_changes_are_told_apart() -> None:
    old, new = Settings(data_dir="/x"), Settings(data_dir="/x", port=1, rate_limit_burst=2)
    assert split_changes(old, new) == (["rate_limit_burst"], ["port"])
    assert split_changes(old, old) == ([], [])
    assert "restart required for: port" in reload_text([], ["port"])
    assert "nothing changed" in reload_text([], [])


def hang_up(relay: Relay) -> str:
    """Send SIGHUP; return the line that the relay says."""
    relay.process.send_signal(signal.SIGHUP)
    assert relay.process.stderr is not None
    return relay.process.stderr.readline()


def test_limits_and_lists_change_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[security]\nrate_limit_burst = 3\n")
    with running(tmp_path, "--config", str(config)) as relay:
        assert [relay.get("/v1/models").status for _ in range(4)] == [200, 200, 200, 429]
        config.write_text(
            "[server]\nport = 1\n[security]\nrate_limit_burst = 40\nrate_limit_per_minute = 600000\n"
            'allowed_hosts = ["relay.lan"]\n'
        )
        said = hang_up(relay)
        assert "allowed_hosts" in said and "rate_limit_burst" in said
        time_is_up_s = time.monotonic() + 5
        while relay.get("/v1/models").status != 200:
            assert time.monotonic() < time_is_up_s
        reply = relay.send("GET", "/v1/models", headers={"Host": "relay.lan"})
        assert reply.status == 200


def test_the_log_s_policy_changes_at_once_unless_one_is_saved(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with running(tmp_path, "--config", str(config)) as relay:
        config.write_text("[logging]\nretention_days = 2\n")
        said = hang_up(relay)
        assert "applied: log_retention_days" in said and "overrides" not in said
        assert relay.get("/v1/relay/logging").json()["policy"]["retention_days"] == 2
        assert relay.send("PUT", "/v1/relay/logging", {"retention_days": 9}).status == 200
        config.write_text("[logging]\nretention_days = 3\n")
        said = hang_up(relay)
        assert (
            ".retention.json overrides log_retention_days (" in said
            and "airelays logs --reset" in said
        )
        assert relay.get("/v1/relay/logging").json()["policy"]["retention_days"] == 9


def test_reloads_at_the_same_time_come_one_after_the_other(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[security]\nrate_limit_burst = 3\n")
    with running(tmp_path, "--config", str(config)) as relay:
        contact = find(str(tmp_path / ".airelays"))
        assert contact is not None
        config.write_text("[security]\nrate_limit_burst = 4\n")
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(contact.ask, "POST", "/reload") for _ in range(16)]
            relay.process.send_signal(signal.SIGHUP)
            found = [one.result() for one in asked]
        taken = [one["taken"] for one in found if one["taken"]]
        # The one that saw the change first took it over; for all others nothing had changed.
        assert len(taken) <= 1 and all("rate_limit_burst" in str(one) for one in taken)
        assert [relay.get("/v1/models").status for _ in range(5)] == [200, 200, 200, 200, 429]


def test_a_broken_file_changes_nothing_and_ends_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with running(tmp_path, "--config", str(config)) as relay:
        config.write_text("[security\n")
        said = hang_up(relay)
        assert "the settings were not changed" in said and str(config) in said
        assert relay.get("/v1/models").status == 200
        config.write_text("[security]\nrate_limit_burst = -1\n")
        assert "rate_limit_burst" in hang_up(relay)
        assert relay.get("/v1/models").status == 200


def test_a_pipe_in_the_place_of_the_file_holds_nothing_up(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("")
    with running(tmp_path, "--config", str(config)) as relay:
        config.unlink()
        os.mkfifo(config)
        assert f"{config} cannot be read: it is a FIFO, not a regular file" in hang_up(relay)
        assert relay.get("/v1/models").status == 200
