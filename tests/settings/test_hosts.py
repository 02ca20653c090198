"""settings.hosts: which spellings mean this machine, everywhere in the program."""

from __future__ import annotations

import pytest

from airelays.guard.gate import Gate
from airelays.settings.hosts import is_loopback, is_near
from airelays.settings.values import Settings

HERE = ["localhost", "Localhost", "LOCALHOST", "localhost.", "ollama.localhost", "127.0.0.1", "127.8.9.1", "::1",
        "[::1]", "::ffff:127.0.0.1", "::1%lo"]  # fmt: skip
ELSEWHERE = [
    "localhost.example",
    "notlocalhost",
    "127.0.0.1.example",
    "10.0.0.1",
    "0.0.0.0",
    "::",
    "",
    "127.1",
    "128.0.0.1",
]


@pytest.mark.parametrize("host", HERE)
def test_a_spelling_of_this_machine_is_one_everywhere(host: str) -> None:
    assert is_loopback(host) and is_near(host)
    settings = Settings(data_dir="/x", host=host)
    assert settings.effective_network_scope == "loopback" == Gate(settings).scope


@pytest.mark.parametrize("host", ELSEWHERE)
def test_other_hosts_are_not_this_machine(host: str) -> None:
    assert not is_loopback(host)
    assert is_near(host) is (host == "10.0.0.1" or host in ("0.0.0.0", "::"))
