"""guard.keys: the form of a key, finding one, and what it may do."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airelays.errors import ClientFault
from airelays.guard import keys
from airelays.guard.keys import Caller, Key, KeyTable, Secret, make_key

SECRET = make_key(bytes(range(32))).encode()
OTHER = make_key(bytes(32)).encode()


def key(**more: Any) -> Key:
    found = Key("key_" + "0" * 16, "aider", (Secret(keys.digest_of(SECRET)),), 0.0)
    return found._replace(**more)


def test_a_key_is_its_mark_43_characters_and_a_checksum() -> None:
    assert len(SECRET) == 5 + 43 + 6
    assert SECRET.startswith(b"airl_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh")
    assert keys.is_well_formed(SECRET)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_is_made_of_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32"):
        make_key(bytes(size))


def test_every_wrong_character_is_seen() -> None:
    for at in range(len(SECRET)):
        wrong = SECRET[:at] + (b"A" if SECRET[at : at + 1] != b"A" else b"B") + SECRET[at + 1 :]
        assert not keys.is_well_formed(wrong), at
    assert not keys.is_well_formed(SECRET + b"A")
    assert not keys.is_well_formed(SECRET[:-1])
    assert not keys.is_well_formed(SECRET[:-1] + b"\n")


def test_what_a_presented_value_is() -> None:
    table = KeyTable([key()])
    assert table.find([], 0) is None
    assert table.find([b"something else", b""], 0) is None
    found = table.find([b"something else", SECRET], 0)
    assert found is not None
    assert (found.caller.name, found.problem) == ("aider", "")
    assert table.find([OTHER], 0) == (keys.OWNER, "unknown")
    assert table.find([SECRET[:-1] + b"_"], 0) == (keys.OWNER, "mistyped")


@pytest.mark.parametrize(
    ("more", "now", "problem"),
    [
        ({"expires_s": 10.0}, 9.9, ""),
        ({"expires_s": 10.0}, 10.0, "expired"),
        ({"revoked_s": 5.0}, 1.0, "revoked"),
        ({"secrets": (Secret(keys.digest_of(SECRET), 10.0),)}, 9.9, ""),
        ({"secrets": (Secret(keys.digest_of(SECRET), 10.0),)}, 10.0, "replaced"),
    ],
)
def test_when_a_key_opens_nothing(more: dict[str, object], now: float, problem: str) -> None:
    found = KeyTable([key(**more)]).find([SECRET], now)
    assert found is not None
    assert (found.caller.name, found.problem) == ("aider", problem)


def test_a_caller_is_judged_again_by_a_later_table() -> None:
    caller = Caller(key(), keys.digest_of(SECRET))
    later = key(secrets=(Secret(keys.digest_of(OTHER)),))
    assert KeyTable([key()]).problem(caller, 0) == ""
    assert KeyTable([later]).problem(caller, 0) == "replaced"
    assert KeyTable([later]).problem(caller._replace(digest=b""), 0) == ""
    assert KeyTable([]).problem(caller, 0) == "unknown"
    assert KeyTable([key(expires_s=7.0)]).ends_s(caller) == 7.0


def test_the_name_of_a_revoked_key_can_be_used_again() -> None:
    old = key(id="key_" + "1" * 16, revoked_s=1.0)
    assert KeyTable([old, key()]).named("aider") == key()
    assert KeyTable([old]).named("aider") == old
    assert KeyTable([old]).named("other") is None


@pytest.mark.parametrize(
    ("routes", "access", "method", "allowed"),
    [
        ("read", "read", "GET", True),
        ("read", "text", "POST", False),
        ("text", "read", "GET", True),
        ("text", "text", "POST", True),
        ("text", "all", "POST", False),
        ("text", "operator", "GET", False),
        ("all", "all", "POST", True),
        ("all", "operator", "GET", True),
        ("all", "operator", "HEAD", True),
        ("all", "operator", "PUT", False),
        ("all", "operator", "POST", False),
        ("all", "operator", "DELETE", False),
    ],
)
def test_routes(routes: str, access: str, method: str, allowed: bool) -> None:
    assert keys.allows_route(key(routes=routes), access, method) is allowed


@pytest.mark.parametrize(
    ("patterns", "asked", "upstream", "model", "allowed"),
    [
        ((), "x", "demo", "x", True),
        (("gpt-*",), "gpt-5", "chatgpt", "gpt-5", True),
        (("GPT-*",), "gpt-5", "chatgpt", "gpt-5", True),
        (("gpt-*",), "o3", "chatgpt", "o3", False),
        (("gpt-*",), "gpt-cheap", "local", "llama3", False),  # an alias is no way around
        (("gpt-cheap",), "gpt-cheap", "local", "llama3", True),  # unless it is named
        (("llama*",), "local/llama3", "local", "llama3", True),
        (("local/*",), "local/llama3", "local", "llama3", True),
        (("local/*",), "fast", "local", "llama3", True),
        (("local/*",), "llama3", "chatgpt", "llama3", False),
        (("local*",), "local/llama3", "local", "llama3", False),
        (("meta/*",), "meta/llama3", "router", "meta/llama3", True),
        (("gpt-*",), "", "chatgpt", "", False),
    ],
)
def test_models(
    patterns: tuple[str, ...], asked: str, upstream: str, model: str, allowed: bool
) -> None:
    assert keys.allows_model(key(models=patterns), asked, upstream, model) is allowed


def test_a_refusal_names_the_key_and_what_it_may_use() -> None:
    with pytest.raises(ClientFault) as refused:
        keys.check_model(key(models=("gpt-*",)), "o3", "chatgpt", "o3")
    assert (refused.value.status, refused.value.code) == (403, "model_not_allowed")
    assert str(refused.value) == 'the key aider cannot use the model "o3"; its models are gpt-*'
    with pytest.raises(ClientFault) as refused:
        keys.check_upstream(key(upstreams=("local",)), "chatgpt")
    assert refused.value.code == "upstream_not_allowed"
    text = keys.route_refusal(key(routes="all"), "operator", "PUT", "/v1/relay/logging")
    assert text == "the key aider cannot change the relay (PUT /v1/relay/logging)"
    text = keys.route_refusal(key(), "all", "POST", "/v1/files")
    assert text == 'the key aider cannot use /v1/files; its routes are "text"'
    assert keys.route_refusal(key(), "text", "POST", "/v1/responses") == ""
    keys.check_model(None, "o3", "chatgpt", "o3")


def test_among_ten_thousand_keys_a_lookup_costs_what_it_costs_among_ten() -> None:
    """At most 1.2 times; the best of many short turns, in turns, so that a busy machine slows both alike."""

    def table(count: int) -> KeyTable:
        made = (
            key(id=f"key_{n:016x}", secrets=(Secret(n.to_bytes(32, "big")),)) for n in range(count)
        )
        return KeyTable([*made, key()])

    tables = (table(10), table(10_000))
    best = [float("inf"), float("inf")]
    for _ in range(60):
        for which, one in enumerate(tables):
            begun = time.perf_counter()
            for _ in range(100):
                one.find((SECRET,), 0.0)
            best[which] = min(best[which], time.perf_counter() - begun)
    assert best[1] <= 1.2 * best[0]
