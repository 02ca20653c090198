"""Response fields read by hand are the ones that h11 reads, and nothing that it refuses gets by."""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.errors import UpstreamFault
from airelays.protocol.http1 import parse_response_head

NAMES = st.sampled_from(
    [
        "Date",
        "x-request-id",
        "CONNECTION",
        "Content-Length",
        "transfer-encoding",
        "Set-Cookie",
        "a",
        "Upgrade",
    ]
)
VALUES = st.sampled_from(
    [
        "",
        " ",
        "5",
        "05",
        "5, 5",
        "chunked",
        "Chunked",
        "gzip",
        "close",
        "keep-alive, x",
        "caf\xe9",
        "\t a  b \t",
        "-1",
    ]
)
LINES = st.lists(st.tuples(NAMES, VALUES), max_size=6)
STATUS = st.sampled_from(
    ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 204 ", "HTTP/1.1 100 C", "HTTP/1.1 200"]
)


def with_h11(raw: bytes) -> Any:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    return tuple((bytes(name), bytes(value)) for name, value in event.headers)


@settings(max_examples=400, deadline=None)
@given(STATUS, LINES)
def test_fields_are_those_of_h11(line: Any, fields: Any) -> None:
    text = "\r\n".join([line, *(f"{name}:{value}" for name, value in fields), "", ""])
    raw = text.encode("latin-1")
    try:
        expected = with_h11(raw)
    except h11.ProtocolError:
        with pytest.raises(UpstreamFault):
            parse_response_head(raw, method="GET")
        return
    try:
        found = parse_response_head(raw, method="GET")
    except UpstreamFault:
        # We are stricter: repeated lengths, two codings.
        return
    # h11 writes the coding in lower case; here it stays as it came.
    assert tuple((n, v.lower()) for n, v in found.fields) == tuple(
        (n, v.lower()) for n, v in expected
    )


def test_head_without_fields_has_none() -> None:
    assert parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n", method="GET").fields == ()
