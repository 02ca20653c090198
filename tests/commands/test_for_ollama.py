"""`serve --for-ollama`: a listener for programs without a field for a key."""

from __future__ import annotations

import errno
import json
from pathlib import Path

from airelays.credentials.keys import ensure_key, read_keys
from airelays.net.listener import _bind_error
from airelays.settings.listen import FOR_OLLAMA, OLLAMA_PORT, read_listeners
from airelays.settings.values import ListenSettings
from tests.app.keyed import run
from tests.app.test_doors import ports, through
from tests.live import running

USUAL = ListenSettings("127.0.0.1", OLLAMA_PORT, "ollama")


def test_it_opens_the_usual_port_unless_another_listener_has_the_key() -> None:
    assert read_listeners({}, "c", [FOR_OLLAMA]) == (USUAL,)
    other = ListenSettings("127.0.0.1", 11435, "ollama")
    assert read_listeners({}, "c", ["127.0.0.1:11435,key=ollama", FOR_OLLAMA]) == (other,)
    tree = {"listen": [{"port": 11435, "key": "ollama"}]}
    assert read_listeners(tree, "c", [FOR_OLLAMA]) == (other,)


def test_a_port_that_ollama_has_is_named() -> None:
    text = _bind_error("127.0.0.1", OLLAMA_PORT, OSError(errno.EADDRINUSE, "in use"))
    assert "most likely Ollama" in text and "--listen 127.0.0.1:11435,key=ollama" in text


def test_the_key_is_made_once_and_never_shown(tmp_path: Path) -> None:
    flags = ("--for-ollama", "--listen", "127.0.0.1:0,key=ollama")
    ids = []
    for _ in range(2):
        with running(tmp_path, *flags) as relay:
            door = through(relay, ports(relay)[1])
            assert door.send("GET", "/api/version", token=None).status == 200
            assert door.send("GET", "/v1/models", token=None).status == 200
            assert door.send("GET", "/v1/files", token=None).status == 404
            assert relay.send("GET", "/api/version", token=None).status == 401
        (key,) = json.loads(run(tmp_path, "key", "list", "--json").stdout)["keys"]
        assert key["name"] == "ollama" and key["routes"] == "text"
        ids.append(key["id"])
    assert ids[0] == ids[1]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"airl_" not in kept


def test_a_key_that_was_revoked_is_not_made_again(tmp_path: Path) -> None:
    ensure_key(str(tmp_path), "ollama", print)
    before = read_keys(str(tmp_path))
    ensure_key(str(tmp_path), "ollama", print)
    assert read_keys(str(tmp_path)) == before and len(before) == 1
