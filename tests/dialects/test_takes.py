"""dialects.takes: one table of parameters, and what an upstream takes of them."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.chat_server.request import chat_request
from airelays.dialects.takes import COLUMNS, Takes, fit
from airelays.dialects.translated import Notes
from airelays.errors import ClientFault
from airelays.upstream.chatgpt.body import TAKES
from tests.fakes.maps import from_chat, from_completion, from_responses

ALL = Takes()
SAMPLING = {
    "temperature": 0.3,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": 1,
    "user": "me",
    "seed": 7,
}
ASKS: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "responses": {"model": "m", "input": "x"},
    "completions": {"model": "m", "prompt": "x"},
}


def translate(api: str, takes: Takes, **more: Any) -> Any:
    body = {**ASKS[api], **more}
    if api == "chat":
        return from_chat(body, tools_allowed=True, takes=takes)
    if api == "completions":
        return from_completion(body, takes=takes)
    return from_responses(body, tools_allowed=True, codex=False, takes=takes)


@pytest.mark.parametrize("api", ASKS)
def test_an_upstream_that_takes_everything_gets_everything(api: str) -> None:
    made = translate(api, ALL, **SAMPLING, top_k=40, metadata={"a": "b"})
    assert {name: made.body[name] for name in SAMPLING} == SAMPLING
    assert (made.body["top_k"], made.body["metadata"]) == (40, {"a": "b"})
    assert made.ignored == ()


@pytest.mark.parametrize("api", ASKS)
def test_an_upstream_with_a_list_gets_no_more_and_the_rest_is_named(api: str) -> None:
    made = translate(api, TAKES, **SAMPLING, zzz=1, aaa=1)
    assert not made.body.keys() & SAMPLING.keys()
    usual = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "seed")
    assert made.ignored == (*usual, "aaa", "zzz")


@pytest.mark.parametrize("api", ASKS)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_small_output_limit_is_raised_only_for_who_refuses_it(api: str, name: str) -> None:
    made = translate(api, ALL, **{name: 5})
    assert (made.body["max_output_tokens"], made.quirks) == (5, ())
    made = translate(api, TAKES, **{name: 5})
    assert (made.body["max_output_tokens"], made.quirks) == (16, ("max_tokens_raised_to_16",))


def test_what_a_model_was_found_to_refuse_is_left_out_and_named() -> None:
    takes = TAKES._replace(refused=frozenset({"max_output_tokens", "service_tier"}))
    made = translate("chat", takes, max_tokens=50, service_tier="flex", temperature=1)
    assert not made.body.keys() & {"max_output_tokens", "service_tier"}
    assert made.ignored == ("max_output_tokens", "service_tier", "temperature")


@pytest.mark.parametrize("api", ASKS)
def test_a_parameter_that_changes_the_answer_is_refused_where_it_is_not_taken(api: str) -> None:
    assert translate(api, ALL, logit_bias={"5": 1}).body["logit_bias"] == {"5": 1}
    with pytest.raises(ClientFault) as caught:
        translate(api, TAKES, logit_bias={"5": 1})
    assert (caught.value.param, caught.value.code) == ("logit_bias", "unsupported_parameter")
    assert caught.value.message.endswith("which the upstream cannot honor; remove it")
    assert translate(api, TAKES, logit_bias={}).ignored == ()


def test_stop_goes_on_where_it_is_taken_and_needs_no_word_elsewhere() -> None:
    assert translate("chat", ALL, stop=["END"]).body["stop"] == ["END"]
    made = translate("chat", TAKES, stop=["END"])
    assert "stop" not in made.body and made.ignored == () and made.options.stop == ("END",)


def test_every_row_and_column_of_the_table_has_a_known_word() -> None:
    known = {"read", "own", "pass", "help", "name", "must", "never", "chat"}
    assert {word for column in COLUMNS.values() for word in column.values()} == known
    assert set(COLUMNS) == {"chat", "responses", "completions", "server"}


def test_a_chat_server_gets_what_a_responses_client_asks() -> None:
    made = translate("responses", ALL, **SAMPLING, max_output_tokens=5, top_k=3, truncation="auto")
    chat = chat_request(made.body)
    assert {name: chat.body[name] for name in SAMPLING} == SAMPLING
    assert (chat.body["max_tokens"], chat.body["top_k"]) == (5, 3)
    assert chat.ignored == ("truncation",)


def test_names_stand_before_what_the_map_itself_left_out() -> None:
    notes = Notes()
    notes.ignored.append("reasoning.odd")
    body = {"z": 1, "user": 1, "a": 1, "top_p": 1, "model": "m", "temperature": 0}
    fit(body, {"model": "m"}, notes, api="chat", takes=TAKES)
    assert notes.ignored == ["temperature", "top_p", "user", "a", "z", "reasoning.odd"]
