"""dialects.stream.server_error: the errors of all kinds of servers."""

from __future__ import annotations

from typing import Any

import pytest

from airelays.dialects.stream.server_error import error_object, is_failure

PYDANTIC = [
    {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"},
    {"type": "missing", "loc": ["body", "messages", 0, "role"], "msg": "Field required"},
]
SAID = "seed: Extra inputs are not permitted; messages.0.role: Field required"


@pytest.mark.parametrize(
    ("value", "message", "rest"),
    [
        ({"error": {"message": "m", "code": "c", "x": 1}}, "m", {"code": "c", "x": 1}),
        ({"error": "m"}, "m", {}),
        ({"error": "m", "error_type": "overloaded"}, "m", {"type": "overloaded"}),
        ({"error": "invalid", "message": "the model is gone"}, "the model is gone", {}),
        (
            {"object": "error", "message": "m", "type": "T", "code": 500},
            "m",
            {"type": "T", "code": 500},
        ),
        ({"detail": "Not Found"}, "Not Found", {}),
        ({"detail": PYDANTIC}, SAID, {"param": "seed"}),
        ({"detail": {"message": "m", "code": 7}}, "m", {"code": 7}),
        ({"object": "error", "message": {"detail": PYDANTIC}}, SAID, {"param": "seed"}),
        ({"error": {"message": "", "detail": PYDANTIC}}, SAID, {}),
        ({"message": "m"}, "m", {}),
        ({"error_code": "BAD", "message": "m"}, "m", {"code": "BAD"}),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "a; b", {}),
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, "m", {"code": 1004}),
        ([{"error": {"code": 400, "message": "m", "status": "X"}}], "m", {"code": 400}),
        ({"title": "Gone", "status": 404}, "Gone", {}),
        ({"Message": "m"}, "m", {}),
    ],
)
def test_every_form_keeps_its_message(value: Any, message: str, rest: dict[str, Any]) -> None:
    found = error_object(value)
    assert found["message"] == message
    assert rest.items() <= found.items()


@pytest.mark.parametrize("value", [{}, [], None, "x", 1, {"error": None}, {"detail": [[[[]]]]}])
def test_what_says_nothing_is_empty(value: Any) -> None:
    assert "message" not in error_object(value)


def test_a_deep_or_long_error_is_bounded() -> None:
    deep: Any = "m"
    for _ in range(1000):
        deep = {"detail": deep}
    assert error_object({"error": deep}) is not None
    assert len(error_object({"detail": ["x"] * 1000})["message"]) < 100


@pytest.mark.parametrize(
    ("value", "failed"),
    [
        ({"error": {"message": "m"}}, True),
        ({"error": "m", "choices": []}, True),
        ({"object": "error", "message": "m"}, True),
        ({"message": "m", "type": "InternalServerError", "code": 500}, True),
        ({"detail": "m"}, True),
        ({"type": "response.failed"}, True),
        ({"base_resp": {"status_code": 1004}, "choices": None}, True),
        ({"base_resp": {"status_code": 0}, "choices": [{}]}, False),
        ({"choices": [], "error": None}, False),
        ({"usage": {}}, False),
        ({"type": "ping", "message": "m"}, False),
        ({"model": "m", "message": {"role": "assistant"}}, False),
        ({}, False),
    ],
)
def test_an_error_is_told_from_an_answer(value: dict[str, Any], failed: bool) -> None:
    assert is_failure(value) is failed
