"""What the user's rules make of a request, in each API's own spelling."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.rules import apply_rules, rules_for
from airelays.settings.values import Rule


def applied(
    rule: Rule, body: dict[str, Any], api: str = "chat"
) -> tuple[dict[str, Any], list[str]]:
    before = repr(body)
    found = apply_rules([rule], body, api)
    assert repr(body) == before
    return found


def test_set_default_strip_and_cap() -> None:
    rule = Rule(
        set=(("temperature", 0.2),),
        default=(("top_p", 0.9), ("seed", 1)),
        strip=("user",),
        cap=(("max_output_tokens", 100), ("top_logprobs", 3)),
    )
    body = {"model": "m", "temperature": 2, "seed": 7, "user": "u", "max_tokens": 500}
    assert applied(rule, body) == (
        {"model": "m", "seed": 7, "top_p": 0.9, "temperature": 0.2, "max_completion_tokens": 100},
        ["strip user", "default top_p", "set temperature", "cap max_output_tokens"],
    )


@pytest.mark.parametrize(
    ("api", "before", "after"),
    [
        ("chat", {"reasoning_effort": "high"}, {"reasoning_effort": "low"}),
        ("completions", {"reasoning_effort": "high"}, {"reasoning_effort": "low"}),
        (
            "responses",
            {"reasoning": {"effort": "high", "summary": "auto"}},
            {"reasoning": {"effort": "low", "summary": "auto"}},
        ),
        ("messages", {"output_config": {"effort": "max"}}, {"output_config": {"effort": "low"}}),
        (
            "messages",
            {"thinking": {"type": "enabled", "budget_tokens": 30_000}},
            {
                "thinking": {"type": "enabled", "budget_tokens": 30_000},
                "output_config": {"effort": "low"},
            },
        ),
        ("messages", {}, {}),
        ("messages", {"thinking": 5}, {"thinking": 5}),
        ("ollama_chat", {"think": "max"}, {"think": "low"}),
        ("ollama_generate", {"think": True}, {"think": "low"}),
        ("ollama_chat", {"think": False}, {"think": False}),
        ("ollama_chat", {}, {}),
        ("embeddings", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ("chat", {"reasoning_effort": "minimal"}, {"reasoning_effort": "minimal"}),
        ("chat", {}, {}),
    ],
)
def test_effort_is_capped_by_its_order(
    api: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert applied(Rule(cap=(("reasoning_effort", "low"),)), before, api)[0] == after


@pytest.mark.parametrize(
    ("api", "name"),
    [
        ("chat", "max_completion_tokens"),
        ("completions", "max_tokens"),
        ("responses", "max_output_tokens"),
        ("messages", "max_tokens"),
    ],
)
def test_an_answer_without_a_limit_gets_the_cap(api: str, name: str) -> None:
    rule = Rule(cap=(("max_output_tokens", 100),))
    assert applied(rule, {}, api) == ({name: 100}, ["cap max_output_tokens"])
    assert applied(rule, {name: 101}, api)[0] == {name: 100}
    assert applied(rule, {name: 100}, api) == ({name: 100}, [])


def test_ollama_has_its_parameters_in_its_options() -> None:
    rule = Rule(
        set=(("temperature", 0.2), ("reasoning_effort", "none"), ("user", "u")),
        default=(("top_k", 5),),
        strip=("stop",),
        cap=(("max_output_tokens", 100),),
    )
    body = {"model": "m", "options": {"stop": "x", "num_predict": -1, "num_ctx": 9}, "think": "max"}
    options = {"num_ctx": 9, "top_k": 5, "temperature": 0.2, "num_predict": 100}
    done = [
        "strip stop",
        "default top_k",
        "set temperature",
        "set reasoning_effort",
        "cap max_output_tokens",
    ]
    for api in ("ollama_chat", "ollama_generate"):
        assert applied(rule, body, api) == (
            {"model": "m", "options": options, "think": False},
            done,
        )
    assert applied(Rule(cap=(("max_output_tokens", 100),)), {}, "ollama_chat")[0] == {
        "options": {"num_predict": 100}
    }


@pytest.mark.parametrize(
    ("effort", "word"), [("none", "low"), ("minimal", "low"), ("xhigh", "xhigh")]
)
def test_an_effort_is_set_in_the_words_of_the_api(effort: str, word: str) -> None:
    rule = Rule(set=(("reasoning_effort", effort),))
    assert applied(rule, {}, "messages")[0] == {"output_config": {"effort": word}}
    assert applied(Rule(set=(("reasoning_effort", "xhigh"),)), {}, "ollama_chat")[0] == {
        "think": "max"
    }


def test_values_that_are_no_numbers_are_left_to_the_checks_behind() -> None:
    rule = Rule(cap=(("temperature", 1),))
    for value in ("2", True, None, [2]):
        assert applied(rule, {"temperature": value}) == ({"temperature": value}, [])


def test_nested_values_are_made_and_taken() -> None:
    rule = Rule(set=(("verbosity", "low"),), strip=("reasoning_effort",))
    body = {"reasoning": {"effort": "high"}, "text": {"format": {"type": "text"}}}
    assert applied(rule, body, "responses")[0] == {
        "reasoning": {},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
    }
    assert applied(rule, {"text": "odd"}, "responses")[0] == {"text": {"verbosity": "low"}}
    assert applied(Rule(set=(("stop", ("a",)),)), {}, "messages")[0] == {"stop_sequences": ["a"]}


def test_a_rule_is_for_its_upstream_and_its_models() -> None:
    one, two = Rule(upstream="local", strip=("n",)), Rule(model="QWEN*", strip=("n",))
    every = Rule(strip=("n",))
    rules = [one, two, every]
    assert rules_for(rules, "local", ("fast", "llama")) == [one, every]
    assert rules_for(rules, "chatgpt", ("fast", "qwen3")) == [two, every]
