from __future__ import annotations

import json
import json.encoder
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.errors import ClientFault
from airelays.protocol.jsonio import (
    LONG_BYTES,
    MAX_DEPTH,
    compact_encoder,
    decode_with,
    dumps,
    dumps_large,
    loads_object,
)


def load(raw: bytes | bytearray, max_bytes: int = 10_000) -> dict[str, Any]:
    return loads_object(raw, max_bytes=max_bytes)


def nested(depth: int) -> bytes:
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"", {}),
        (b" \r\n\t", {}),
        (b"\xef\xbb\xbf", {}),
        (b"{}", {}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":1.5e3,"b":-0,"c":null,"d":true}', {"a": 1500.0, "b": 0, "c": None, "d": True}),
        ('{"a":"\u00e9\u2028"}'.encode(), {"a": "\u00e9\u2028"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":"\\ud83d"}', {"a": "\ufffd"}),
        (b'{"\\uDE00":["x\\uDBFF\\u0041"]}', {"\ufffd": ["x\ufffdA"]}),
        (b'{"a":"\\ud83d\\ud83d\\ude00"}', {"a": "\ufffd\U0001f600"}),
        (b'{"a":"\\ud83d\\ude00\\ude00"}', {"a": "\U0001f600\ufffd"}),
        (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),
    ],
)
def test_what_is_an_object_is_read(raw: bytes, value: dict[str, Any]) -> None:
    assert load(raw) == value
    dumps(load(raw))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"[]", "request body is a JSON array; expected a JSON object"),
        (b"null", "request body is null; expected a JSON object"),
        (b'"x"', "request body is a JSON string; expected a JSON object"),
        (b"1", "request body is a JSON number; expected a JSON object"),
        (b"true", "request body is a JSON boolean; expected a JSON object"),
        (
            b'{"a":}',
            "request body is not valid JSON: Expecting value at line 1, column 6",
        ),
        (b"{", None),
        (b"{'a':1}", None),
        (b'{"a":1,}', None),
        (b'{"a":1}x', None),
        (b'{"a":"\n"}', None),
        (b'{"a":01}', None),
        (b'{"a":"\\x"}', None),
        (b"\xff\xfe{\x00}\x00", None),
        (
            b'{"a":"\xff"}',
            "request body is not UTF-8: byte 6 does not start a character; send UTF-8",
        ),
        (b'{"a":"\xed\xa0\x80"}', None),
        (
            b'{"a":NaN}',
            "request body contains NaN, which is not JSON; send a finite number or null",
        ),
        (b'{"a":-Infinity}', None),
        (
            b'{"a":1e999}',
            "request body contains the number 1e999, which does not fit a double; send a smaller one",
        ),
        (
            b'{"a":' + b"9" * 4301 + b"}",
            "request body contains an integer of more than 4,300 digits; send a shorter one",
        ),
        (
            nested(129),
            "request body nests arrays and objects deeper than 128 levels; at most 128 are accepted",
        ),
        (b"[" * 5000, None),
        (b'{"a":' * 1500, None),
        (b"[" * 3000 + b"]" * 3000, None),
        (b"}" * 200 + b"{" * 200, None),
    ],
)
def test_what_is_not_is_a_client_fault(raw: bytes, message: str | None) -> None:
    with pytest.raises(ClientFault) as caught:
        load(raw)
    assert caught.value.status == 400
    assert message is None or caught.value.message == message


@pytest.mark.parametrize("depth", [127, 128])
def test_nesting_up_to_the_bound_is_read(depth: int) -> None:
    assert load(nested(depth))


def test_brackets_inside_strings_do_not_count_as_nesting() -> None:
    value = {"a": "[{" * 500, "b\\": '"[' * 200, 'c\\"': ["\\"] * 3, "d": "\\\\[" * 200}
    assert load(json.dumps(value).encode()) == value


def test_many_flat_objects_do_not_count_as_nesting() -> None:
    assert len(load(b'{"a":[' + b",".join([b"{}"] * 1000) + b"]}")["a"]) == 1000


def test_integers_of_4300_digits_are_read() -> None:
    assert load(b'{"a":' + b"9" * 4300 + b"}")["a"] == int("9" * 4300)


@pytest.mark.parametrize(("size", "fits"), [(99, True), (100, True), (101, False)])
def test_size_is_bounded_exactly(size: int, fits: bool) -> None:
    raw = b'{"a":"' + b"x" * (size - 8) + b'"}'
    assert len(raw) == size
    if fits:
        assert load(raw, 100)
        return
    with pytest.raises(ClientFault) as caught:
        load(raw, 100)
    assert caught.value.status == 413
    assert caught.value.message == ("request body is 101 bytes; this route accepts at most 100")


def test_a_bytearray_is_read_like_bytes() -> None:
    raw = bytearray(json.dumps({"a": "[" * 300, "b\\": [[]] * 200}).encode())
    assert load(raw) == load(bytes(raw))


def test_written_json_is_compact_ascii() -> None:
    assert dumps({"a": ["\u2028", "\ud800"], "b": None}) == b'{"a":["\\u2028","\\ud800"],"b":null}'


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_an_object_or_a_client_fault(raw: bytes) -> None:
    with suppress(ClientFault):
        assert isinstance(load(raw), dict)


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:\\ud8dc01eE-+.nulltrueNaN \n', max_size=60))
def test_near_json_is_an_object_or_a_client_fault(text: str) -> None:
    with suppress(ClientFault):
        dumps(load(text.encode()))


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), _VALUES))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    assert loads_object(dumps(value), max_bytes=1 << 20) == value


LONG = "A" * (LONG_BYTES + 1)


@pytest.mark.parametrize(
    "value",
    [
        {"a": LONG},
        {"a": [{"b": [{"c": {"url": LONG}}]}, LONG, 1, None], LONG: LONG},
        {"a": LONG + '"'},
        {"a": LONG + "\\"},
        {"a": LONG + "\n"},
        {"a": LONG + "\x1f"},
        {"a": LONG + "\x7f"},
        {"a": LONG + "ü"},
        {"a": LONG[:-1], "b": LONG, "c": "\x00 \ufffd \\ud800"},
        {"a": [[[[[[[LONG]]]]]]]},
        {"a": "\ud800", "b": LONG},
        {"a": LONG, "b": 1.5, "c": [True, False]},
        {},
        [LONG],
    ],
    ids=range(14),
)
def test_large_values_are_encoded_as_all_others(value: object) -> None:
    assert dumps_large(value) == dumps(value)


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        st.none()
        | st.integers()
        | st.text(max_size=5)
        | st.sampled_from([LONG, LONG + "é", LONG + '"']),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_large_values_at_random_are_encoded_as_all_others(value: object) -> None:
    assert dumps_large(value) == dumps(value)


def test_a_large_value_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(ClientFault, match="nests too deeply"):
        dumps_large({"a": LONG, "b": float("nan")})


@pytest.mark.parametrize("count, good", [(MAX_DEPTH, True), (MAX_DEPTH + 1, False)])
@pytest.mark.parametrize("padding", [0, LONG_BYTES])
def test_depth_is_bounded_in_short_and_long_bodies(count: int, good: bool, padding: int) -> None:
    inner = b"[" * (count - 1) + b"]" * (count - 1)
    raw = b'{"p":"' + b"x" * padding + b'","a":' + inner + b"}"
    if good:
        assert "a" in loads_object(raw, max_bytes=1 << 20)
    else:
        with pytest.raises(ClientFault, match="nests arrays and objects deeper than 128 levels"):
            loads_object(raw, max_bytes=1 << 20)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def result_of(call: Callable[[], Any]) -> Any:
    """Return what `call` returns, or how it fails."""
    try:
        return call()
    except ValueError as error:
        return type(error), str(error)


@pytest.mark.parametrize("allow_nan", [True, False])
@given(value=JSON_VALUES)
def test_the_kept_encoder_writes_what_json_writes(allow_nan: bool, value: Any) -> None:
    encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=allow_nan)
    kept = compact_encoder(allow_nan=allow_nan)
    assert result_of(lambda: "".join(kept(value, 0))) == result_of(lambda: encoder.encode(value))


def test_without_the_c_encoder_json_itself_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    kept = compact_encoder(allow_nan=True)
    assert "".join(kept({"a": [1, "\u00e9"]}, 0)) == '{"a":[1,"\\u00e9"]}'


@given(
    value=JSON_VALUES,
    before=st.sampled_from(["", " ", "\r\n\t", "\u00a0", "x"]),
    after=st.sampled_from(["", "\n", " \t\r\n", "\u00a0", ",", "{}"]),
)
def test_the_short_way_reads_what_json_reads(value: Any, before: str, after: str) -> None:
    decoder = json.JSONDecoder(parse_constant=str)
    text = before + json.dumps(value) + after
    short = decode_with(decoder)
    assert result_of(lambda: short(text)) == result_of(lambda: decoder.decode(text))
