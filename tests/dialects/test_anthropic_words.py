"""Errors, counts and the list of models in Anthropic's form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airelays.dialects.anthropic.counting import (
    MAX_MODELS,
    Ratios,
    estimate,
    has_pictures,
    prose,
    sample,
)
from airelays.dialects.anthropic.errors import Room, Words
from airelays.dialects.anthropic.listing import all_entries, page_of
from airelays.errors import ClientFault, RelayBug, RelayError, UpstreamFault
from tests.dialects.anthropic_maps import body, user


def words(error: RelayError, room: Room = Room()) -> tuple[int, dict[str, Any]]:  # noqa: B008
    status, raw = Words("req_1", lambda: room).answer(error)
    found = json.loads(raw)
    assert found["type"] == "error" and found["request_id"] == "req_1"
    return status, found["error"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (501, "api_error"),
        (502, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_each_status_has_its_type(status: int, kind: str) -> None:
    found = words(ClientFault("no", status=status, code="c", param="p"))
    assert found == (status, {"type": kind, "message": "no", "code": "c", "param": "p"})


def test_a_defect_is_an_api_error() -> None:
    assert words(RelayBug("failed"))[1] == {"type": "api_error", "message": "failed"}


@pytest.mark.parametrize(
    "fault",
    [
        UpstreamFault("busy", status=503, code="server_is_overloaded"),
        UpstreamFault("busy", status=503),
        UpstreamFault("busy", status=502, type="overloaded_error", hop="stream"),
        UpstreamFault("busy", status=529, code="x"),
    ],
)
def test_overload_is_529(fault: UpstreamFault) -> None:
    """Fact 8: 529 is retried with back-off."""
    assert words(fault) == (529, words(fault)[1]) and words(fault)[1]["type"] == "overloaded_error"


def test_other_faults_of_an_upstream_are_no_overload() -> None:
    assert (
        words(UpstreamFault("x", status=503, hop="sign_in", code="upstream_auth_missing"))[0] == 503
    )
    assert words(UpstreamFault("x", status=429, code="usage_limit_reached"))[0] == 429


CODE = "context_length_exceeded"


@pytest.mark.parametrize(
    ("fault", "room", "wanted"),
    [
        (UpstreamFault("too long", status=400, code=CODE), Room(9000, 8192), "9000 tokens > 8192"),
        (UpstreamFault("too long", status=502, code=CODE), Room(10, 8192), "8193 tokens > 8192"),
        (
            UpstreamFault(
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 10,000 tokens.",
                status=400,
            ),
            Room(),
            "10000 tokens > 8192",
        ),
        (
            UpstreamFault(
                "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
                status=400,
                type="exceed_context_size_error",
                upstream={"n_prompt_tokens": 5000, "n_ctx": 4096},
            ),
            Room(),
            "5000 tokens > 4096",
        ),
        (
            UpstreamFault("prompt is too long: 210000 tokens > 200000 maximum", status=400),
            Room(),
            "210000 tokens > 200000",
        ),
        (
            UpstreamFault(
                "request (12 tokens) exceeds the available context size (8 tokens)", status=500
            ),
            Room(),
            "12 tokens > 8",
        ),
    ],
)
def test_a_full_context_is_a_400_in_the_words_that_start_compaction(
    fault: UpstreamFault, room: Room, wanted: str
) -> None:
    status, error = words(fault, room)
    assert status == 400 and error["type"] == "invalid_request_error"
    assert error["message"] == f"prompt is too long: {wanted} maximum"


def test_a_full_context_without_numbers_begins_alike() -> None:
    fault = UpstreamFault("too long", status=400, code=CODE)
    assert words(fault)[1]["message"] == "prompt is too long: too long"
    assert words(UpstreamFault("the context is fine", status=400))[1]["message"].startswith("the")


# ---- counts

TOOL = {"name": "get_weather", "description": "d" * 40, "input_schema": {"type": "object"}}


def test_system_tools_and_messages_are_counted() -> None:
    plain = estimate(body())
    assert plain == 4  # 5 bytes of prose and a message
    assert estimate(body(system="s" * 400)) == plain + 100
    assert estimate(body(tools=[TOOL])) > plain + 8 + 10
    assert estimate(body(messages=[user("ä" * 200)])) == 103
    assert estimate({"model": "m", "messages": [user("foo")], "tools": [TOOL] * 10}) > 200


def test_pictures_and_documents_have_a_price_of_their_own() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 100_000}}
    assert estimate(body(messages=[user([image])])) == 1603
    pages = {"type": "document", "source": {"type": "base64", "data": "A" * 200_000}}
    assert estimate(body(messages=[user([pages])])) == 3 * 1600 + 3
    assert has_pictures(body(messages=[user([image])])) and not has_pictures(body())


def test_a_ratio_follows_what_is_reported_within_bounds() -> None:
    ratios = Ratios()
    assert ratios.of("m") == 1.0 and not ratios.knows("m")
    ratios.note("m", 1000, 1200)
    assert ratios.of("m") == pytest.approx(1.2) and ratios.corrected("m", 100) == 120
    ratios.note("m", 1000, 800)
    assert ratios.of("m") == pytest.approx(1.1)
    ratios.note("low", 1000, 1)
    ratios.note("high", 1000, 99_999)
    assert (ratios.of("low"), ratios.of("high")) == (0.5, 2.0)
    ratios.note("small", 10, 100)
    ratios.note("none", 1000, 0)
    assert not ratios.knows("small") and not ratios.knows("none")
    for at in range(MAX_MODELS + 5):
        ratios.note(f"m{at}", 1000, 1000)
    assert not ratios.knows("m")


def test_a_sample_is_the_texts_up_to_a_bound() -> None:
    assert sample(body(system="One")) == "One\nHello" and prose("x" * 40) == 10
    assert len(sample(body(system="x" * 100_000))) <= 32 * 1024 + 1


# ---- models

RECORDS = [
    {
        "id": "gpt-5.5",
        "object": "model",
        "airelays": {"display_name": "GPT", "context_window": 272},
    },
    {"id": "claude-x", "object": "model", "airelays": {}},
]


def test_names_that_claude_code_would_not_show_are_listed_twice() -> None:
    """Fact 10: it keeps only ids that begin with claude or anthropic."""
    page = page_of(all_entries(RECORDS, prefixed=True), {})
    assert [entry["id"] for entry in page["data"]] == ["gpt-5.5", "anthropic/gpt-5.5", "claude-x"]
    first = page["data"][0]
    assert (first["type"], first["object"], first["display_name"]) == ("model", "model", "GPT")
    assert first["max_input_tokens"] == 272 and first["created_at"].endswith("Z")
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("gpt-5.5", "claude-x", False)
    assert len(all_entries(RECORDS, prefixed=False)) == 2


def test_pages_of_models() -> None:
    entries = [{"id": f"m{at}"} for at in range(50)]

    def ids(**query: str) -> tuple[list[str], bool]:
        page = page_of(entries, query)
        return [entry["id"] for entry in page["data"]], page["has_more"]

    assert ids() == ([f"m{at}" for at in range(20)], True)
    assert ids(limit="2", after_id="m47") == (["m48", "m49"], False)
    assert ids(limit="2", before_id="m2") == (["m0", "m1"], False)
    assert ids(limit="2", before_id="m3") == (["m1", "m2"], True)
    assert page_of([], {})["first_id"] is None
    for query in ({"limit": "0"}, {"limit": "x"}, {"limit": "1001"}, {"after_id": "zz"}):
        with pytest.raises(ClientFault):
            page_of(entries, query)
