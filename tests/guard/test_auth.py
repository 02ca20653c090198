"""guard.auth: where the token may stand, and how it is compared."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest

from airelays.errors import ClientFault
from airelays.guard.auth import credentials, fingerprint, matches
from airelays.model import RequestHead


def head(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(
        "GET", "/", "token=T&api_key=T", "h", "1.1", fields, None, False, True, False
    )


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([(b"authorization", b"Bearer T")], [b"T"]),
        ([(b"authorization", b"bearer T")], [b"T"]),
        ([(b"authorization", b"BEARER   T ")], [b"T"]),
        ([(b"x-api-key", b"T")], [b"T"]),
        ([(b"api-key", b"T")], [b"T"]),
        ([(b"authorization", b"Bearer A"), (b"x-api-key", b"B")], [b"A", b"B"]),
        ([(b"authorization", b"Basic T")], []),
        ([(b"authorization", b"BearerT")], []),
        ([(b"authorization", b"Bearer")], []),
        ([(b"authorization", b"Bearer ")], []),
        ([(b"authorization", b'Bearer "T"')], [b'"T"']),
        ([(b"authorization", b"Bearer T, Bearer U")], [b"T, Bearer U"]),
        ([(b"cookie", b"token=T")], []),
        ([(b"proxy-authorization", b"Bearer T")], []),
        ([], []),
    ],
)
def test_the_token_stands_in_three_fields_only(
    fields: list[tuple[bytes, bytes]], found: list[bytes]
) -> None:
    assert credentials(head(*fields)) == found


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"api-key"])
def test_a_credential_that_comes_twice_is_refused(name: bytes) -> None:
    with pytest.raises(ClientFault) as caught:
        credentials(head((name, b"Bearer T"), (name, b"Bearer T")))
    assert caught.value.status == 400
    assert "T" not in caught.value.message.replace("Two", "")


@pytest.mark.parametrize("wrong", [b"", b"tokeN", b"token ", b"t", b"token" * 1000, b"\xff\xfe"])
def test_only_the_token_matches(wrong: bytes) -> None:
    assert matches([b"token"], b"token")
    assert matches([b"x", b"token"], b"token")
    assert not matches([wrong], b"token")
    assert not matches([], b"token")


def test_nothing_matches_a_token_that_does_not_exist() -> None:
    assert not matches([], b"")
    assert not matches([b""], b"")


def test_a_fingerprint_tells_tokens_apart_and_shows_none() -> None:
    assert fingerprint(b"secret") != fingerprint(b"secret2")
    assert len(fingerprint(b"secret")) == 12


def test_a_comparison_tells_nothing_by_its_time() -> None:
    # A clock on a busy machine cannot show it, so the source has to: one way of comparing, and no other.
    tree = ast.parse(textwrap.dedent(inspect.getsource(matches)))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    called = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert called.count("hmac.compare_digest") == 1
