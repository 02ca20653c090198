"""upstream.compatible.lacking: which API a refusal says is missing, and how long that is remembered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.guard.redact import Redactor
from airelays.model import ResponseHead
from airelays.upstream.compatible.lacking import REMEMBERED_S, Lacking, scope_of
from airelays.upstream.compatible.refusal import Refused


def refusal(status: int, body: Any) -> Refused:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Refused(ResponseHead(status, (), len(raw), False, True), raw, Redactor())


def said(text: str, status: int = 400, **more: Any) -> Refused:
    return refusal(status, {"error": {"message": text, **more}})


ONLY_RESPONSES = "This model is only supported in v1/responses and not in v1/chat/completions."
ONLY_CHAT = "This model is only supported in v1/chat/completions and not in v1/responses."


# LiteLLM wraps what the server said, and adds a sentence of its own about "model groups".
BEHIND = "litellm.NotFoundError: NotFoundError: Hosted_vllmException - "
LITELLM = "\n\nLiteLLM: model group 'm' failed with the error above. No fallback was attempted."
OLDER = "Received Model Group=m\nAvailable Model Group Fallbacks=None"


@pytest.mark.parametrize(
    ("api", "refused", "scope"),
    [
        # the address
        ("responses", refusal(404, {"detail": "Not Found"}), "server"),
        ("responses", refusal(404, b""), "server"),
        ("responses", refusal(405, {"detail": "Method Not Allowed"}), "server"),
        ("responses", refusal(501, b""), "server"),
        (
            "responses",
            refusal(200, {"error": "Unexpected endpoint or method. (POST /v1/responses)"}),
            "server",
        ),
        ("responses", said("Invalid URL (POST /v1/responses)", 404, code="unknown_url"), "server"),
        ("responses", refusal(404, b"<title>x</title>Cannot POST /v1/responses"), "server"),
        # the model
        ("chat", said(ONLY_RESPONSES, 404), "model"),
        ("responses", said(ONLY_CHAT, 404), "model"),
        ("responses", said("not implemented", 500, code="convert_request_failed"), "model"),
        ("responses", said("Not implemented", 501), "model"),
        ("responses", said("m does not support the Responses API", 400), "model"),
        ("responses", said("/v1/responses is not supported for this channel", 400), "model"),
        (
            "chat",
            said("model m is not accessible via the /chat/completions endpoint", 400),
            "model",
        ),
        (
            "completions",
            said("This is a chat model and not supported in the v1/completions endpoint.", 404),
            "model",
        ),
        # the server behind a gateway
        ("responses", said(BEHIND + '{"detail":"Not Found"}' + LITELLM, 404, code="404"), "model"),
        ("responses", said(BEHIND + "{'detail': 'Not Found'}. " + OLDER, 404), "model"),
        ("responses", said(BEHIND + '{"detail":"Not Found"}' + LITELLM, 500), "model"),
        ("completions", said("OpenAIException - Error code: 404" + LITELLM, 404), "model"),
        ("responses", said("OpenAIException - 404 page not found" + LITELLM, 404), "model"),
        ("responses", said('model m: upstream said {"error": "not found"}', 404), "model"),
        ("chat", said(BEHIND + '{"message":"The model `m` does not exist"}' + LITELLM, 404), ""),
        ("responses", said(BEHIND + '{"detail":"Not Found"}' + LITELLM, 401), ""),
        ("responses", said('{"detail": "file_1 was not found"}', 400), ""),
        # neither
        ("chat", said(ONLY_CHAT, 404), ""),
        ("responses", said(ONLY_RESPONSES, 404), ""),
        ("chat", said("only supported in v1/completions", 404), ""),
        ("chat", said("The model `m` does not exist", 404, code="model_not_found"), ""),
        ("chat", refusal(404, {"error": "model tiny not found"}), ""),
        ("responses", said("the parameter seed is not supported", 400), ""),
        ("responses", said("tool_choice required is not implemented", 400), ""),
        ("responses", said("not implemented", 401), ""),
        ("responses", said("internal error", 500), ""),
        ("responses", said("overloaded", 503), ""),
    ],
)
def test_what_a_refusal_says_of_an_api(api: str, refused: Refused, scope: str) -> None:
    assert scope_of(api, refused) == scope


def test_what_the_server_lacks_counts_for_every_model_and_what_one_model_lacks_for_it() -> None:
    found = Lacking()
    assert found.learn("responses", "a", refusal(404, b""), 0.0)
    assert found.learn("chat", "a", said(ONLY_RESPONSES), 0.0)
    assert not found.learn("chat", "a", said("too hot", 422), 0.0)
    assert found.lacks("responses", "b", 1.0) and found.lacks("chat", "a", 1.0)
    assert not found.lacks("chat", "b", 1.0) and not found.lacks("completions", "a", 1.0)
    assert found.names(1.0) == ["chat (a)", "responses"]


def test_it_is_forgotten_after_a_day() -> None:
    found = Lacking()
    found.learn("chat", "a", refusal(404, b""), 100.0)
    for now_s, lacks in (
        (99.0, True),
        (100.0 + REMEMBERED_S - 1, True),
        (100 + REMEMBERED_S, False),
    ):
        assert found.lacks("chat", "a", now_s) is lacks
    assert REMEMBERED_S == 24 * 3600
    assert found.names(100 + REMEMBERED_S) == []


def test_forgetting_returns_the_words_about_the_model_first() -> None:
    found = Lacking()
    found.learn("responses", "a", refusal(404, b""), 0.0)
    found.learn("chat", "a", said(ONLY_RESPONSES), 0.0)
    found.learn("chat", "b", said(ONLY_RESPONSES), 0.0)
    assert [api for api, _ in found.forget("a")] == ["chat", "responses"]
    assert found.names(0.0) == ["chat (b)"]


def test_models_are_names_of_clients_and_bounded() -> None:
    found = Lacking()
    for number in range(3000):
        found.learn("chat", f"m{number}", said(ONLY_RESPONSES), 0.0)
    assert len(found.names(0.0)) == 1024
    assert found.lacks("chat", "m2999", 0.0) and not found.lacks("chat", "m0", 0.0)
