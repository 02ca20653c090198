"""The maps of Ollama's API: requests, streams, whole answers, lists."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from airelays.dialects.listing import Listing, Source
from airelays.dialects.ollama.listing import running, show, tags
from airelays.dialects.ollama.options import loads
from airelays.dialects.ollama.request import CHAT, GENERATE, Plan, from_ollama
from airelays.dialects.ollama.stream import OllamaStream
from airelays.dialects.ollama.whole import Meter, to_ollama
from airelays.dialects.stream.collect import Collector
from airelays.dialects.takes import Takes
from airelays.dialects.translated import ReplyOptions, Translated
from airelays.errors import ClientFault
from airelays.upstream.chatgpt.body import TAKES
from tests.dialects.test_anthropic_stream import added, call, completed, delta, done, sse
from tests.dialects.test_streams import GOOD, SAMPLES

OPTIONS = ReplyOptions(model="m:latest", stream=True)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
ANY = Takes(parameters=None)


def meter() -> Meter:
    ticks = iter(range(100, 100_000))
    return Meter(
        begun_s=99.0, now_s=1_800_000_000.25, clock=lambda: float(next(ticks)), prompt="hi"
    )


def translate(api: str = CHAT, takes: Takes = TAKES, **more: Any) -> tuple[Translated, Plan]:
    asked: dict[str, Any] = {"model": "m:latest"}
    if api == CHAT:
        asked["messages"] = [{"role": "user", "content": "hi"}]
    efforts = more.pop("efforts", ())
    return from_ollama({**asked, **more}, api, tools_allowed=True, takes=takes, efforts=efforts)


def made(**more: Any) -> dict[str, Any]:
    return translate(**more)[0].body


def refused(**more: Any) -> str:
    with pytest.raises(ClientFault) as found:
        translate(**more)
    assert found.value.status == 400
    return found.value.message


def stream(thoughts: bool = False, **how: Any) -> OllamaStream:
    options = how.pop("options", OPTIONS)
    plan = Plan(how.pop("api", CHAT), "m:latest", thoughts, how.pop("ids", True))
    return OllamaStream(options, plan, meter(), now_s=1.0, reply_id="r", **how)


def played(raw: bytes, **how: Any) -> list[dict[str, Any]]:
    reply = stream(**how)
    out = reply.feed(raw) + reply.end()
    if reply.failure is not None:
        out += reply.fail(reply.failure)
    assert out.endswith(b"\n")
    return [json.loads(one) for one in out.decode().splitlines()]


def said(lines: list[dict[str, Any]], name: str = "content") -> str:
    return "".join(one.get("message", one).get(name, "") for one in lines)


# ---- requests


def test_a_plain_request_streams_without_being_asked() -> None:
    translated, plan = translate()
    assert translated.options.stream and plan == Plan(CHAT, "m:latest")
    assert not translate(stream=False)[0].options.stream
    assert translated.body["input"][0]["content"] == [{"type": "input_text", "text": "hi"}]
    assert translated.ignored == ()


def test_options_become_parameters_and_the_rest_is_named() -> None:
    options = {
        "num_predict": 90,
        "temperature": 0.5,
        "stop": ["x"],
        "num_ctx": 4096,
        "seed": None,
        "mirostat": 1,
    }
    translated, _ = translate(takes=ANY, options=options, keep_alive="5m", truncate=True, odd=1)
    assert translated.body["max_output_tokens"] == 90
    assert translated.body["temperature"] == 0.5 and translated.options.stop == ("x",)
    assert translated.ignored == ("odd", "options.mirostat", "options.num_ctx")
    translated, _ = translate(options=options)
    assert set(translated.ignored) >= {"options.temperature"}
    for value in (-1, -2, 0):
        assert "max_output_tokens" not in made(takes=ANY, options={"num_predict": value})
    assert made(options=None) and made(options={})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ([], "options is an array"),
        ({"num_predict": "9"}, "options.num_predict"),
        ({"num_predict": True}, "options.num_predict"),
        ({"num_predict": 1.5}, "options.num_predict"),
        ({"temperature": "hot"}, "options.temperature"),
        ({"top_p": True}, "options.top_p"),
        ({"stop": 5}, "options.stop"),
        ({"stop": ["a", 5]}, "options.stop[1]"),
    ],
)
def test_bad_options(options: Any, word: str) -> None:
    assert word in refused(options=options)


def test_think() -> None:
    words = ("none", "low", "high", "xhigh")

    def asked(value: Any, efforts: tuple[str, ...] = words) -> tuple[Any, bool]:
        translated, plan = translate(think=value, efforts=efforts)
        return translated.body["reasoning"], plan.thoughts

    assert asked(None) == ({}, False)
    assert asked(True, ()) == ({"summary": "auto"}, True)
    assert asked(True, ("low", "high")) == ({"summary": "auto"}, True)
    assert asked(True)[0]["effort"] == "low"
    assert asked(True, ("none", "low", "medium"))[0]["effort"] == "medium"
    assert asked(False) == ({"effort": "none"}, False)
    assert asked(False, ("medium", "low")) == ({"effort": "low"}, False)
    assert asked(False, ()) == ({}, False)
    assert asked("low") == ({"summary": "auto", "effort": "low"}, True)
    assert asked("max")[0]["effort"] == "xhigh"
    assert asked("max", ())[0]["effort"] == "high"
    value: Any
    for value in ("ultra", 1, [], {}):
        assert "think is" in refused(think=value)


def test_format() -> None:
    assert "text" not in made(format="") and "text" not in made(format=None)
    translated, _ = translate(format="json")
    assert translated.body["text"]["format"] == {"type": "json_object"}
    assert "Answer with JSON." in json.dumps(translated.body["input"])
    assert "json_word_added" in translated.quirks
    asks = [{"role": "user", "content": "as JSON please"}]
    assert translate(format="json", messages=asks)[0].quirks == ()
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    form = made(format=schema)["text"]["format"]
    assert form["schema"] == schema and form["strict"] is False
    value: Any
    for value in ("xml", 5, []):
        assert "format is" in refused(format=value)


@pytest.mark.parametrize("value", [-1, "-1", "300s", "5m", "1h30m", 10, 1.5, "", True, {}, None])
def test_every_spelling_of_keep_alive_loads(value: Any) -> None:
    assert loads({"messages": [], "keep_alive": value}, CHAT) == "load"
    assert loads({"keep_alive": value}, GENERATE) == "load"
    assert made(keep_alive=value)


@pytest.mark.parametrize("value", [0, 0.0, "0", "0s", "0m", "0h0m0s"])
def test_keep_alive_zero_unloads(value: Any) -> None:
    assert loads({"messages": [], "keep_alive": value}, CHAT) == "unload"
    assert loads({"prompt": "", "keep_alive": value}, GENERATE) == "unload"
    assert loads({"prompt": "hi", "keep_alive": value}, GENERATE) == ""


def test_images_are_bare_base64_whose_type_their_bytes_say() -> None:
    content = made(messages=[{"role": "user", "content": "see", "images": [PNG]}])["input"][0][
        "content"
    ]
    assert content[1]["image_url"] == f"data:image/png;base64,{PNG}"
    content = made(api=GENERATE, prompt="", images=[PNG])["input"][0]["content"]
    assert [part["type"] for part in content] == ["input_image"]
    for bad in ("@@@", base64.b64encode(b"hello, no image").decode(), 5, ""):
        assert "messages[0].images[0]" in refused(messages=[{"role": "user", "images": [bad]}])
    assert "images[0]" in refused(api=GENERATE, prompt="x", images=["@@@"])


def calls(*names: str, **ids: str) -> dict[str, Any]:
    listed = [
        {
            "function": {"name": name, "arguments": {"x": 1}},
            **({"id": ids[name]} if name in ids else {}),
        }
        for name in names
    ]
    return {"role": "assistant", "content": None, "tool_calls": listed}


def outputs(*messages: dict[str, Any]) -> list[tuple[str, Any]]:
    user = {"role": "user", "content": "go"}
    found = made(messages=[user, *messages])["input"]
    return [
        (one["call_id"], one["output"]) for one in found if one["type"] == "function_call_output"
    ]


def test_tool_messages_find_their_calls_by_id_then_name_then_order() -> None:
    def out(text: str, **more: Any) -> dict[str, Any]:
        return {"role": "tool", "content": text, **more}

    # Home Assistant sends neither ids nor names.
    assert outputs(calls("a", "b"), out("1"), out("2")) == [("call_1", "1"), ("call_2", "2")]
    named = (out("2", tool_name="b"), out("1", tool_name="a"))
    assert outputs(calls("a", "b"), *named) == [("call_2", "2"), ("call_1", "1")]
    by_id = (out("2", tool_call_id="y"), out("1", tool_call_id="x"))
    assert outputs(calls("a", "b", a="x", b="y"), *by_id) == [("y", "2"), ("x", "1")]
    # Ids that the client's library dropped from the calls.
    lost = (out("1", tool_call_id="gone"), out("2", tool_call_id="gone2"))
    assert outputs(calls("a", "a"), *lost) == [("call_1", "1"), ("call_2", "2")]
    assert outputs(calls("a"), out("1"), calls("a"), out("2"))[1] == ("call_2", "2")
    ((_, parts),) = outputs(calls("a"), out("see", images=[PNG]))
    assert [part["type"] for part in parts] == ["input_text", "input_image"]
    assert "output of a tool" in refused(messages=[out("1")])


@pytest.mark.parametrize("arguments", ["[1]", "no json", 5, [1]])
def test_arguments_that_are_not_an_object(arguments: Any) -> None:
    bad = {"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": arguments}}]}
    assert "tool_calls[0].function.arguments" in refused(messages=[bad])


@pytest.mark.parametrize(
    ("messages", "word"),
    [
        (None, "messages is missing"),
        ("x", "messages is"),
        ([5], "messages[0]"),
        ([{}], "messages[0].role"),
        ([{"role": 5}], "messages[0].role"),
        ([{"role": "robot", "content": "x"}], "messages[0].role"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content"),
        ([{"role": "assistant", "tool_calls": [{}]}], "tool_calls[0].function"),
    ],
)
def test_bad_messages(messages: Any, word: str) -> None:
    assert word in refused(messages=messages)


def test_generate() -> None:
    body = made(api=GENERATE, prompt="hi", system="be brief", context=[1, 2])
    assert body["instructions"] == "be brief"
    assert "suffix" in refused(api=GENERATE, prompt="x", suffix="y")
    assert "prompt is 5" in refused(api=GENERATE, prompt=5)
    assert translate(api=GENERATE, prompt="x", raw=True, context=[1])[0].ignored == (
        "context",
        "raw",
    )


# ---- answers


@pytest.mark.parametrize("thoughts", [True, False])
@pytest.mark.parametrize("api", [CHAT, GENERATE])
@pytest.mark.parametrize("name", [n for n in GOOD if not n.startswith(("05", "06"))])
def test_a_stream_says_what_the_whole_answer_says(name: str, api: str, thoughts: bool) -> None:
    lines = played(SAMPLES[name], thoughts=thoughts, api=api)
    assert lines == played(SAMPLES[name], thoughts=thoughts, api=api, fast=False)
    collector = Collector(now_s=7.9, reply_id="ours", model="asked")
    collector.feed(SAMPLES[name])
    collector.end()
    whole = to_ollama(collector.result(), OPTIONS, Plan(api, "m:latest", thoughts), meter())
    *pieces, last = lines
    assert not any(one["done"] for one in pieces) and last["done"] is True
    key = "content" if api == CHAT else "response"
    assert said(lines, key) == whole.get("message", whole)[key]
    assert said(lines, "thinking") == whole.get("message", whole).get("thinking", "")
    called = [call for one in pieces for call in one.get("message", {}).get("tool_calls", [])]
    assert called == whole.get("message", {}).get("tool_calls", [])
    for end in (last, whole):
        assert end["model"] == "m:latest" and end["created_at"].endswith("Z")
        assert end["done_reason"] == whole["done_reason"]
        counts = [v for k, v in end.items() if k.endswith(("_count", "_duration"))]
        assert len(counts) == 6 and all(type(v) is int and v > 0 for v in counts)


def test_counters_are_those_of_the_upstream() -> None:
    usage = {"input_tokens": 12, "output_tokens": 34, "total_tokens": 46}
    last = played(sse(delta("output_text", 0, "hi"), completed(usage=usage)))[-1]
    assert (last["prompt_eval_count"], last["eval_count"]) == (12, 34)
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    assert abs(last["total_duration"] - sum(last[name] for name in parts)) < 4


def test_calls_come_whole_and_in_their_order() -> None:
    raw = sse(
        added(0, **call(0)),
        added(1, **call(1, "b")),
        delta("function_call_arguments", 0, '{"x"'),
        delta("function_call_arguments", 0, ":1}"),
        done(0, **call(0), arguments='{"x":1}'),
        done(1, **call(1, "b"), arguments=""),
        completed(),
    )
    first, second, last = played(raw)
    assert first["message"] == {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "call_0", "function": {"index": 0, "name": "a", "arguments": {"x": 1}}}
        ],
    }
    assert second["message"]["tool_calls"][0]["function"] == {
        "index": 1,
        "name": "b",
        "arguments": {},
    }
    assert last["done_reason"] == "stop"
    assert list(played(raw, ids=False)[0]["message"]["tool_calls"][0]) == ["function"]


@pytest.mark.parametrize("arguments", ['{"x":', "[1]", '"text"', "NaN"])
def test_arguments_without_an_object_end_the_stream_with_an_error(arguments: str) -> None:
    raw = sse(added(0, **call(0)), done(0, **call(0), arguments=arguments), completed())
    lines = played(raw)
    assert list(lines[-1]) == ["error"] and "not a JSON object" in lines[-1]["error"]
    assert not any(one.get("done") for one in lines)


@pytest.mark.parametrize("name", GOOD)
def test_a_stream_cut_anywhere_never_ends_as_a_success(name: str) -> None:
    sample = SAMPLES[name]
    for cut in range(0, len(sample) - 2, 97):
        lines = played(sample[:cut])
        assert list(lines[-1]) == ["error"]
        assert not any(one.get("done") for one in lines)


def test_length_and_a_stop_sequence() -> None:
    assert played(SAMPLES["10_incomplete_max_output_tokens"])[-1]["done_reason"] == "length"
    raw = sse(delta("output_text", 0, "one two"), delta("output_text", 0, " three"), completed())
    reply = stream(options=OPTIONS._replace(stop=("two",)))
    lines = [json.loads(one) for one in (reply.feed(raw) + reply.end()).splitlines()]
    assert said(lines) == "one " and lines[-1]["done_reason"] == "stop"


def test_a_keep_alive_belongs_to_the_line_behind_it() -> None:
    reply = stream()
    out = reply.ping() + reply.feed(sse(delta("output_text", 0, "x"))) + reply.ping()
    out += reply.feed(sse(completed()))
    assert [json.loads(one)["done"] for one in out.splitlines()] == [False, True]


# ---- lists


def test_the_list_has_all_that_strict_decoders_want() -> None:
    entries: list[dict[str, Any]] = [
        {
            "slug": "gpt",
            "context_window": 400_000,
            "supported_reasoning_levels": [{"effort": "low"}],
        },
        {"slug": "own:8b", "input_modalities": ["text"]},
    ]
    records = Listing([Source("chatgpt", entries)]).records()
    found = tags(records, 1_800_000_000.0)["models"]
    assert [one["name"] for one in found] == ["gpt:latest", "own:8b"]
    for one in found:
        assert one["name"] == one["model"] and one["size"] == 0 and len(one["digest"]) == 64
        assert one["details"]["parameter_size"] == one["details"]["quantization_level"] == ""
    assert found[0]["capabilities"] == ["completion", "tools", "vision", "thinking"]
    assert found[1]["capabilities"] == ["completion", "tools"]
    facts = show(records[0], 1.0)
    info = facts["model_info"]
    assert info["general.basename"] == "gpt"
    assert info[info["general.architecture"] + ".context_length"] == 400_000
    assert facts["parameters"] == "num_ctx 400000"
    assert show(records[1], 1.0)["model_info"]["relay.context_length"] == 128_000
    (used,) = running(records, {"gpt": 1_800_000_300.0})["models"]
    assert used["name"] == "gpt:latest" and used["context_length"] == 400_000


def test_an_answer_in_one_piece_shares_its_time() -> None:
    now_s = iter([10.0, 12.0])
    meter = Meter(begun_s=9.0, now_s=0.0, clock=lambda: next(now_s))
    counts = meter.counts(None, 3)
    assert (counts["prompt_eval_duration"], counts["eval_duration"]) == (10**9, 10**9)
