"""The ChatGPT upstream against a fake backend that is as strict as the real one."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airelays.errors import UpstreamFault
from airelays.model import Call
from airelays.settings.values import Settings
from airelays.upstream.base import Answer
from airelays.upstream.chatgpt.backend import ChatGPTUpstream
from airelays.upstream.chatgpt.body import session_id
from airelays.upstream.chatgpt.usage import limits_from_fields, shape_usage, window_label
from tests.fakes.authority import Authority
from tests.fakes.backend import SAMPLES, FakeBackend
from tests.fakes.events import ENCRYPTED
from tests.fakes.http import Cut, Reply, json_reply
from tests.fakes.issuer import ACCOUNT
from tests.fakes.maps import from_responses

CALL = Call("req_1")
MS = 0.001
T = TypeVar("T")
Act = Callable[[ChatGPTUpstream, FakeBackend], Awaitable[T]]


def message(text: str = "hi", role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def body(**changes: Any) -> Any:
    return {"model": "gpt-5.5", "instructions": "Be kind.", "input": [message()], **changes}


@asynccontextmanager
async def running(
    folder: Path, *, tls: ssl.SSLContext | None = None, expires_in_s: int = 864_000, **options: Any
) -> AsyncIterator[tuple[ChatGPTUpstream, FakeBackend]]:
    async with asyncio.timeout(20), FakeBackend(tls=tls) as backend:
        backend.issuer.expires_in_s = expires_in_s
        path = folder / "auth.json"
        path.write_bytes(backend.auth_json())
        path.chmod(0o600)
        settings = Settings(
            data_dir=str(folder),
            upstream_base_url=backend.base_url,
            issuer_base_url=backend.issuer_url,
            use_env_proxy=False,
            **options,
        )
        upstream = ChatGPTUpstream(settings)
        try:
            yield upstream, backend
        finally:
            await upstream.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def run(folder: Path, act: Act[T], **options: Any) -> T:
    async def main() -> T:
        async with running(folder, **options) as (upstream, backend):
            return await act(upstream, backend)

    return asyncio.run(main())


async def read(answer: Answer) -> bytes:
    parts: list[bytes] = []
    await answer.pump(parts.append)
    return b"".join(parts)


async def ask(upstream: ChatGPTUpstream, request: Any = None, call: Call = CALL) -> Any:
    answer = await upstream.respond(body() if request is None else request, call)
    return answer, await read(answer)


async def ask_as_the_app(upstream: ChatGPTUpstream, request: Any) -> Any:
    """Translate as the app does, by what the upstream takes; return all that was left out, and the answer."""
    takes = upstream.takes(request["model"])
    made = from_responses(request, tools_allowed=True, codex=False, takes=takes)
    answer, events = await ask(upstream, made.body)
    return (*made.ignored, *answer.ignored), events


def fault_of(
    folder: Path,
    switch: Callable[[FakeBackend], object],
    request: Any = None,
    call: Call = CALL,
    **options: Any,
) -> Any:
    """Return the fault that one request ends in after `switch(backend)`, and the number of POSTs."""

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        switch(backend)
        with pytest.raises(UpstreamFault) as caught:
            await ask(upstream, request, call)
        return caught.value, len(backend.calls("/responses"))

    return run(folder, act, **options)


def queue(*replies: Reply) -> Any:
    return lambda backend: backend.replies.extend(replies)


# --- what is sent -------------------------------------------------------------------------------------------


def test_request_carries_exactly_our_fields(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await ask(upstream)
        return backend.calls("/responses")[0], backend

    seen, backend = run(folder, act)
    session = seen.get("session-id")
    token = json.loads((folder / "auth.json").read_bytes())["tokens"]["access_token"]
    assert dict(seen.headers) == {
        "host": f"127.0.0.1:{backend.port}",
        "accept-encoding": "identity",
        "authorization": f"Bearer {token}",
        "user-agent": "airelays/1.0.0",
        "originator": "codex_cli_rs",
        "chatgpt-account-id": ACCOUNT,
        "accept": "text/event-stream",
        "content-type": "application/json",
        "session-id": session,
        "thread-id": session,
        "content-length": str(len(seen.body)),
    }
    assert seen.json == {
        **body(),
        "stream": True,
        "store": False,
        "prompt_cache_key": session,
    }


def test_what_the_backend_does_not_take_is_left_out_and_named(folder: Path) -> None:
    request = body(
        input="hello",
        temperature=0.5,
        metadata={"a": "b"},
        user=None,
        truncation="auto",
        stream_options={"include_usage": True},
        store=True,
        stream=False,
    )

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        ignored, _ = await ask_as_the_app(upstream, request)
        return ignored, backend.calls("/responses")[0].json

    ignored, sent = run(folder, act)
    assert ignored == ("temperature", "stream_options", "truncation")
    assert sent["input"] == [message("hello")]
    assert (sent["store"], sent["stream"]) == (False, True) and "stream_options" not in sent


def test_system_message_in_input_goes_out_as_developer(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await ask(upstream, body(input=[message("be brief", "system"), message()]))
        return [item["role"] for item in backend.calls("/responses")[0].json["input"]]

    assert run(folder, act) == ["developer", "user"]


def test_codex_request_passes_unchanged_with_its_own_fields(folder: Path) -> None:
    request = {
        "model": "gpt-6-sol",
        "stream": True,
        "store": False,
        "input": [
            {
                "type": "additional_tools",
                "role": "developer",
                "tools": [{"type": "namespace", "name": "x"}],
            },
            {"type": "reasoning", "summary": [], "encrypted_content": ENCRYPTED},
            message(),
            {"type": "compaction_trigger"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low", "context": "all_turns"},
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0190-c0de",
        "client_metadata": {"session_id": "s"},
    }
    passed = ((b"x-codex-turn-state", b"opaque=="), (b"session-id", b"s-1"), (b"thread-id", b"t-1"))

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.headers["x-codex-turn-state"] = "next=="
        answer, _ = await ask(upstream, request, Call("req_1", passed=passed, codex=True))
        return answer, backend.calls("/responses")[0]

    answer, seen = run(folder, act)
    assert seen.json == request
    got = [
        (n, v) for n, v in seen.headers if n in ("x-codex-turn-state", "session-id", "thread-id")
    ]
    assert got == [("x-codex-turn-state", "opaque=="), ("session-id", "s-1"), ("thread-id", "t-1")]
    assert (b"x-codex-turn-state", b"next==") in answer.fields


def test_session_stays_the_same_while_a_conversation_grows() -> None:
    first = body()
    later = body(input=[message(), message("yes", "assistant"), message("more")])
    assert session_id(first, "") == session_id(later, "")
    assert session_id(first, "") != session_id(body(input=[message("other")]), "")
    assert session_id(first, "conv_1") == session_id(body(input=[message("other")]), "conv_1")
    assert session_id(first, "conv_1") != session_id(first, "conv_2")
    assert [len(part) for part in session_id(first, "").split("-")] == [8, 4, 4, 4, 12]


def test_session_of_megabytes_is_made_without_encoding_them() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 8_000_000}
    first = body(input=[{"type": "message", "role": "user", "content": [image]}])
    started_s = time.process_time()
    ids = {session_id(first, "") for _ in range(20)}
    assert len(ids) == 1 and time.process_time() - started_s < 0.1
    image["image_url"] += "B"
    assert session_id(first, "") not in ids


def test_cache_key_of_the_caller_is_kept(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await ask(upstream, body(prompt_cache_key="mine and long"))
        return backend.calls("/responses")[0]

    seen = run(folder, act)
    assert seen.json["prompt_cache_key"] == "mine and long"
    assert seen.get("session-id") == session_id({}, "mine and long")


# --- what comes back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", sorted(path.stem for path in SAMPLES.glob("*.sse")))
def test_sample_arrives_byte_for_byte(folder: Path, sample: str) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.play, backend.split_bytes = sample, 7
        return (await ask(upstream))[1]

    assert run(folder, act) == (SAMPLES / f"{sample}.sse").read_bytes()


def test_only_listed_fields_come_back(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.headers.update(
            {
                "set-cookie": "a=b",
                "server": "x",
                "openai-model": "other",
                "x-codex-bad": "caf\xe9",
                "cf-ray": "r",
                "x-oai-request-id": "not one word",
            }
        )
        answer, _ = await ask(upstream)
        return {name.decode(): value.decode() for name, value in answer.fields}

    fields = run(folder, act)
    assert (
        fields["x-codex-primary-used-percent"] == "12" and fields["x-models-etag"] == '"models-1"'
    )
    assert fields["x-upstream-request-id"].startswith("upstream-")
    assert all(name.startswith("x-") for name in fields) and "x-codex-bad" not in fields
    assert "x-oai-request-id" not in fields


@pytest.mark.parametrize(
    ("switch", "code", "status"),
    [
        ({"cut_after_events": 0}, "incomplete_stream", 502),
        ({"cut_after_events": 5}, "incomplete_stream", 502),
        ({"cut_after_bytes": 700}, "incomplete_stream", 502),
        ({"hang_after_events": 3}, "upstream_stalled", 504),
    ],
)
def test_broken_stream_ends_the_pump_with_a_fault(
    folder: Path, switch: dict[str, Any], code: str, status: int
) -> None:
    def set_switches(backend: FakeBackend) -> None:
        for name, value in switch.items():
            setattr(backend, name, value)

    fault, posts = fault_of(folder, set_switches, stream_gap_seconds=0.2)
    assert (fault.code, fault.status, fault.hop, posts) == (code, status, "stream", 1)


def test_compressed_stream_is_a_fault(folder: Path) -> None:
    fault, _ = fault_of(folder, lambda backend: setattr(backend, "gzip", True))
    assert fault.code == "upstream_malformed"


def test_abort_is_seen_by_the_upstream(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        backend.hang_after_events = 3
        answer = await upstream.respond(body(), CALL)
        got = asyncio.Event()
        pump = asyncio.ensure_future(answer.pump(lambda data: got.set()))
        await got.wait()
        answer.abort()
        with pytest.raises(UpstreamFault):
            await pump
        await backend.wait_for(lambda: backend.open_connections == 0, 1)

    run(folder, act)


def test_everything_over_tls_with_one_connection(folder: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        for _ in range(3):
            assert b"echo: hi" in (await ask(upstream))[1].replace(b'"delta":"echo:', b"echo: hi")
        assert [m["slug"] for m in await upstream.models()][:1] == ["gpt-5.5"]
        return backend.accepted

    context = authority.server_context("127.0.0.1")
    assert run(folder, act, tls=context, ca_file=authority.ca_file) == 1


# --- second chances ------------------------------------------------------------------------------------------


def test_401_refreshes_and_tries_once_more(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        backend.issuer.expire_access()
        await ask(upstream)
        tokens = [seen.get("authorization") for seen in backend.calls("/responses")]
        assert len(tokens) == 2 and tokens[0] != tokens[1] and backend.issuer.refresh_calls == 1
        await ask(upstream)
        assert backend.issuer.refresh_calls == 1

    run(folder, act)


def test_many_401s_make_one_refresh(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.issuer.expire_access()
        await asyncio.gather(*(ask(upstream) for _ in range(12)))
        return backend.issuer.refresh_calls

    assert run(folder, act) == 1


def test_401_after_a_refresh_is_503_never_401(folder: Path) -> None:
    replies = [json_reply({"detail": "Unauthorized"}, 401) for _ in range(2)]
    fault, posts = fault_of(folder, queue(*replies))
    assert (fault.status, fault.code, posts) == (503, "upstream_auth_rejected", 2)
    assert fault.headers["x-airelays-upstream-auth"] == "rejected" and fault.should_retry is False


def test_unsupported_parameter_is_dropped_disclosed_and_remembered_for_the_model(
    folder: Path,
) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        backend.max_output_tokens = "reject"
        for calls in (2, 3):
            ignored, _ = await ask_as_the_app(upstream, body(max_output_tokens=100))
            assert ignored == ("max_output_tokens",)
            assert len(backend.calls("/responses")) == calls
        backend.max_output_tokens = "accept"
        ignored, _ = await ask_as_the_app(upstream, body(model="gpt-6-sol", max_output_tokens=100))
        assert ignored == () and len(backend.calls("/responses")) == 4

    run(folder, act)


def test_two_unsupported_parameters_are_both_left_out_of_one_request(folder: Path) -> None:
    replies = [
        json_reply({"detail": f"Unsupported parameter: {n}"}, 400) for n in ("text", "tools")
    ]

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        queue(*replies)(backend)
        answer, _ = await ask(upstream, body(text={"verbosity": "low"}, tools=[]))
        last = backend.calls("/responses")[-1].json
        assert answer.ignored == ("text", "tools") and not {"text", "tools"} & last.keys()
        assert len(backend.calls("/responses")) == 3

    run(folder, act)


def test_instructions_that_the_backend_asks_for_are_added_once(folder: Path) -> None:
    refusal = json_reply({"detail": "Instructions are required"}, 400)
    request = {"model": "gpt-5.5", "input": [message()]}
    own = Call("req_1", "", (), True)

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        queue(refusal)(backend)
        await ask(upstream, request, own)
        sent = [one.json.get("instructions") for one in backend.calls("/responses")]
        assert not sent[0] and sent[1] and len(sent) == 2

    run(folder, act)
    fault, posts = fault_of(folder, queue(refusal, refusal), request)
    assert (fault.status, posts) == (400, 2)


def test_a_backend_that_refuses_one_parameter_after_the_other_is_given_up(folder: Path) -> None:
    names = ("text", "tools", "include", "reasoning", "instructions")
    replies = [json_reply({"detail": f"Unsupported parameter: {n}"}, 400) for n in names]
    request = body(text={}, tools=[], include=[], reasoning={}, instructions="x")
    fault, posts = fault_of(folder, queue(*replies), request)
    assert (fault.status, fault.param, posts) == (400, "instructions", 5)
    assert fault.code == "unsupported_parameter"
    assert fault.message == "Unsupported parameter: instructions"


def test_encrypted_content_of_another_account_is_dropped_once(folder: Path) -> None:
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "foreign"}

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await ask(upstream, body(input=[sealed, message()]))
        return [seen.json["input"] for seen in backend.calls("/responses")]

    assert run(folder, act) == [[sealed, message()], [message()]]


def test_connection_that_breaks_before_a_reply_is_tried_once_more(folder: Path) -> None:
    class Broken(Reply):
        def __getattribute__(self, name: str) -> Any:
            if name == "body":
                raise Cut
            return super().__getattribute__(name)

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.replies.append(Broken())
        await ask(upstream)
        assert len(backend.calls("/responses")) == 2
        backend.replies.extend([Broken(), Broken()])
        with pytest.raises(UpstreamFault) as caught:
            await ask(upstream)
        assert caught.value.code == "upstream_closed"
        return len(backend.calls("/responses"))

    # The second request used the kept connection, which the client itself replaces: that was its one retry.
    assert run(folder, act) == 4


def test_503_is_not_retried_unless_asked_for(folder: Path) -> None:
    overload = json_reply(
        {"error": {"code": "server_is_overloaded", "message": "busy", "type": "x"}}, 503
    )
    fault, posts = fault_of(folder, queue(overload))
    assert (fault.status, fault.code, fault.message, posts) == (
        503,
        "server_is_overloaded",
        "busy",
        1,
    )

    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.replies.extend([overload, overload])
        await ask(upstream)
        return len(backend.calls("/responses"))

    assert run(folder, act, retry_attempts=2, retry_backoff_seconds=(0.0,)) == 3


def test_quota_that_outlasts_the_waits_is_not_waited_for(folder: Path) -> None:
    limit = {
        "error": {
            "type": "slow",
            "code": "rate_limit_exceeded",
            "message": "m",
            "resets_in_seconds": 30,
        }
    }
    fault, posts = fault_of(
        folder, queue(json_reply(limit, 429)), retry_attempts=3, retry_backoff_seconds=(1.0,)
    )
    assert (fault.status, fault.retry_after_s, posts) == (429, 30.0, 1)


# --- refusals -----------------------------------------------------------------------------------------------


def sample_reply(name: str) -> Reply:
    head, _, payload = (SAMPLES / name).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    status, *lines = head.decode().split("\n")
    parts = [line.partition(":") for line in lines]
    headers = {name: value.removeprefix(" ") for name, _, value in parts}
    return Reply(int(status.split()[1]), payload, headers)


def test_usage_limit_keeps_the_upstreams_words_and_the_true_reset(folder: Path) -> None:
    fault, posts = fault_of(folder, queue(sample_reply("30_http_429_usage_limit.http")))
    assert (fault.status, fault.code, fault.type) == (
        429,
        "usage_limit_reached",
        "usage_limit_reached",
    )
    assert (fault.retry_after_s, fault.should_retry, posts) == (3600.0, False, 1)
    assert fault.message == "The usage limit has been reached; the limit ends in 1 h"
    assert fault.to_object()["plan_type"] == "plus" and fault.to_object()["resets_at"] == 1790003600
    assert fault.headers["x-codex-primary-used-percent"] == "100"


def test_codex_is_not_told_to_wait_for_a_used_up_plan(folder: Path) -> None:
    call = Call("req_1", codex=True)
    fault, _ = fault_of(folder, queue(sample_reply("30_http_429_usage_limit.http")), call=call)
    assert (fault.status, fault.retry_after_s) == (429, None)


def test_cloudflare_is_recognised_and_no_html_is_passed_on(folder: Path) -> None:
    fault, _ = fault_of(folder, queue(sample_reply("34_http_403_cloudflare.http")))
    assert (fault.status, fault.hop, fault.code) == (502, "challenge", "upstream_challenge")
    assert "cf-ray synthetic-CDG" in fault.message and "<" not in fault.message


@pytest.mark.parametrize(
    ("status", "sent", "expected"),
    [
        (
            400,
            {"detail": "Store must be set to false"},
            (400, None, None, "Store must be set to false"),
        ),
        (
            400,
            {
                "error": {
                    "message": "bad id",
                    "type": "invalid_request_error",
                    "param": "input[1].id",
                    "code": "invalid_value",
                }
            },
            (400, "invalid_value", "input[1].id", "bad id"),
        ),
        (
            400,
            {"detail": "The 'x' model is not supported when using Codex with a ChatGPT account."},
            (400, "model_not_found", "model", None),
        ),
        (
            402,
            {"detail": {"code": "deactivated_workspace"}},
            (503, "upstream_auth_rejected", None, None),
        ),
        (403, {"detail": "Workspace not found"}, (503, "upstream_auth_rejected", None, None)),
        (
            403,
            {"error": {"code": "misalignment_policy_violation", "message": "no"}},
            (400, "misalignment_policy_violation", None, "no"),
        ),
        (
            404,
            {"detail": "Not Found"},
            (
                502,
                "upstream_not_found",
                None,
                "ChatGPT does not know this address (404: Not Found); check upstream.base_url",
            ),
        ),
        (
            404,
            {},
            (
                502,
                "upstream_not_found",
                None,
                "ChatGPT does not know this address (404); check upstream.base_url",
            ),
        ),
        (
            404,
            {"detail": "no answer resp_1 is kept"},
            (404, None, None, "no answer resp_1 is kept"),
        ),
        (405, {"detail": "Method Not Allowed"}, (502, "upstream_not_found", None, None)),
        (
            413,
            {"error": {"message": "too big", "code": "too_large"}},
            (413, "too_large", None, "too big"),
        ),
        (422, {"detail": "odd"}, (400, None, None, "odd")),
        (
            500,
            {"error": {"message": "oops", "code": "server_error"}},
            (500, "server_error", None, "oops"),
        ),
        (529, {}, (529, None, None, "ChatGPT answered with an error without an explanation (529)")),
    ],
)
def test_refusal_is_mapped(
    folder: Path, status: int, sent: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    fault, _ = fault_of(folder, queue(json_reply(sent, status)))
    wanted_status, code, param, message_ = expected
    assert (fault.status, fault.code, fault.param) == (wanted_status, code, param)
    if message_ is not None:
        assert fault.message == message_


@pytest.mark.parametrize(
    "payload", [b"<html>" + b"x" * 400_000, b"<!doctype html><b>oops</b>", b"", b"\xff\x00"]
)
def test_html_and_garbage_never_reach_the_client(folder: Path, payload: bytes) -> None:
    fault, _ = fault_of(folder, queue(Reply(500, payload, {"content-type": "text/html"})))
    assert fault.status == 500
    assert fault.message == "ChatGPT answered with an error without an explanation (500)"


@pytest.mark.parametrize(
    ("kind", "payload", "shown"),
    [
        ("text/plain", b"upstream connect error", "upstream connect error"),
        (
            "Text/Plain; charset=utf-8",
            b"\r\n  first line\x1b[0m \nat app.py:1\n",
            "first line [0m",
        ),
        ("text/plain", b"x" * 70_000, None),
        ("text/plain", b"y" * 600, "y" * 509 + "..."),
        ("text/plain", b"echo: Bearer abc.def-ghi", "echo: [REDACTED]"),
        ("text/plain", b"key eyJhbGciOi.eyJzdWIi.c2ln end", "key [REDACTED] end"),
        ("text/plain", b"see <b>this</b>", None),
        ("text/plain", b"\xff\xfe", None),
        ("text/plain", b" \n ", None),
        ("text/html", b"upstream connect error", None),
        ("application/octet-stream", b"upstream connect error", None),
        ("", b"upstream connect error", None),
    ],
)
def test_of_a_body_that_is_no_json_only_a_line_of_plain_text_is_shown(
    folder: Path, kind: str, payload: bytes, shown: str | None
) -> None:
    headers = {"content-type": kind} if kind else {}
    fault, _ = fault_of(folder, queue(Reply(503, payload, headers)))
    assert fault.status == 503
    nothing = "ChatGPT answered with an error without an explanation (503)"
    assert fault.message == (nothing if shown is None else shown)


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("text/plain", b"404 page not found\n", ": 404 page not found"),
        ("text/html", b"<h1>Not Found</h1>", ""),
        ("application/json", b"", ""),
    ],
)
def test_a_404_that_is_no_answer_of_the_backend_means_a_wrong_address(
    folder: Path, kind: str, payload: bytes, said: str
) -> None:
    fault, _ = fault_of(folder, queue(Reply(404, payload, {"content-type": kind})))
    assert (fault.status, fault.code) == (502, "upstream_not_found")
    assert (
        fault.message == f"ChatGPT does not know this address (404{said}); check upstream.base_url"
    )


def test_a_credential_in_the_upstreams_words_is_cut_out(folder: Path) -> None:
    sent = {"detail": "cannot use sk-abcdefgh12345678 here"}
    fault, _ = fault_of(folder, queue(json_reply(sent, 400)))
    assert fault.message == "cannot use [REDACTED] here"


def test_redirect_is_a_502_and_not_followed(folder: Path) -> None:
    fault, posts = fault_of(folder, lambda backend: setattr(backend, "redirect", True))
    assert (fault.status, fault.code, posts) == (502, "upstream_redirect", 1)


def test_hostile_message_is_made_printable_and_short(folder: Path) -> None:
    fault, _ = fault_of(folder, queue(json_reply({"detail": "a\x1b[31m\n" + "b" * 5000}, 400)))
    assert fault.message.isprintable() and len(fault.message) == 512


def test_missing_sign_in_is_503(folder: Path) -> None:
    def remove(backend: FakeBackend) -> None:
        (folder / "auth.json").unlink()

    fault, posts = fault_of(folder, remove)
    assert (fault.status, fault.code, posts) == (503, "upstream_auth_missing", 0)


# --- catalogue ------------------------------------------------------------------------------------------------


def slugs(models: Any) -> Any:
    return [model["slug"] for model in models]


def test_catalogue_is_fetched_once_for_many_and_kept(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        found = await asyncio.gather(*(upstream.models() for _ in range(10)))
        assert all(slugs(models) == sorted(backend.models) for models in found)
        await upstream.models()
        seen = backend.calls("/models")
        assert seen[0].query == "client_version=0.169.0"
        return len(seen)

    assert run(folder, act) == 1


def test_other_etag_on_an_answer_makes_the_catalogue_stale(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        await upstream.models()
        await ask(upstream)
        assert (
            slugs(await upstream.models()) == sorted(backend.models)
            and len(backend.calls("/models")) == 1
        )
        backend.etag, backend.models = '"models-2"', {"gpt-5.5", "gpt-new"}
        await ask(upstream)
        await upstream.models()  # the copy at once, and a fetch behind it
        await backend.wait_for(lambda: len(backend.calls("/models")) == 2)
        assert slugs(await upstream.models(refresh=True)) == ["gpt-5.5", "gpt-new"]

    run(folder, act)


def test_without_a_time_to_live_the_upstream_is_asked_each_time(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await upstream.models()
        backend.etag, backend.models = '"models-2"', {"gpt-new"}
        assert slugs(await upstream.models()) == ["gpt-new"]
        return len(backend.calls("/models"))

    assert run(folder, act, models_cache_ttl_seconds=0.0) == 2


def test_unchanged_catalogue_is_a_304(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        before = await upstream.models()
        assert await upstream.models(refresh=True) == before
        assert backend.calls("/models")[1].get("if-none-match") == '"models-1"'

    run(folder, act)


def test_copy_on_disk_serves_when_the_upstream_is_down(folder: Path) -> None:
    async def first(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        await upstream.models()
        return upstream.settings

    settings = run(folder, first)

    async def second() -> Any:
        upstream = ChatGPTUpstream(settings)
        try:
            return slugs(await upstream.models()), upstream.catalogue_certain
        finally:
            await upstream.close()

    assert asyncio.run(second()) == (
        sorted(["gpt-5.5", "gpt-6-sol", "synth-classic", "synth-lite"]),
        True,
    )


def test_known_models_serve_when_there_is_no_copy_and_no_upstream(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.models_status = 500
        models = await upstream.models()
        assert "gpt-5.5" in slugs(models) and upstream.catalogue_certain is False
        await upstream.models()
        return len(backend.calls("/models"))

    assert run(folder, act) == 1


def test_catalogue_without_a_sign_in_says_so(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        (folder / "auth.json").unlink()
        with pytest.raises(UpstreamFault) as caught:
            await upstream.models()
        assert caught.value.code == "upstream_auth_missing"
        (folder / "auth.json").write_bytes(backend.auth_json())
        (folder / "auth.json").chmod(0o600)
        assert slugs(await upstream.models())

    run(folder, act)


def test_catalogue_refreshes_the_sign_in_on_401(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.issuer.expire_access()
        assert slugs(await upstream.models()) == sorted(backend.models)
        return backend.issuer.refresh_calls

    assert run(folder, act) == 1


# --- usage, images, status --------------------------------------------------------------------------------------


def test_usage_has_the_existing_shape_and_is_kept_for_a_minute(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        first = await upstream.usage()
        assert await upstream.usage() == first
        assert (await upstream.usage(raw=True))["raw"]["plan_type"] == "plus"
        assert len(backend.calls("/wham/usage")) == 1
        await upstream.usage(refresh=True)
        assert len(backend.calls("/wham/usage")) == 2
        return first

    found = run(folder, act)
    assert found["object"] == "subscription_status"
    assert found["source"] == {
        "kind": "chatgpt_subscription",
        "upstream_path": "/backend-api/wham/usage",
    }
    assert found["account"]["plan_type"] == "plus"
    assert found["rate_limits"]["default"]["primary_window"] == {
        "used_percent": 12.0,
        "remaining_percent": 88.0,
        "window_seconds": 18000,
        "window_minutes": 300,
        "window_label": "5h",
        "reset_after_seconds": 900,
        "reset_at": 1790000900,
        "reset_at_iso": "2026-09-21T14:28:20Z",
    }
    assert found["rate_limits"]["additional"][0]["metered_feature"] == "imagegen_premium"
    assert (
        found["credits"]["has_credits"] is False
        and found["credits"]["overage_limit_reached"] is None
    )


def test_usage_of_odd_types_is_null_not_an_error() -> None:
    payload = {
        "plan_type": 7,
        "rate_limit": {"allowed": 1, "primary_window": {"used_percent": True, "reset_at": 1e300}},
        "additional_rate_limits": {"a": 1},
        "credits": [],
    }
    found = shape_usage(payload, now_s=0.0, path="/p")
    assert found["account"]["plan_type"] is None and found["credits"] is None
    window = found["rate_limits"]["default"]["primary_window"]
    assert set(window.values()) == {None}


@pytest.mark.parametrize(
    ("seconds", "label"),
    [(604_800, "weekly"), (86_400, "1d"), (18_000, "5h"), (1800, "30m"), (90, "90s"), (0, "0s")],
)
def test_window_is_labelled_by_its_length(seconds: int, label: str) -> None:
    assert window_label(seconds) == label


def test_limits_of_an_answer_are_in_the_status(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        before = await upstream.status()
        await ask(upstream)
        return before, await upstream.status()

    before, after = run(folder, act)
    assert (before["kind"], before["ready"], before["last_limits"]) == ("chatgpt", True, None)
    assert before["email"] == "someone@example.test" and before["account_id"] == ACCOUNT
    assert after["last_limits"]["secondary_window"]["window_label"] == "weekly"
    assert after["models_cache"]["state"] == "empty"
    secrets = json.loads((folder / "auth.json").read_bytes())["tokens"]
    assert all(
        secrets[n] not in json.dumps(after) for n in ("access_token", "refresh_token", "id_token")
    )
    assert (
        limits_from_fields(
            {"x-codex-primary-used-percent": "1", "x-codex-primary-window-minutes": "0"}
        )
        == {}
    )


def test_image_is_made_and_its_quota_passed_on(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        answer, fields = await upstream.image(
            "generations", {"prompt": "a cat", "model": "gpt-image-2"}
        )
        assert (
            answer["data"][0]["b64_json"]
            and (b"x-codex-active-limit", b"imagegen_premium") in fields
        )
        with pytest.raises(UpstreamFault) as caught:
            await upstream.image("edits", {})
        return caught.value

    fault = run(folder, act)
    assert (fault.status, fault.message) == (400, "prompt is required")
    assert fault.headers["x-codex-active-limit"] == "imagegen_premium"


def test_200_that_is_no_json_is_a_fault(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> None:
        backend.replies.append(Reply(200, b"<html>"))
        with pytest.raises(UpstreamFault, match="isn't a JSON object: Expecting value"):
            await upstream.image("generations", {"prompt": "x"})

    run(folder, act)


def test_refused_port_names_the_hop(folder: Path) -> None:
    async def act(upstream: ChatGPTUpstream, backend: FakeBackend) -> Any:
        backend.server.close()
        await backend.server.wait_closed()
        with pytest.raises(UpstreamFault) as caught:
            await ask(upstream)
        return caught.value

    fault = run(folder, act)
    assert (fault.hop, fault.sent, fault.status) == ("tcp", False, 502)


def test_fake_is_as_strict_as_the_backend(folder: Path) -> None:
    """The fake itself: each rule of the real backend, with its literal answer."""
    from tests.fakes.checks import problem_with

    def refused(**changes: Any) -> Any:
        request = {
            "model": "gpt-5.5",
            "stream": True,
            "store": False,
            "input": [message()],
            **changes,
        }
        found = problem_with(request, models={"gpt-5.5"}, max_output_tokens="accept")
        return None if found is None else found[0].get("detail") or found[0]["error"]["message"]

    assert refused() is None
    assert refused(store=True) == "Store must be set to false"
    assert refused(stream=False) == "Stream must be set to true"
    assert refused(temperature=1) == "Unsupported parameter: temperature"
    assert refused(input="x") == "Input must be a list"
    assert refused(input=[message("x", "system")]) == "System messages are not allowed"
    lone = {"type": "function_call_output", "call_id": "c", "output": "x"}
    assert refused(input=[lone]).startswith("No tool call found")
    assert refused(input=[{"type": "function_call", "call_id": "c"}]).startswith(
        "No tool output found"
    )
    for name in ("60_request_minimal.json", "61_request_tool_loop_second_turn.json"):
        sample = json.loads((Path(SAMPLES) / name).read_bytes())
        assert problem_with(sample, models={sample["model"]}, max_output_tokens="accept") is None
