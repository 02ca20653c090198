"""A session is one hash, whichever way a client names it."""

from __future__ import annotations

from airelays.guard.sessions import session_in, session_of


def test_fields_and_cache_key_name_the_same_session() -> None:
    found = session_of("0199-abc")
    assert len(found) == 16 and "0199" not in found
    for name in (b"session-id", b"session_id", b"x-claude-code-session-id"):
        assert session_in(((b"accept", b"*/*"), (name, b"0199-abc"))) == found


def test_what_names_no_session_is_none() -> None:
    assert session_in(((b"session-id", b""), (b"x-session", b"1"))) == ""
    assert [session_of(value) for value in (None, "", 3, ["x"])] == [""] * 4
    assert len(session_of("\ud800")) == 16
