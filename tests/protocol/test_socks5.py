"""SOCKS5 as bytes: what is sent, and what is made of every answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.protocol.socks5 import (
    SocksError,
    check_password_reply,
    chosen_method,
    connect_request,
    greeting,
    password_request,
    rest_of_reply,
)


def test_what_is_sent() -> None:
    assert greeting(with_password=False) == b"\x05\x01\x00"
    assert greeting(with_password=True) == b"\x05\x02\x00\x02"
    assert password_request(b"me", b"p:1") == b"\x01\x02me\x03p:1"
    assert connect_request("far.test", 443) == b"\x05\x01\x00\x03\x08far.test\x01\xbb"
    assert connect_request("127.0.0.1", 80) == b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50"
    assert (
        connect_request("::1", 1)[:4] == b"\x05\x01\x00\x04"
        and len(connect_request("::1", 1)) == 22
    )
    connect_request("a" * 255, 1)
    with pytest.raises(SocksError, match="256 bytes"):
        connect_request("a" * 256, 1)


def test_the_length_of_a_reply_is_known_from_its_first_five_bytes() -> None:
    assert rest_of_reply(b"\x05\x00\x00\x01\x7f") == 5
    assert rest_of_reply(b"\x05\x00\x00\x04\x00") == 17
    assert rest_of_reply(b"\x05\x00\x00\x03\x04") == 6
    assert rest_of_reply(b"\x05\x00\x00\x03\x00") == 2


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b"HT", "does not speak SOCKS5"),
        (b"", "does not speak SOCKS5"),
        (b"\x05", "does not speak SOCKS5"),
        (b"\x05\xff", "requires credentials"),
        (b"\x05\x02", "not offered"),
        (b"\x05\x01", "not offered"),
    ],
)
def test_a_proxy_that_wants_something_else(reply: bytes, said: str) -> None:
    with pytest.raises(SocksError, match=said):
        chosen_method(reply, with_password=False)


def test_refusals_are_named() -> None:
    with pytest.raises(SocksError, match="refused the user name"):
        check_password_reply(b"\x01\x01")
    check_password_reply(b"\x01\x00")
    with pytest.raises(SocksError, match="rules do not allow it"):
        rest_of_reply(b"\x05\x02\x00\x01\x00")
    with pytest.raises(SocksError, match="code 99"):
        rest_of_reply(b"\x05\x63\x00\x01\x00")
    with pytest.raises(SocksError, match="no usable answer"):
        rest_of_reply(b"\x05\x00\x00\x09\x00")


@given(st.binary(max_size=8))
def test_garbage_is_a_sentence(garbage: bytes) -> None:
    for read in (
        rest_of_reply,
        check_password_reply,
        lambda raw: chosen_method(raw, with_password=True),
    ):
        try:
            read(garbage)
        except SocksError as error:
            assert "\n" not in str(error)
