"""Compatible upstreams: forwarded where the server speaks it, translated where not, chained, with fallbacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.fakes.openai_server import OpenAIServer, openai_server
from tests.live import TOKEN, Relay, Reply, running
from tests.net.test_live_wire import WIDE

KEY = "upstream-key-0123456789"
ALL = ("/models", "/chat/completions", "/responses", "/embeddings", "/audio/speech")


@contextmanager
def relaying(home: Path, server_url: str, more: str = "", **env: str) -> Iterator[Relay]:
    config = home / "config.toml"
    config.write_text(
        f'[upstream]\nkind = "compatible"\nbase_url = "{server_url}"\napi_key_env = "UP_KEY"\n{more}'
    )
    variables = {**WIDE, "UP_KEY": KEY, **env}
    with running(home, "--config", str(config), env=variables, demo=False) as relay:
        yield relay


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}], **more}


def text_of(reply: Reply) -> str:
    return "".join(
        c["choices"][0]["delta"].get("content") or ""
        for c in reply.events()
        if c != "[DONE]" and c.get("choices")
    )


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with openai_server(*ALL) as one:
        yield one


def test_what_the_server_speaks_is_forwarded_as_it_is(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url) as relay:
        body = chat("hi", temperature=0.3, n=2, logprobs=True, made_up={"a": None})
        reply = relay.send("POST", "/v1/chat/completions", body)
        assert reply.json()["choices"][0]["message"]["content"] == "chat tiny: hi"
        seen = server.last("/chat/completions")
        assert seen.json() == body
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert TOKEN not in json.dumps(seen.headers)
        assert "set-cookie" not in reply.headers
        assert reply.headers["x-upstream-request-id"] == "up-1"
        assert KEY not in str(reply.headers) + reply.body.decode()


def test_streams_are_passed_frame_by_frame(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url) as relay:
        reply = relay.send("POST", "/v1/chat/completions", chat("a b", stream=True))
        assert text_of(reply) == "chattiny:ab"
        assert reply.body.count(b"[DONE]") == 1
        other = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "x", "stream": True})
        assert other.events()[-1]["type"] == "response.completed"
        whole = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "x"})
        assert whole.json()["output"][0]["content"][0]["text"] == "responses tiny: x"


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_a_cut_stream_is_a_typed_error_and_never_done(
    tmp_path: Path, server: OpenAIServer, cut: int
) -> None:
    server.cut_after = cut
    with relaying(tmp_path, server.url) as relay:
        reply = relay.send("POST", "/v1/chat/completions", chat("a b c d", stream=True))
        assert b"[DONE]" not in reply.body
        if cut:
            assert reply.events()[-1]["error"]["type"] == "server_error"
        else:
            assert reply.status == 502


@pytest.mark.parametrize("stream", [False, True])
def test_responses_on_a_chat_only_server(tmp_path: Path, stream: bool) -> None:
    with (
        openai_server("/models", "/chat/completions") as server,
        relaying(tmp_path, server.url) as relay,
    ):
        body = {"model": "tiny", "input": "hi you", "instructions": "Be brief.", "stream": stream}
        for _ in range(3):
            reply = relay.send("POST", "/v1/responses", body)
            final = reply.events()[-1]["response"] if stream else reply.json()
            assert final["output"][0]["content"][0]["text"].replace(" ", "") == "chattiny:hiyou"
            assert final["usage"]["total_tokens"] == 7
        asked = [one.path for one in server.seen]
        assert asked.count("/responses") == 1, "found out once and remembered"
        messages = server.last("/chat/completions").json()["messages"]
        assert messages == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi you"},
        ]


@pytest.mark.parametrize("stream", [False, True])
def test_chat_on_a_responses_only_server(tmp_path: Path, stream: bool) -> None:
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        for _ in range(2):
            reply = relay.send("POST", "/v1/chat/completions", chat("hi", stream=stream))
            text = text_of(reply) if stream else reply.json()["choices"][0]["message"]["content"]
            assert text == "responses tiny: hi"
        assert [one.path for one in server.seen].count("/chat/completions") == 1


def test_other_apis_pass_byte_for_byte(tmp_path: Path, server: OpenAIServer) -> None:
    server.apis.add("/audio/transcriptions")
    with relaying(tmp_path, server.url) as relay:
        reply = relay.send("POST", "/v1/embeddings", {"model": "tiny", "input": "x"})
        assert reply.body == b'{"object": "list", "data": [{"embedding": [0.25, -1.5e-09]}]}'
        speech = relay.send(
            "POST", "/v1/audio/speech", {"model": "tiny", "input": "x", "voice": "a"}
        )
        assert speech.body == bytes(range(256)) * 4096
        assert speech.headers["content-type"] == "audio/mpeg"
        sound = bytes(range(256)) * 8192
        form = (
            b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n'
            b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            + sound
            + b"\r\n--B--\r\n"
        )
        fields = {"Content-Type": "multipart/form-data; boundary=B"}
        sent = relay.send("POST", "/v1/audio/transcriptions", form, headers=fields)
        assert sent.json() == {"bytes": len(form)}
        assert server.last("/audio/transcriptions").body == form


def test_beside_a_chatgpt_login_a_named_server_gets_what_it_serves(
    tmp_path: Path, server: OpenAIServer
) -> None:
    server.apis.add("/audio/transcriptions")
    config = tmp_path / "config.toml"
    config.write_text(named(server, 'models = ["embed*"]\n') + '\n[aliases]\nvec = "local/tiny"\n')
    with (
        FakeBackend() as backend,
        running(
            tmp_path,
            "--config",
            str(config),
            env={**WIDE, **backend.sign_in(tmp_path / "data"), "UP_KEY": KEY},
            demo=False,
        ) as relay,
    ):
        for model, known in (("local/tiny", "tiny"), ("embed-1", "embed-1"), ("vec", "tiny")):
            reply = relay.send("POST", "/v1/embeddings", {"model": model, "input": "x"})
            assert reply.status == 200 and server.last("/embeddings").json()["model"] == known
        form = (
            b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n'
            b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--B--\r\n'
        )
        fields = {"Content-Type": "multipart/form-data; boundary=B"}
        for asked, status in ((b"embed-1", 200), (b"whisper-1", 501)):
            sent = relay.send("POST", "/v1/audio/transcriptions", form % asked, headers=fields)
            assert sent.status == status
        assert not backend.calls("/models")


def test_errors_keep_status_and_body_but_never_401(tmp_path: Path, server: OpenAIServer) -> None:
    error = {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "x",
        "code": "c",
        "e": 1,
    }
    with relaying(tmp_path, server.url) as relay:
        server.answers["/chat/completions"] = (
            422,
            "application/json",
            json.dumps({"error": error}).encode(),
        )
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert (reply.status, reply.error) == (422, error)
        server.answers["/chat/completions"] = (401, "application/json", b'{"error":"bad key"}')
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert (reply.status, reply.error["code"]) == (502, "upstream_auth_rejected")
        server.answers["/chat/completions"] = (500, "text/html", b"<h1>" + b"x" * 100_000)
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert reply.status == 500 and len(reply.body) < 1000
        plain = f"no room\nfor key {KEY}".encode()
        server.answers["/chat/completions"] = (503, "text/plain", plain)
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert (reply.status, reply.error["message"]) == (503, "no room")
        plain = f"no room for key {KEY}".encode()
        server.answers["/chat/completions"] = (503, "text/plain", plain)
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert reply.error["message"] == "no room for key [REDACTED]"
        server.answers["/chat/completions"] = (302, "text/html", b"")
        assert (
            relay.send("POST", "/v1/chat/completions", chat("x")).error["code"]
            == "upstream_redirect"
        )
        server.answers["/chat/completions"] = (
            404,
            "application/json",
            b'{"error":"model tiny not found"}',
        )
        assert relay.send("POST", "/v1/chat/completions", chat("x")).status == 404
        del server.answers["/chat/completions"]
        assert relay.send("POST", "/v1/chat/completions", chat("x")).status == 200


def test_no_tools_holds_for_forwarded_requests_too(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url) as relay:
        tools = [{"type": "function", "function": {"name": "f"}}]
        assert (
            relay.send("POST", "/no-tools/v1/chat/completions", chat("x", tools=tools)).status
            == 400
        )
        assert relay.send("POST", "/no-tools/v1/chat/completions", chat("x")).status == 200


def test_a_missing_key_is_a_clear_503(tmp_path: Path, server: OpenAIServer) -> None:
    with relaying(tmp_path, server.url, UP_KEY="") as relay:
        reply = relay.send("POST", "/v1/chat/completions", chat("x"))
        assert (reply.status, reply.error["code"]) == (503, "upstream_auth_missing")
        assert "UP_KEY" in reply.error["message"]


def named(server: OpenAIServer, extra: str = "") -> str:
    return f'\n[upstreams.local]\nbase_url = "{server.url}"\nkind = "compatible"\n{extra}'


def test_several_upstreams_by_name_pattern_and_alias(tmp_path: Path, server: OpenAIServer) -> None:
    with openai_server(*ALL) as other:
        more = named(other, 'models = ["llama*"]\n') + '\n[aliases]\nfast = "local/tiny"\n'
        with relaying(tmp_path, server.url, more) as relay:
            for model, at, name in (
                ("tiny", server, "tiny"),
                ("local/tiny", other, "tiny"),
                ("Llama-3", other, "Llama-3"),
                ("fast", other, "tiny"),
            ):
                reply = relay.send("POST", "/v1/chat/completions", chat("x") | {"model": model})
                assert reply.json()["choices"][0]["message"]["content"] == f"chat {name}: x"
                assert at.last("/chat/completions").json()["model"] == name
            listed = relay.get("/v1/models").json()["data"]
            by_id = {one["id"]: one["airelays"]["provider"] for one in listed}
            assert by_id["tiny"] == "compatible" and by_id["local/tiny"] == "local"
            assert "fast" in by_id
            assert set(relay.get("/v1/relay/status").json()["upstreams"]) == {"compatible", "local"}


def test_a_dead_upstream_breaks_no_list(tmp_path: Path, server: OpenAIServer) -> None:
    more = '\n[upstreams.dead]\nkind = "compatible"\nbase_url = "http://127.0.0.1:9/v1"\n'
    with relaying(tmp_path, server.url, more) as relay:
        ids = [one["id"] for one in relay.get("/v1/models").json()["data"]]
        assert ids == ["tiny", "other"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (429, {"error": {"code": "usage_limit_reached", "message": "m"}}, "quota"),
        (503, {"error": {"code": "server_is_overloaded", "message": "m"}}, "overloaded"),
    ],
)
def test_a_listed_cause_falls_back_and_says_so(
    tmp_path: Path,
    server: OpenAIServer,
    status: int,
    body: dict[str, Any],
    cause: str,
    stream: bool,
) -> None:
    server.answers["/chat/completions"] = (status, "application/json", json.dumps(body).encode())
    with openai_server(*ALL) as other:
        more = f'fallback = ["local/spare"]\nfallback_on = ["{cause}"]\n' + named(other)
        with relaying(tmp_path, server.url, more) as relay:
            reply = relay.send("POST", "/v1/chat/completions", chat("x", stream=stream))
            assert reply.status == 200 and b"spare" in reply.body
            assert reply.headers["x-airelays-upstream"] == "local/spare"
            assert reply.headers["x-airelays-fallback"] == f"compatible:{cause}"


@pytest.mark.parametrize("where", ["upstream", "alias"])
def test_an_alias_in_fallback_is_resolved(tmp_path: Path, server: OpenAIServer, where: str) -> None:
    refusal = {"error": {"code": "usage_limit_reached", "message": "m"}}
    server.answers["/chat/completions"] = (429, "application/json", json.dumps(refusal).encode())
    with openai_server(*ALL) as other:
        fallback = 'fallback = ["Spare", "again", "local/never"]\nfallback_on = ["quota"]\n'
        tables = f"{named(other)}[aliases]\nspare = 'local/real'\nagain = 'tiny'\n"
        if where == "alias":
            listed = fallback.strip().replace("\n", ", ")
            tables += f"best = {{ model = 'tiny', {listed} }}\n"
        more = (fallback if where == "upstream" else "") + tables
        with relaying(tmp_path, server.url, more) as relay:
            model = "tiny" if where == "upstream" else "best"
            reply = relay.send("POST", "/v1/chat/completions", {**chat("x"), "model": model})
            assert reply.status == 200, reply.body
            assert reply.headers["x-airelays-upstream"] == "local/real"
            assert other.last("/chat/completions").json()["model"] == "real"


def test_an_alias_of_what_has_just_failed_is_not_asked_again(
    tmp_path: Path, server: OpenAIServer
) -> None:
    refusal = {"error": {"code": "usage_limit_reached", "message": "m"}}
    server.answers["/chat/completions"] = (429, "application/json", json.dumps(refusal).encode())
    more = 'fallback = ["same"]\nfallback_on = ["quota"]\n[aliases]\nsame = "tiny"\n'
    with relaying(tmp_path, server.url, more) as relay:
        assert relay.send("POST", "/v1/chat/completions", chat("x")).status == 429
        assert len([one for one in server.seen if one.path == "/chat/completions"]) == 1


def test_a_cause_that_is_not_listed_does_not_fall_back(
    tmp_path: Path, server: OpenAIServer
) -> None:
    server.answers["/chat/completions"] = (500, "application/json", b'{"error":{"message":"m"}}')
    with openai_server(*ALL) as other:
        more = 'fallback = ["local/spare"]\nfallback_on = ["quota"]\n' + named(other)
        with relaying(tmp_path, server.url, more) as relay:
            assert relay.send("POST", "/v1/chat/completions", chat("x")).status == 500
            assert not other.seen


def test_an_unreachable_main_upstream_falls_back(tmp_path: Path, server: OpenAIServer) -> None:
    more = 'fallback = ["local/spare"]\nfallback_on = ["unreachable"]\n' + named(server)
    with relaying(tmp_path, "http://127.0.0.1:9/v1", more) as relay:
        reply = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "x"})
        assert reply.json()["output"][0]["content"][0]["text"] == "responses spare: x"


def test_nothing_falls_back_after_the_first_byte(tmp_path: Path, server: OpenAIServer) -> None:
    server.cut_after = 3
    with openai_server(*ALL) as other:
        more = (
            'fallback = ["local/s"]\nfallback_on = ["unreachable", "overloaded", "quota"]\n'
            + named(other)
        )
        with relaying(tmp_path, server.url, more) as relay:
            reply = relay.send("POST", "/v1/chat/completions", chat("a b c", stream=True))
            assert reply.events()[-1]["error"]["code"]
            assert not [one for one in other.seen if one.path == "/chat/completions"]


def test_chained_relays_keep_every_truth(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    with (
        running(tmp_path / "far", env=WIDE) as far,
        relaying(tmp_path / "near", far.url, UP_KEY=far.token) as near,
    ):
        for text in (
            "hello",
            "a b c d demo:cut",
            "a b demo:fail",
            "demo:rate-limit",
            "demo:refusal",
        ):
            for path, body in (
                ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}),
                ("/v1/responses", {"input": text}),
            ):
                for stream in (False, True):
                    sent = {"model": "demo", "stream": stream, **body}
                    direct, through = (r.send("POST", path, sent) for r in (far, near))
                    assert through.status == direct.status
                    assert through.body.count(b"[DONE]") == direct.body.count(b"[DONE]")
                    assert (b'"error": {' in through.body) == (b'"error": {' in direct.body)
                    assert through.body.count(b"response.completed") == direct.body.count(
                        b"response.completed"
                    )
                    if through.status == 429:
                        assert through.headers["retry-after"] == direct.headers["retry-after"]


def test_a_chat_only_server_gets_what_a_responses_client_asks(tmp_path: Path) -> None:
    asked = {"temperature": 0.2, "top_p": 0.9, "user": "me", "seed": 3, "max_output_tokens": 5}
    with openai_server("/models", "/chat/completions") as only_chat:
        with relaying(tmp_path, only_chat.url) as relay:
            reply = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "hi", **asked})
        assert reply.status == 200, reply
        sent = only_chat.last("/chat/completions").json()
    assert {name: sent[name] for name in ("temperature", "top_p", "user", "seed")} == {
        "temperature": 0.2,
        "top_p": 0.9,
        "user": "me",
        "seed": 3,
    }
    assert sent["max_tokens"] == 5
    assert "x-airelays-ignored-parameters" not in reply.headers
    assert "x-airelays-quirks" not in reply.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("store", [None, True])
def test_state_works_on_a_server_that_has_its_own_responses(
    tmp_path: Path, stream: bool, store: bool | None
) -> None:
    asked: dict[str, Any] = {"model": "tiny", "input": "one", "stream": stream}
    asked |= {} if store is None else {"store": store, "metadata": {"a": "b"}}
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        reply = relay.send("POST", "/v1/responses", asked)
        made = reply.events()[-1]["response"] if stream else reply.json()
        kept = relay.get(f"/v1/responses/{made['id']}")
        assert kept.status == 200 and kept.json()["output"] == made["output"]
        if store:
            assert kept.json()["metadata"] == made["metadata"] == {"a": "b"}
        listed = relay.get(f"/v1/responses/{made['id']}/input_items").json()["data"]
        assert listed[0]["content"][0]["text"] == "one"
        more = {"model": "tiny", "input": "two", "previous_response_id": made["id"]}
        assert relay.send("POST", "/v1/responses", more).status == 200
        sent = server.last("/responses").json()
    assert [item["role"] for item in sent["input"]] == ["user", "assistant", "user"]
    assert "previous_response_id" not in sent


def test_an_answer_that_the_relay_does_not_know_is_the_servers(tmp_path: Path) -> None:
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        server.answers["/responses/resp_far"] = (200, "application/json", b'{"id":"resp_far"}')
        assert relay.get("/v1/responses/resp_far").json() == {"id": "resp_far"}
        body = {"model": "tiny", "input": "x", "previous_response_id": "resp_far"}
        assert relay.send("POST", "/v1/responses", body).status == 200
        assert server.last("/responses").json()["previous_response_id"] == "resp_far"
        assert relay.get("/v1/responses/resp_none").status == 404


def test_a_stored_answer_stays_with_the_upstream_that_made_it(tmp_path: Path) -> None:
    apis = ("/models", "/responses")
    with openai_server(*apis) as one, openai_server(*apis) as two:
        more = (
            f'[upstreams.two]\nbase_url = "{two.url}"\nmodels = ["second*"]\n'
            '[aliases]\nother = "two/second"\n'
            "[storage]\nstore_responses = false\n"
        )
        with relaying(tmp_path, one.url, more) as relay:

            def asked(model: str, **rest: Any) -> Any:
                return relay.send("POST", "/v1/responses", {"model": model, "input": "x", **rest})

            # An id that nobody here has seen goes where the model goes.
            assert asked("other", previous_response_id="resp_far").status == 200
            sent = two.last("/responses").json()
            assert (sent["previous_response_id"], sent["model"]) == ("resp_far", "second")
            assert not [s for s in one.seen if s.path == "/responses"]
            # The answer was made by the second: it is asked for it, and the next turn has to go there.
            two.answers["/responses/resp_1"] = (200, "application/json", b'{"id":"resp_1"}')
            assert relay.get("/v1/responses/resp_1").json() == {"id": "resp_1"}
            assert asked("other", previous_response_id="resp_1").status == 200
            refused = asked("tiny", previous_response_id="resp_1")
            assert (
                refused.status == 404 and "stored by the upstream two" in refused.error["message"]
            )
            assert not [s for s in one.seen if s.path.startswith("/responses")]
            assert relay.send("DELETE", "/v1/responses/resp_1").status == 200
            # Of one that nobody knows, the model in the query says whose it may be.
            two.answers["/responses/resp_q"] = (200, "application/json", b'{"id":"resp_q"}')
            assert relay.get("/v1/responses/resp_q?model=other").json() == {"id": "resp_q"}
            assert relay.get("/v1/responses/resp_q").status == 404


def test_a_turn_behind_one_that_only_the_server_has_is_the_servers_too(tmp_path: Path) -> None:
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        for previous in ("resp_far", "resp_1", "resp_1"):
            body = {"model": "tiny", "input": "x", "previous_response_id": previous}
            assert relay.send("POST", "/v1/responses", body).status == 200
            assert server.last("/responses").json()["previous_response_id"] == previous


def test_what_an_earlier_run_stored_is_the_relays(tmp_path: Path) -> None:
    with openai_server("/models", "/responses") as server:
        with relaying(tmp_path, server.url) as relay:
            body = {"model": "tiny", "input": "one", "store": True}
            made = relay.send("POST", "/v1/responses", body).json()["id"]
        with relaying(tmp_path, server.url) as relay:
            body = {"model": "tiny", "input": "two", "previous_response_id": made}
            assert relay.send("POST", "/v1/responses", body).status == 200
            sent = server.last("/responses").json()
    assert len(sent["input"]) == 3 and "previous_response_id" not in sent


def test_a_deleted_answer_is_deleted_where_it_was_made_too(tmp_path: Path) -> None:
    with openai_server("/models", "/responses") as server, relaying(tmp_path, server.url) as relay:
        made = relay.send("POST", "/v1/responses", {"model": "tiny", "input": "x"}).json()["id"]
        assert relay.send("DELETE", f"/v1/responses/{made}").json()["deleted"]
        assert server.seen[-1].path == f"/responses/{made}"
        assert relay.get(f"/v1/responses/{made}").status == 404


def test_rules_change_what_goes_out_and_the_answer_says_so(
    tmp_path: Path, server: OpenAIServer
) -> None:
    more = (
        '[[rules]]\nupstream = "compatible"\nset = { temperature = 0.2 }\nstrip = ["seed"]\n'
        "cap = { max_output_tokens = 64 }\n"
    )
    with relaying(tmp_path, server.url, more) as relay:
        body = {**chat("x"), "temperature": 2, "seed": 1, "max_tokens": 500}
        reply = relay.send("POST", "/v1/chat/completions", body)
        sent = server.last("/chat/completions").json()
        assert sent["temperature"] == 0.2 and sent["max_completion_tokens"] == 64
        assert not {"seed", "max_tokens"} & sent.keys()
        told = "strip seed, set temperature, cap max_output_tokens"
        assert reply.headers["x-airelays-rules"] == told
        reply = relay.send("POST", "/v1/embeddings", {"model": "m", "input": "x"})
        assert "x-airelays-rules" not in reply.headers
