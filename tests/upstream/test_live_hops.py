"""Relays that name each other as upstream: the request ends, and says why."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from airelays.errors import ClientFault
from airelays.model import RequestHead
from airelays.upstream import hops
from tests.fakes.openai_server import openai_server
from tests.live import TOKEN, running

ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def flags(port: int, upstream: int) -> tuple[str, ...]:
    url = f"http://127.0.0.1:{upstream}/v1"
    return ("--port", str(port), "--upstream", url, "--upstream-key-env", "KEY")


@pytest.mark.parametrize("relays", [1, 2])
def test_a_request_that_comes_back_is_refused(tmp_path: Path, relays: int) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    ports = [free_port(), free_port()][:relays]
    for home in homes:
        home.mkdir()
    other = running(homes[1], *flags(ports[-1], ports[0]), env={"KEY": TOKEN}, demo=False)
    with running(homes[0], *flags(ports[0], ports[-1]), env={"KEY": TOKEN}, demo=False) as relay:
        if relays == 1:
            reply = relay.send("POST", "/v1/chat/completions", ASK)
        else:
            with other:
                reply = relay.send("POST", "/v1/chat/completions", ASK)
        assert (reply.status, reply.error["code"]) == (508, "loop_detected")


def test_three_relays_in_a_row_are_fine_and_the_server_is_told_how_many(tmp_path: Path) -> None:
    with openai_server("/chat/completions") as server:
        relay_flags = ("--upstream", server.url)
        with running(tmp_path, *relay_flags, demo=False) as relay:
            for given, passed in (("", "1"), ("2", "3"), ("x", "1"), ("-1", "1")):
                headers = {"x-airelays-hops": given} if given else {}
                relay.send("POST", "/v1/chat/completions", ASK, headers=headers)
                assert server.seen[-1].headers["x-airelays-hops"] == passed


@pytest.mark.parametrize("value", [b"3", b"4", b"99999999999"])
def test_too_many(value: bytes) -> None:
    head = RequestHead(
        "POST", "/v1/x", "", "h", "1.1", ((hops.FIELD, value),), 0, False, True, False
    )
    with pytest.raises(ClientFault) as caught:
        hops.arrive(head)
    assert caught.value.status == 508
