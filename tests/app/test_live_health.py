"""An upstream that is silent costs one request its timeout; the next ones start elsewhere at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import airelays.upstream.care as care_module
from airelays.errors import UpstreamFault
from airelays.host.contact import find
from airelays.model import Call
from airelays.upstream.base import Answer, Upstream
from airelays.upstream.care import Care
from airelays.upstream.target import Target
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import Relay, Reply, running, wait_for
from tests.net.test_live_mute import explained_once, mute
from tests.net.test_live_wire import WIDE
from tests.upstream.test_live_compatible import ALL, chat
from tests.upstream.test_live_compatible import named as table_of

SILENT = UpstreamFault("mute", hop="upstream", status=504, code="upstream_timeout")
BUSY = UpstreamFault("busy", status=503, code="overloaded")
ON = frozenset({"unreachable", "overloaded", "quota"})


def relaying(home: Path, first: str, more: str, *, first_s: float = 60) -> Any:
    (home / "config.toml").write_text(
        f'[upstream]\nkind = "compatible"\nbase_url = "{first}"\nrequest_timeout_seconds = {first_s}\n'
        'fallback = ["local/spare"]\nfallback_on = ["unreachable", "overloaded", "quota"]\n' + more
    )
    return running(home, "--config", str(home / "config.toml"), env=WIDE, demo=False)


def named(server: OpenAIServer) -> str:
    """Return the table of the second upstream, which has time: only the first one is to be silent."""
    return table_of(server) + "request_timeout_seconds = 60\n"


def ask(relay: Relay, text: str = "x", **more: Any) -> Reply:
    return relay.send("POST", "/v1/chat/completions", {**chat(text), **more})


def test_the_first_request_pays_and_all_the_others_do_not_ask_it(tmp_path: Path) -> None:
    with (
        openai_server(*ALL) as other,
        mute() as silent,
        relaying(tmp_path, f"http://{silent.place}/v1", named(other), first_s=0.3) as relay,
    ):
        paid = ask(relay)
        assert paid.headers["x-airelays-fallback"] == "compatible:unreachable"
        asked = silent.accepted
        for _ in range(3):
            reply = ask(relay)
            assert reply.status == 200
            assert reply.headers["x-airelays-upstream"] == "local/spare"
            assert reply.headers["x-airelays-fallback"] == "compatible:skipped"
        assert silent.accepted == asked
        contact = find(str(tmp_path / ".airelays"))
        assert contact is not None
        health = contact.ask("GET", "/status")["upstreams"]["compatible"]["health"]
        assert health["state"] == "skipped" and health["cause"] == "unreachable"
        metrics = relay.get("/v1/relay/metrics").body.decode()
        assert 'airelays_upstream_ready{upstream="compatible"} 0' in metrics
        assert 'airelays_upstream_ready{upstream="local"} 1' in metrics
        assert relay.process.stderr is not None
        assert "the upstream compatible is skipped for 5 s" in relay.process.stderr.readline()


def test_a_used_up_quota_is_not_asked_again_before_its_reset(tmp_path: Path) -> None:
    refusal = {"error": {"code": "usage_limit_reached", "message": "m"}}
    with openai_server(*ALL) as first, openai_server(*ALL) as other:
        first.answers["/chat/completions"] = (429, "application/json", json.dumps(refusal).encode())
        first.fields.append(("Retry-After", "600"))
        with relaying(tmp_path, first.url, named(other)) as relay:
            assert ask(relay).headers["x-airelays-fallback"] == "compatible:quota"
            assert ask(relay).headers["x-airelays-fallback"] == "compatible:skipped"
            assert len([one for one in first.seen if one.path == "/chat/completions"]) == 1


def test_what_the_second_has_stays_there(tmp_path: Path) -> None:
    down = (503, "application/json", b'{"error":{"message":"m"}}')
    with openai_server(*ALL) as first, openai_server(*ALL) as other:
        first.answers["/chat/completions"] = first.answers["/responses"] = down
        more = named(other) + "[storage]\nstore_responses = false\n"
        with relaying(tmp_path, first.url, more) as relay:
            reply = ask(relay, prompt_cache_key="mine")
            assert reply.headers["x-airelays-fallback"] == "compatible:overloaded"
            made = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "x"})
            assert made.headers["x-airelays-upstream"] == "local/spare"
            first.answers.clear()
            reply = ask(relay, prompt_cache_key="mine")
            assert reply.headers["x-airelays-fallback"] == "compatible:prompt_cache_key"
            assert "x-airelays-fallback" not in ask(relay, prompt_cache_key="another").headers
            body = {"model": "tiny", "input": "y", "previous_response_id": made.json()["id"]}
            reply = relay.send("POST", "/v1/responses", body)
            assert reply.status == 200, reply.body
            assert reply.headers["x-airelays-fallback"] == "compatible:stored"


class Probed(Upstream):
    """Answers probes with what it is told."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.answers: list[bool] = []

    async def respond(self, body: dict[str, Any], call: Call) -> Answer:
        raise NotImplementedError

    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        return []

    async def status(self) -> dict[str, Any]:
        return {}

    async def alive(self) -> bool:
        if not self.answers:
            await asyncio.Event().wait()
        return self.answers.pop(0)


class Clock:
    """A clock that is set by hand."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def cared(test: Callable[[Care, Clock, list[str]], Any]) -> None:
    async def run() -> None:
        clock: Clock = Clock()
        said: list[str] = []
        await test(Care(said.append, clock), clock, said)

    asyncio.run(run())


async def probed(care: Care, upstream: Probed, answer: bool) -> None:
    upstream.answers.append(answer)
    probe = care.probe(upstream)
    assert probe is not None
    await probe


def test_probes_go_on_until_one_is_answered() -> None:
    async def test(care: Care, clock: Clock, said: list[str]) -> None:
        one = Probed()
        first, second = Target(one, "m", ON), Target(Probed("two"), "m", ON)
        care.asking(first).failed(SILENT, "unreachable")
        assert care.worth_asking([first, second]) == [second]
        assert care.worth_asking([first]) == [first]
        assert care.facts(one) == {"state": "skipped", "cause": "unreachable", "for_seconds": 5.0}
        for seconds in (10.0, 20.0):
            clock.now_s += care.facts(one)["for_seconds"]
            await probed(care, one, answer=False)
            assert care.facts(one)["for_seconds"] == seconds
        await probed(care, one, answer=True)
        assert care.worth_asking([first, second]) == [first, second]
        # The beginning and the end of an outage are told, not each probe.
        assert [text.partition(":")[0] for text in said] == [
            "the upstream one is skipped for 5 s, then tried again",
            "the upstream one is answering again and back in use",
        ]

    cared(test)


def test_a_probe_that_hangs_holds_up_nothing_and_ends_with_its_upstream() -> None:
    async def test(care: Care, clock: Clock, said: list[str]) -> None:
        one = Probed()
        first, second = Target(one, "m", ON), Target(Probed("two"), "m", ON)
        care.asking(first).failed(SILENT, "unreachable")
        clock.now_s += 5
        probe = care.probe(one)
        assert probe is not None and care.probe(one) is None
        assert care.worth_asking([first, second]) == [second]
        await care.forget(one)
        assert probe.cancelled()

    cared(test)


def test_a_probe_that_hangs_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(care_module, "PROBE_S", 0.01)

    async def test(care: Care, clock: Clock, said: list[str]) -> None:
        one = Probed()
        care.asking(Target(one, "m", ON)).failed(SILENT, "unreachable")
        clock.now_s += 5
        probe = care.probe(one)
        assert probe is not None
        async with asyncio.timeout(10):
            await probe
        assert care.facts(one)["for_seconds"] == 10.0
        await care.forget(one)

    cared(test)


def test_only_listed_causes_skip_and_a_client_that_left_decides_nothing() -> None:
    async def test(care: Care, clock: Clock, said: list[str]) -> None:
        one = Probed()
        quota = Target(one, "m", frozenset({"quota"}))
        every, second = Target(one, "m", ON), Target(Probed("two"), "m", ON)
        care.asking(quota).failed(SILENT, "unreachable")
        assert care.worth_asking([every, second])[0] is every
        for _ in range(3):
            care.asking(every).failed(BUSY, "overloaded")
        assert care.worth_asking([every, second]) == [second]
        assert care.worth_asking([quota, second])[0] is quota
        clock.now_s += 5
        trial = care.asking(every)
        assert care.worth_asking([every, second]) == [second]
        trial.end()  # the client left
        assert care.worth_asking([every, second])[0] is every
        care.asking(every).failed(UpstreamFault("m", status=400), "")
        assert care.facts(one) == {"state": "ready"}

    cared(test)


def test_explain_says_that_an_upstream_was_not_asked(tmp_path: Path) -> None:
    with (
        openai_server(*ALL) as other,
        mute() as silent,
        relaying(tmp_path, f"http://{silent.place}/v1", named(other), first_s=0.3) as relay,
    ):
        ask(relay)
        reply = ask(relay)
        story = wait_for(lambda: explained_once(relay, reply.headers["x-request-id"], "ok"))
    said = " ".join(one["what"] for one in story["timeline"])
    assert "compatible was skipped (unreachable); local/spare was used instead" in said
