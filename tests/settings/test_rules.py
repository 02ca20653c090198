"""`[[rules]]`: what is accepted, and the sentence for what is not."""

from __future__ import annotations

import pytest

from airelays.errors import ConfigError
from airelays.settings.load import load
from airelays.settings.parse import Places
from airelays.settings.rules import EFFORTS, PARAMETERS
from airelays.settings.values import Rule, Settings


def loaded(text: str) -> Settings:
    return load(text, "c.toml", {}, {}, places=Places(home="/h", cwd="/")).settings


def test_rules_are_read_in_their_order() -> None:
    found = loaded(
        '[[rules]]\nmodel = "qwen*"\nset = { temperature = 0.2, stop = ["a", "b"] }\n'
        '[[rules]]\nupstream = "chatgpt"\nstrip = ["seed"]\ncap = { reasoning_effort = "low" }\n'
    ).rules
    assert found == (
        Rule(model="qwen*", set=(("temperature", 0.2), ("stop", ("a", "b")))),
        Rule(upstream="chatgpt", strip=("seed",), cap=(("reasoning_effort", "low"),)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules = 3", "c.toml: rules is 3; expected tables, written [[rules]]"),
        ("[[rules]]", "rules[0] does nothing; add set, default, strip or cap"),
        ("[[rules]]\nsets = {}", "rules[0].sets is unknown; expected one of upstream, model, set"),
        (
            "[[rules]]\nset = { heat = 1 }",
            'rules[0].set contains "heat", which is not a known parameter',
        ),
        (
            "[[rules]]\nstrip = ['messages']",
            'strip contains "messages", which is not a known parameter',
        ),
        ("[[rules]]\nstrip = 'seed'", 'strip is "seed"; expected a list of parameters'),
        ("[[rules]]\nset = { temperature = 'hot' }", 'temperature is "hot"; expected a number'),
        ("[[rules]]\nset = { temperature = nan }", "temperature is NaN; expected a number"),
        ("[[rules]]\nset = { seed = true }", "seed is true; expected a whole number"),
        ("[[rules]]\ncap = { user = 'x' }", "cap.user cannot be capped; expected one of"),
        ("[[rules]]\ncap = { max_output_tokens = 0 }", "max_output_tokens is 0; expected a whole"),
        (
            "[[rules]]\ncap = { reasoning_effort = 'big' }",
            'reasoning_effort is "big"; expected none',
        ),
        ("[[rules]]\nset = { seed = 1 }\nstrip = ['seed']", "strips seed and gives it a value"),
        (
            "[[rules]]\nupstream = 'no'\nstrip = ['seed']",
            'upstream is "no"; expected one of chatgpt',
        ),
        ("[[rules]]\nmodel = 3\nstrip = ['seed']", "rules[0].model is 3; expected a string"),
        ("[[rules]]\nset = [1]", "expected a table such as { temperature = 0.2 }"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_every_effort_and_parameter_is_lower_case() -> None:
    assert all(name == name.lower() for name in (*EFFORTS, *PARAMETERS))
