from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airelays.dialects.listing import MAX_ID_CHARS, MAX_LISTED, Listing, Source
from airelays.dialects.models import FoundModel, Index, find
from airelays.dialects.reply import chat_usage, read_usage
from airelays.errors import ClientFault
from airelays.model import Usage

CATALOGUE = json.loads(
    (Path(__file__).resolve().parents[1] / "samples" / "50_models.json").read_bytes()
)["models"]
SLUGS = ["synth-classic", "synth-lite", "synth-hidden"]


def list_body(catalogue: Sequence[Any], **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(Listing([Source("chatgpt", catalogue)], **more).body)
    return body


def test_one_body_serves_every_client() -> None:
    body = list_body(
        CATALOGUE, extra=["my-model", "SYNTH-LITE"], aliases={"fast": "Synth-Lite", "other": "gone"}
    )
    assert body["object"] == "list"
    assert [entry["id"] for entry in body["data"]] == [*SLUGS, "my-model", "fast", "other"]
    assert body["models"] == CATALOGUE
    first = body["data"][0]
    assert {key: first[key] for key in ("id", "object", "created", "owned_by")} == {
        "id": "synth-classic",
        "object": "model",
        "created": 0,
        "owned_by": "airelays-chatgpt",
    }
    more = first["airelays"]
    assert (more["display_name"], more["catalog_visibility"]) == ("SYNTH-CLASSIC", "list")
    assert more["reasoning"]["default"] == "medium"
    assert "medium" in more["reasoning"]["modes"]
    assert more["context_window"] == 272000
    fast = body["data"][4]["airelays"]
    assert (fast["resolved_model"], fast["discovery_source"]) == ("synth-lite", "alias")
    json.dumps(body)


def test_a_model_that_only_draws_is_listed_between_and_is_none_for_text() -> None:
    body = list_body([{"slug": "a"}], images=["draw"], extra=["b"], aliases={"c": "a"})
    assert [entry["id"] for entry in body["data"]] == ["a", "b", "draw", "c"]
    assert body["models"] == [{"slug": "a"}]
    more = body["data"][2]["airelays"]
    assert more["capabilities"]["routes"] == {
        "responses": False,
        "chat_completions": False,
        "completions": False,
        "images": True,
    }
    assert more["capabilities"]["tool_calls"] is False and "reasoning" not in more
    assert len(list_body([{"slug": "Draw"}], images=["draw"])["data"]) == 1
    with pytest.raises(ClientFault) as caught:
        find("Draw", Index([{"slug": "a"}]), images=["draw"])
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert caught.value.message == (
        "model 'Draw' only creates images; send it to POST /v1/images/generations or /v1/images/edits, or name a"
        " model for text: GET /v1/models lists all"
    )
    assert find("draw", Index([{"slug": "draw"}]), images=["draw"]).model == "draw"
    assert find("draw", Index([]), extra=["draw"], images=["draw"]).model == "draw"


def test_a_bare_or_broken_catalogue_is_listed_as_far_as_it_goes() -> None:
    entries: list[Any] = [
        {"slug": "a"},
        {"slug": "A", "x": 1},
        {},
        {"slug": 5},
        "x",
        None,
        {"slug": "b", "supported_reasoning_levels": [5, {"effort": 1}], "input_modalities": "x"},
    ]
    body = list_body(entries)
    assert [entry["id"] for entry in body["data"]] == ["a", "b"]
    assert body["data"][1]["airelays"]["reasoning"]["modes"] == []
    assert list_body([]) == {"object": "list", "data": [], "models": []}


class Counted(dict[str, Any]):
    """A catalogue's entry that counts how often it is looked at."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(key, default)


def many(count: int) -> list[Counted]:
    return [Counted(slug=f"model-{number}") for number in range(count)]


@pytest.mark.parametrize("count", [MAX_LISTED - 1, MAX_LISTED, MAX_LISTED + 1, 10 * MAX_LISTED])
def test_the_list_is_bounded_and_says_what_it_leaves_out(count: int) -> None:
    body = list_body(many(count))
    assert len(body["data"]) == len(body["models"]) == min(count, MAX_LISTED)
    left = max(0, count - MAX_LISTED)
    assert body.get("airelays") == ({"models_left_out": left} if left else None)


def test_what_the_user_wrote_is_listed_before_a_large_catalogue() -> None:
    body = list_body(many(MAX_LISTED), extra=["mine"], images=["draw"], aliases={"fast": "model-9"})
    ids = [one["id"] for one in body["data"]]
    assert len(ids) == MAX_LISTED and ids[-3:] == ["mine", "draw", "fast"]
    assert body["airelays"] == {"models_left_out": 3}


def test_a_second_upstream_has_what_room_is_left() -> None:
    sources = [
        Source("a", many(MAX_LISTED - 2)),
        Source("b", many(5), "b/"),
        Source("c", many(5), "c/"),
    ]
    listing = Listing(sources)
    ids = [one["id"] for one in json.loads(listing.body)["data"]]
    assert ids[-2:] == ["b/model-0", "b/model-1"] and listing.left_out == 8
    assert listing.model("C/Model-4")["id"] == "c/model-4"
    assert listing.model("c/model-4")["owned_by"] == "airelays-c"


@pytest.mark.parametrize("length", [MAX_ID_CHARS - 1, MAX_ID_CHARS, MAX_ID_CHARS + 1])
def test_an_id_that_is_too_long_is_not_listed_but_known(length: int) -> None:
    name = "m" * length
    body = list_body([{"slug": name}, {"slug": "a"}])
    listed = [name, "a"] if length <= MAX_ID_CHARS else ["a"]
    assert [one["id"] for one in body["data"]] == listed
    assert ("airelays" in body) == (length > MAX_ID_CHARS)
    assert Listing([Source("x", [{"slug": name}])]).model(name)["id"] == name
    assert find(name, Index([{"slug": name}])).model == name


def test_an_entry_that_json_cannot_carry_is_left_out() -> None:
    body = list_body([{"slug": "a"}, {"slug": "b", "x": float("nan")}])
    assert [one["id"] for one in body["data"]] == ["a"]
    assert body["airelays"] == {"models_left_out": 1}


def test_the_cost_of_a_large_catalogue_is_linear_and_of_an_unknown_name_bounded() -> None:
    looks = []
    for count in (10_000, 50_000):
        Counted.looks = 0
        listing = Listing([Source("x", many(count))])
        looks.append(Counted.looks)
        Counted.looks = 0
        with pytest.raises(ClientFault):
            listing.model("model")
        assert listing.model("MODEL-7777")["id"] == "model-7777"
        assert Counted.looks < 20  # one record
    # Each entry is looked at once to know its name; beyond that only what is listed.
    assert looks[1] - looks[0] == 40_000


@pytest.mark.parametrize(
    ("asked", "model", "listed"),
    [
        ("synth-classic", "synth-classic", True),
        ("SYNTH-Classic", "synth-classic", True),
        ("my-model", "my-model", False),
        ("fast", "synth-lite", True),
        ("FAST", "synth-lite", True),
        ("other", "unlisted", False),
    ],
)
def test_models_are_found_by_id_or_alias(asked: str, model: str, listed: bool) -> None:
    found = find(
        asked,
        Index(CATALOGUE),
        aliases={"fast": "synth-lite", "other": "unlisted"},
        extra=["My-Model"],
    )
    assert found.model.casefold() == model.casefold()
    assert (found.entry is not None) == listed
    assert isinstance(found, FoundModel)


def test_an_unknown_model_is_404_with_the_nearest_names() -> None:
    with pytest.raises(ClientFault) as caught:
        find("synth-clasic", Index(CATALOGUE), extra=["zzz"])
    fault = caught.value
    assert (fault.status, fault.code, fault.param) == (404, "model_not_found", "model")
    assert fault.message == (
        "model 'synth-clasic' does not exist; similar names are synth-classic, synth-lite, synth-hidden; "
        "GET /v1/models lists all"
    )


def test_an_unknown_model_without_a_likeness_names_some() -> None:
    with pytest.raises(ClientFault) as caught:
        find("q" * 5000, Index(CATALOGUE))
    assert "synth-classic" in caught.value.message
    assert len(caught.value.message) < 300
    with pytest.raises(ClientFault) as caught:
        find("x", Index([]))
    assert caught.value.message == (
        "model 'x' does not exist; the upstream lists none; GET /v1/models lists all"
    )


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        (None, None),
        ({}, None),
        ({"input_tokens": 1}, None),
        ({"input_tokens": 1, "output_tokens": -1}, None),
        ({"input_tokens": True, "output_tokens": 1}, None),
        ({"input_tokens": "1", "output_tokens": 1}, None),
        ({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2, 3)),
        ({"input_tokens": 1, "output_tokens": 2, "total_tokens": 9}, Usage(1, 2, 9)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            Usage(1, 2, 3, 1, 0, 2),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "input_tokens_details": [],
                "output_tokens_details": {"reasoning_tokens": None},
            },
            Usage(1, 2, 3),
        ),
    ],
)
def test_usage_is_read_or_absent_never_zero(value: Any, usage: Usage | None) -> None:
    assert read_usage(value) == usage


def test_usage_in_chat_words() -> None:
    assert chat_usage(Usage(1, 2, 3)) == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
    }
    assert chat_usage(Usage(1, 2, 3, 1, 0, 2)) == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
