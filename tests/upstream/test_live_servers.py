"""Servers as they are: each kind of odd answer, on every route, against a running relay."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_doctor_compatible import doctor
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import ROOT, TOKEN, Relay, Reply, program
from tests.upstream.test_live_compatible import relaying, text_of

ALL = ("/models", "/chat/completions", "/responses", "/completions")
CHAT_ONLY = ("/models", "/chat/completions")
MESSAGE = {"role": "assistant", "content": "whole"}
COMPLETION = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
TEXT = {
    **COMPLETION,
    "object": "text_completion",
    "choices": [{"index": 0, "text": "whole", "finish_reason": "stop"}],
}
PART = {"type": "output_text", "text": "whole", "annotations": []}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "model": "tiny",
    "output": [{"id": "msg_1", "type": "message", "role": "assistant", "content": [PART]}],
}
ASKED: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/responses": {"input": "x"},
    "/completions": {"prompt": "x"},
}
JSON = "application/json"
SSE = "text/event-stream"


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def answer(
    server: OpenAIServer, path: str, value: Any, status: int = 200, kind: str = JSON
) -> None:
    server.answers[path] = (status, kind, value if isinstance(value, bytes) else as_json(value))


def ask(relay: Relay, path: str, *, stream: bool = True, model: str = "tiny") -> Reply:
    body = {"model": model, "stream": stream, **ASKED[path]}
    return relay.send("POST", f"/v1{path}", body)


def said(path: str, reply: Reply) -> tuple[str, bool]:
    """Return the text of a stream, and whether it ended as a complete answer."""
    events = reply.events()
    if path == "/responses":
        text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
        return text, events[-1]["type"] == "response.completed"
    if path == "/chat/completions":
        return text_of(reply), events[-1] == "[DONE]"
    choices = [e["choices"][0] for e in events if e != "[DONE]" and e.get("choices")]
    return "".join(choice["text"] for choice in choices), events[-1] == "[DONE]"


def error_of(reply: Reply) -> dict[str, Any]:
    """Return the one error of an answer: of its body, or of the last event of its stream."""
    if reply.status != 200:
        return reply.error
    last = reply.events()[-1]
    found: dict[str, Any] = last.get("error") or last["response"]["error"]
    return found


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server(*ALL) as one:
        yield one


NATIVE = {"/chat/completions": COMPLETION, "/responses": RESPONSE, "/completions": TEXT}


@pytest.mark.parametrize("kind", [JSON, "text/plain", SSE])
def test_one_json_object_for_a_stream_is_a_stream(
    tmp_path: Path, server: OpenAIServer, kind: str
) -> None:
    with relaying(tmp_path, server.url) as relay:
        for path, value in NATIVE.items():
            answer(server, path, value, kind=kind)
            reply = ask(relay, path)
            assert reply.headers["content-type"].startswith(SSE)
            assert said(path, reply) == ("whole", True), path


@pytest.mark.parametrize("apis", [CHAT_ONLY, ("/models", "/responses")])
def test_it_is_one_where_it_is_translated_too(tmp_path: Path, apis: tuple[str, ...]) -> None:
    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        answer(server, apis[1], NATIVE[apis[1]])
        for path in ASKED:
            assert said(path, ask(relay, path)) == ("whole", True), path
            whole = ask(relay, path, stream=False)
            assert "whole" in whole.body.decode()


ERRORS = (
    {"error": "the engine died"},
    {"error": {"message": "the engine died", "code": 503}},
    {"object": "error", "message": "the engine died", "type": "InternalServerError"},
    {"detail": "the engine died"},
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("apis", [ALL, CHAT_ONLY])
def test_a_200_with_an_error_is_an_error(
    tmp_path: Path, stream: bool, error: dict[str, Any], apis: tuple[str, ...]
) -> None:
    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        for path in apis[1:]:
            answer(server, path, error)
        for path in ASKED:
            reply = ask(relay, path, stream=stream)
            assert reply.status in (502, 503), path
            assert reply.error["message"] == "the engine died"


@pytest.mark.parametrize("apis", [ALL, CHAT_ONLY])
def test_a_finish_reason_of_a_failure_is_one_on_every_route(
    tmp_path: Path, apis: tuple[str, ...]
) -> None:
    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        first = {"choices": [{"index": 0, "delta": {"content": "Hal"}, "text": "Hal"}]}
        last = {"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "abort"}]}
        raw = b"".join(b"data: " + as_json(one) + b"\n\n" for one in (first, last))
        broken = {**COMPLETION, "choices": [{"message": MESSAGE, "finish_reason": "abort"}]}
        for path in ("/chat/completions", *(("/completions",) if apis == ALL else ("/responses",))):
            if path in apis:
                answer(server, path, raw + b"data: [DONE]\n\n", kind=SSE)
            reply = ask(relay, path)
            assert '"abort"' in error_of(reply)["message"] and b"[DONE]" not in reply.body
            if path in apis:
                answer(server, path, broken)
                whole = ask(relay, path, stream=False)
                assert (whole.status, whole.error["code"]) == (502, "upstream_interrupted")


def test_done_without_a_reason_is_complete_on_both_routes(tmp_path: Path) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        raw = b'data: {"choices":[{"index":0,"delta":{"content":"whole"}}]}\n\n'
        answer(server, "/chat/completions", raw + b"data: [DONE]\n\n", kind=SSE)
        for path in ("/chat/completions", "/responses"):
            assert said(path, ask(relay, path)) == ("whole", True)
        answer(server, "/chat/completions", raw, kind=SSE)
        for path in ("/chat/completions", "/responses"):
            assert error_of(ask(relay, path))["code"] == "incomplete_stream"


MISSING = (
    (200, {"error": "Unexpected endpoint or method. (POST /v1/responses)"}),
    (500, {"error": {"message": "not implemented", "code": "convert_request_failed"}}),
    (400, {"error": {"message": "tiny does not support the Responses API"}}),
    (404, {"error": {"message": "This model is only supported in v1/chat/completions"}}),
    (405, {"detail": "Method Not Allowed"}),
)


@pytest.mark.parametrize(("status", "body"), MISSING)
def test_an_api_that_is_missing_in_any_words_is_translated(
    tmp_path: Path, server: OpenAIServer, status: int, body: dict[str, Any]
) -> None:
    answer(server, "/responses", body, status)
    with relaying(tmp_path, server.url) as relay:
        for _ in range(2):
            assert said("/responses", ask(relay, "/responses")) == ("chattiny:x", True)
        assert [one.path for one in server.seen].count("/responses") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_of_the_responses_api_serves_chat_clients_and_others_stay(
    tmp_path: Path, server: OpenAIServer, stream: bool
) -> None:
    only = "This model is only supported in v1/responses and not in v1/chat/completions."
    answer(server, "/chat/completions", {"error": {"message": only, "param": "model"}}, 404)
    with relaying(tmp_path, server.url) as relay:
        for _ in range(2):
            reply = ask(relay, "/chat/completions", stream=stream)
            assert reply.status == 200 and b"responses tiny: x" in reply.body
        assert [one.path for one in server.seen].count("/chat/completions") == 1
        del server.answers["/chat/completions"]
        other = ask(relay, "/chat/completions", model="other")
        assert said("/chat/completions", other) == ("chatother:x", True)
        lacks = relay.get("/v1/relay/status").json()["upstreams"]["compatible"]["lacks"]
        assert lacks == ["chat (tiny)"]


def test_what_no_api_serves_is_asked_for_again(tmp_path: Path, server: OpenAIServer) -> None:
    only = "This model is only supported in v1/responses and not in v1/chat/completions."
    answer(server, "/chat/completions", {"error": {"message": only}}, 404)
    answer(server, "/responses", {"detail": "Not Found"}, 404)
    with relaying(tmp_path, server.url) as relay:
        reply = ask(relay, "/chat/completions")
        assert (reply.status, reply.error["message"]) == (404, only)
        server.answers.clear()
        assert said("/chat/completions", ask(relay, "/chat/completions"))[1]


@pytest.mark.parametrize("end", ["", "/", "/v1/chat/completions", "/v1/v1"])
def test_a_base_url_that_is_wrong_is_told_with_the_one_that_works(
    tmp_path: Path, server: OpenAIServer, end: str
) -> None:
    root = server.url.removesuffix("/v1")
    server.strict = True
    with relaying(tmp_path, root + end) as relay:
        for path in ("/chat/completions", "/responses"):
            asked = f"POST {root}{end.rstrip('/')}{path} was answered with 404"
            reply = ask(relay, path)
            assert (reply.status, reply.error["code"]) == (502, "upstream_not_found"), reply.body
            assert asked in reply.error["message"]
            assert reply.error["message"].endswith(f'base_url = "{server.url}" works')


def test_other_routes_name_the_url_too(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url) as relay:
        reply = relay.send("POST", "/v1/embeddings", {"model": "tiny", "input": "x"})
        assert reply.status == 502
        assert f"POST {server.url}/embeddings was answered with 404" in reply.error["message"]


@pytest.mark.parametrize("written", ["{url} ", " {url}/", "{url}//"])
def test_blanks_and_slashes_around_a_base_url_do_no_harm(
    tmp_path: Path, server: OpenAIServer, written: str
) -> None:
    with relaying(tmp_path, written.format(url=server.url)) as relay:
        assert said("/chat/completions", ask(relay, "/chat/completions"))[1]


def test_config_check_and_doctor_say_which_base_url_works(
    tmp_path: Path, server: OpenAIServer
) -> None:
    server.strict = True
    for end in ("", "/v1/chat/completions"):
        wrong = server.url.removesuffix("/v1") + end
        config = f'[upstream]\nkind = "compatible"\nbase_url = "{wrong}"\n'
        code, checks = doctor(tmp_path, config)
        found = checks["upstream compatible"]
        assert (code, found["status"]) == (1, "fail")
        assert f'base_url = "{server.url}" works' in found["message"]
        done = subprocess.run(
            [*program(), "config", "check", "--config", str(tmp_path / "config.toml")],
            env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "AIRELAYS_BEARER_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert f'base_url = "{server.url}"' in done.stdout


@pytest.mark.parametrize("path", ["/chat/completions", "/responses"])
def test_a_wait_that_is_a_date_reaches_the_client(
    tmp_path: Path, server: OpenAIServer, path: str
) -> None:
    for one in ("/chat/completions", "/responses"):
        answer(server, one, {"error": {"message": "slow down"}}, 429)
    server.fields = [("Retry-After", formatdate(4_000_000_000, usegmt=True))]
    with relaying(tmp_path, server.url) as relay:
        reply = ask(relay, path)
        assert reply.status == 429
        assert int(reply.headers["retry-after"]) == 30 * 86_400


VALIDATION = {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs not permitted"}]}


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (JSON, as_json(VALIDATION), "stream_options: Extra inputs not permitted"),
        (JSON, as_json({"object": "error", "message": VALIDATION}), "stream_options: Extra inputs"),
        ("text/plain", b"Unprocessable", "Unprocessable"),
        ("text/html", b"<html><title>Too hot</title><p>x</html>", "Too hot"),
    ],
)
def test_the_server_s_words_reach_the_client(
    tmp_path: Path, server: OpenAIServer, kind: str, body: bytes, message: str
) -> None:
    for path in ASKED:
        answer(server, path, body, 422, kind)
    with relaying(tmp_path, server.url) as relay:
        for path in ASKED:
            reply = ask(relay, path)
            assert reply.status == 422 and reply.error["message"].startswith(message)


CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}


def test_parallel_calls_of_one_index_reach_both_clients(tmp_path: Path) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        chunks = [
            {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": i, **CALL}]}}]}
            for i in ("c1", "c2")
        ]
        chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        raw = b"".join(b"data: " + as_json(one) + b"\n\n" for one in chunks)
        answer(server, "/chat/completions", raw + b"data: [DONE]\n\n", kind=SSE)
        output = ask(relay, "/responses").events()[-1]["response"]["output"]
        assert [(i["call_id"], i["arguments"]) for i in output] == [
            ("c1", '{"a":1}'),
            ("c2", '{"a":1}'),
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_citations_of_a_responses_server_reach_a_chat_client(tmp_path: Path, stream: bool) -> None:
    cited = {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5}
    part = {**PART, "annotations": [{"type": "url_citation", **cited}]}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    with (
        openai_server("/models", "/responses") as server,
        relaying(tmp_path, server.url) as relay,
    ):
        answer(server, "/responses", {**RESPONSE, "output": [item]})
        reply = ask(relay, "/chat/completions", stream=stream)
        if stream:
            deltas = [e["choices"][0]["delta"] for e in reply.events()[:-1] if e["choices"]]
            (found,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
        else:
            found = reply.json()["choices"][0]["message"]["annotations"]
        assert found == [{"type": "url_citation", "url_citation": cited}]


def chunks_of(*deltas: dict[str, Any], finish: str = "tool_calls") -> bytes:
    choices = [{"index": 0, "delta": delta} for delta in deltas]
    last = {"index": 0, "delta": {}, "finish_reason": finish}
    lines = [b"data: " + as_json({"choices": [one]}) + b"\n\n" for one in (*choices, last)]
    return b"".join(lines) + b"data: [DONE]\n\n"


CALC = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}


def test_a_tool_of_a_namespace_makes_the_round_trip(tmp_path: Path) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        function = {"name": "mcp__calc__add", "arguments": "{}"}
        raw = chunks_of({"tool_calls": [{"index": 0, "id": "c1", "function": function}]})
        answer(server, "/chat/completions", raw, kind=SSE)
        tools = [{"type": "namespace", "name": "mcp__calc__", "tools": [CALC]}]
        body = {"model": "tiny", "stream": True, "tools": tools, "input": "x"}
        (item,) = relay.send("POST", "/v1/responses", body).events()[-1]["response"]["output"]
        assert (item["name"], item["namespace"]) == ("add", "mcp__calc__")
        output = {"type": "function_call_output", "call_id": "c1", "output": "3"}
        relay.send("POST", "/v1/responses", {**body, "input": [item, output]})
        sent = server.last("/chat/completions").json()
        assert sent["tools"][0]["function"]["name"] == "mcp__calc__add"
        assert sent["messages"][0]["tool_calls"][0]["function"]["name"] == "mcp__calc__add"


@pytest.mark.parametrize("carried", [True, False])
def test_reasoning_goes_back_to_the_server_it_came_from(tmp_path: Path, carried: bool) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        piece = {"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{}"}}
        raw = chunks_of({"reasoning_content": "I should add."}, {"tool_calls": [piece]})
        answer(server, "/chat/completions", raw, kind=SSE)
        body = {"model": "tiny", "stream": True, "tools": [CALC]}
        first = relay.send("POST", "/v1/responses", {**body, "input": "x"})
        items = first.events()[-1]["response"]["output"]
        output = {"type": "function_call_output", "call_id": "c1", "output": "3"}
        replayed = items if carried else items[1:]
        relay.send("POST", "/v1/responses", {**body, "input": [*replayed, output]})
        messages = server.last("/chat/completions").json()["messages"]
        assert messages[0]["reasoning_content"] == "I should add."


def test_a_server_that_misses_the_reasoning_is_explained(tmp_path: Path) -> None:
    said_there = "The `reasoning_content` in the thinking mode must be passed back to the API."
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        answer(server, "/chat/completions", {"error": {"message": said_there}}, 400)
        reply = ask(relay, "/responses")
        assert reply.status == 400 and reply.error["message"].startswith(said_there)
        assert "start a new conversation" in reply.error["message"]


REFUSES = {
    "verbosity": "Unrecognized request argument supplied: verbosity",
    "reasoning_effort": "1 validation error: reasoning_effort: Input should be 'low', 'medium' or 'high'",
    "stream_options": "Extra inputs are not permitted, field: 'stream_options'",
}


def test_what_a_chat_server_refuses_is_left_out_and_remembered(tmp_path: Path) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        body = {
            "model": "tiny",
            "input": "x",
            "text": {"verbosity": "low"},
            "reasoning": {"effort": "xhigh"},
        }
        assert relay.send("POST", "/v1/responses", body).status == 200
        sent = server.last("/chat/completions").json()
        assert (sent["verbosity"], sent["reasoning_effort"]) == ("low", "xhigh")
        server.refuses = REFUSES
        for tries in (4, 1):
            server.seen.clear()
            reply = relay.send("POST", "/v1/responses", body)
            assert reply.status == 200 and not set(REFUSES) & set(
                server.last("/chat/completions").json()
            )
            asked = [one for one in server.seen if one.path == "/chat/completions"]
            assert len(asked) == tries, "each is left out once, and from then on at once"
            ignored = reply.headers["x-airelays-ignored-parameters"].replace(" ", "").split(",")
            assert ignored == ["text.verbosity", "reasoning.effort", "stream_options"]


def test_another_refusal_is_not_sent_again(tmp_path: Path) -> None:
    with openai_server(*CHAT_ONLY) as server, relaying(tmp_path, server.url) as relay:
        server.refuses = {"messages": "Input should have more effort"}
        ask(relay, "/responses")
        server.seen.clear()
        assert ask(relay, "/responses").status == 400
        assert len([one for one in server.seen if one.path == "/chat/completions"]) == 1


# What llama.cpp says to a Responses request, whatever was asked: no `incomplete_details`, no `text`.
def plain(text: str, tokens: int = 8) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    usage = {"input_tokens": 1, "output_tokens": tokens, "total_tokens": tokens + 1}
    output = [{**item, "content": [part]}]
    return {"id": "resp_1", "status": "completed", "output": output, "usage": usage}


FORM = {"type": "json_schema", "name": "p", "schema": {"type": "object"}}


def event_stream(response: dict[str, Any]) -> bytes:
    from airelays.dialects.stream.whole import stream_of_answer

    return stream_of_answer(response, include_usage=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("conversation", [False, True])
def test_a_responses_api_that_ignores_the_schema_is_left_for_chat(
    tmp_path: Path, server: OpenAIServer, stream: bool, conversation: bool
) -> None:
    raw = event_stream(plain("How long?"))
    streams = stream or conversation
    answer(
        server, "/responses", raw if streams else plain("How long?"), kind=SSE if streams else JSON
    )
    server.messages = [{"content": '{"age":7}'}] * 2
    with relaying(tmp_path, server.url) as relay:
        body = {"model": "tiny", "stream": stream, "input": "x", "text": {"format": FORM}}
        if conversation:
            body["conversation"] = relay.send("POST", "/v1/conversations", {}).json()["id"]
        for _ in range(2):
            reply = relay.send("POST", "/v1/responses", body)
            assert reply.status == 200
            text = reply.body.decode()
            assert '\\"age\\":7' in text and "How long" not in text
        asked = [one.path for one in server.seen if one.path != "/models"]
        assert asked == ["/responses", "/chat/completions", "/chat/completions"]
        lacks = relay.get("/v1/relay/status").json()["upstreams"]["compatible"]["lacks"]
    assert lacks == ["responses.format (tiny)"]


def test_without_chat_a_format_that_is_ignored_is_passed_on(tmp_path: Path) -> None:
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        answer(server, "/responses", event_stream(plain("How long?")), kind=SSE)
        body = {"model": "tiny", "stream": True, "input": "x", "text": {"format": FORM}}
        for _ in range(2):
            reply = relay.send("POST", "/v1/responses", body)
            assert said("/responses", reply) == ("How long?", True)


@pytest.mark.parametrize("apis", [ALL, ("/models", "/responses")])
def test_an_answer_that_was_cut_at_its_limit_is_not_complete(
    tmp_path: Path, apis: tuple[str, ...]
) -> None:
    limits = {"/responses": "max_output_tokens", "/chat/completions": "max_tokens"}
    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        for path, limit in limits.items():
            if "/chat/completions" in apis and path == "/chat/completions":
                continue
            for stream in (True, False):
                streams = stream or path != "/responses"
                raw = event_stream(plain("one two")) if streams else plain("one two")
                answer(server, "/responses", raw, kind=SSE if streams else JSON)
                body = {"model": f"m{stream}{path}", "stream": stream, limit: 8, **ASKED[path]}
                text = relay.send("POST", f"/v1{path}", body).body.decode()
                if path == "/chat/completions":
                    assert '"finish_reason":"length"' in text
                else:
                    assert '"reason":"max_output_tokens"' in text
                    assert "response.completed" not in text
        if apis is ALL:
            server.seen.clear()
            ask(relay, "/responses", model="mTrue/responses")
            assert [one.path for one in server.seen] == ["/chat/completions"]


def chunks(*deltas: dict[str, Any], end: bool = True) -> bytes:
    frames: list[dict[str, Any]] = [
        {"id": "c1", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice]}
        for delta in deltas
        for choice in ({"index": 0, "delta": delta, "text": delta.get("content") or ""},)
    ]
    if end:
        last = {"index": 0, "delta": {}, "text": "", "finish_reason": "stop"}
        frames += [{"choices": [last]}, {"choices": [], "usage": COMPLETION["usage"]}]
    return b"".join(b"data: " + as_json(frame) + b"\n\n" for frame in frames)


@pytest.mark.parametrize("kind", [SSE, JSON, "text/plain"])
@pytest.mark.parametrize("apis", [ALL, CHAT_ONLY, ("/models", "/responses")])
def test_a_stream_that_nobody_asked_for_becomes_the_whole_answer(
    tmp_path: Path, kind: str, apis: tuple[str, ...]
) -> None:
    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        raw = chunks({"role": "assistant", "content": "who"}, {"content": "le"})
        for path in apis[1:]:
            one = event_stream(RESPONSE) if path == "/responses" else raw
            answer(server, path, one, kind=kind)
        for path in ASKED:
            reply = ask(relay, path, stream=False)
            assert reply.headers["content-type"].startswith(JSON), path
            found = reply.json()
            if path == "/responses":
                assert found["output"][0]["content"][0]["text"] == "whole"
                assert relay.get(f"/v1/responses/{found['id']}").status == 200
            elif path == "/chat/completions":
                assert found["object"] == "chat.completion"
                assert found["choices"][0]["message"]["content"] == "whole"
            else:
                assert found["choices"][0]["text"] == "whole"


@pytest.mark.parametrize("path", ASKED)
def test_one_that_is_cut_or_fails_is_an_error(
    tmp_path: Path, server: OpenAIServer, path: str
) -> None:
    with relaying(tmp_path, server.url) as relay:
        broken = chunks({"content": "who"}, end=False)
        if path == "/responses":
            broken = event_stream(RESPONSE).partition(b"event: response.completed")[0]
        answer(server, path, broken, kind=SSE)
        reply = ask(relay, path, stream=False)
        assert (reply.status, reply.error["code"]) == (502, "incomplete_stream")
        answer(server, path, b'data: {"error": {"message": "died"}}\n\n', kind=SSE)
        assert ask(relay, path, stream=False).error["message"] == "died"


def test_other_apis_refuse_a_stream_that_nobody_asked_for(tmp_path: Path) -> None:
    with openai_server("/images/generations") as server, relaying(tmp_path, server.url) as relay:
        answer(server, "/images/generations", b"data: {}\n\n", kind=SSE)
        body = {"model": "tiny", "prompt": "x"}
        reply = relay.send("POST", "/v1/images/generations", body)
        assert (reply.status, reply.error["code"]) == (502, "upstream_malformed")
        assert relay.send("POST", "/v1/images/generations", {**body, "stream": True}).status == 200


def test_reasoning_that_the_relay_carries_goes_to_no_responses_server(
    tmp_path: Path, server: OpenAIServer
) -> None:
    from airelays.dialects.chat_server.messages import seal

    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    items = [
        {**thought, "encrypted_content": seal("hm")},
        {**thought, "encrypted_content": "gAAA"},
        {"role": "user", "content": "x"},
    ]
    with relaying(tmp_path, server.url) as relay:
        talk = relay.send("POST", "/v1/conversations", {}).json()["id"]
        for more in ({}, {"conversation": talk}):
            reply = relay.send("POST", "/v1/responses", {"model": "tiny", "input": items, **more})
            assert reply.status == 200
            assert reply.headers["x-airelays-ignored-parameters"] == "input.reasoning"
            sent = server.last("/responses").json()["input"]
            assert [i["encrypted_content"] for i in sent if "encrypted_content" in i] == ["gAAA"]
