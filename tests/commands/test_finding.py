"""`init --find`: what it takes for a model server, and what it leaves out."""

from __future__ import annotations

from pathlib import Path

from airelays.commands.finding import USUAL, look_around
from tests.fakes.openai_server import openai_server
from tests.live import running
from tests.net.test_live_mute import mute


def port_of(url: str) -> int:
    return int(url.partition("//127.0.0.1:")[2].partition("/")[0])


def test_servers_are_found_and_relays_keys_and_other_things_told_apart(tmp_path: Path) -> None:
    with (
        openai_server("/models") as good,
        openai_server() as other,
        openai_server("/models") as locked,
        mute() as silent,
        running(tmp_path) as relay,
    ):
        locked.answers["/models"] = (401, "application/json", b'{"error":{}}')
        asked = (
            ("a", "A", port_of(good.url)),
            ("b", "B", port_of(other.url)),
            ("c", "C", port_of(locked.url)),
            ("d", "D", relay.port),
            ("e", "E", int(silent.place.partition(":")[2])),
        )
        found = look_around(asked)
    assert [(one.name, one.models, one.needs_key) for one in found] == [
        ("a", ("tiny", "other"), False),
        ("c", (), True),
    ]
    assert found[0].as_text() == f"{good.url} (A's port) lists tiny and 1 more"


def test_every_usual_port_has_a_name_of_its_own() -> None:
    assert len({name for name, _, _ in USUAL}) == len({port for _, _, port in USUAL}) == 6
