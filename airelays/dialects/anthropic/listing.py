"""`GET /v1/models` in Anthropic's form. Layer: rules.

Claude Code shows only ids that begin with `claude` or `anthropic`, so a model of any other name is listed a second time
with a prefix in front, which the relay takes off again. Each entry has the fields of OpenAI's form, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airelays.errors import ClientFault

PREFIX = "anthropic/"
MAX_LIMIT = 1000
USUAL_LIMIT = 20
# No catalogue says when a model was made.
_CREATED_AT = "1970-01-01T00:00:00Z"
_SHOWN = ("claude", "anthropic")


def model_entry(record: Mapping[str, Any], model: str = "") -> dict[str, Any]:
    """Return one model, of a record of OpenAI's form."""
    facts = record.get("airelays") or {}
    made = {
        "type": "model",
        **record,
        "id": model or record["id"],
        "display_name": facts.get("display_name") or record["id"],
        "created_at": _CREATED_AT,
    }
    window = facts.get("context_window")
    return {**made, "max_input_tokens": window} if isinstance(window, int) else made


def all_entries(records: Iterable[Mapping[str, Any]], *, prefixed: bool) -> list[dict[str, Any]]:
    """Return every model; with `prefixed` also under the name that Claude Code shows."""
    made = []
    for record in records:
        facts = record.get("airelays") or {}
        if facts.get("discovery_source") == "images_api":
            continue  # it draws, and this API has no word for that
        made.append(model_entry(record))
        if prefixed and not str(record["id"]).lower().startswith(_SHOWN):
            made.append(model_entry(record, PREFIX + record["id"]))
    return made


def page_of(entries: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return the page of the list that `limit`, `after_id` and `before_id` ask for. Raises ClientFault."""
    limit = _limit(query.get("limit"))
    after, before = query.get("after_id"), query.get("before_id")
    ids = [entry["id"] for entry in entries]
    start, end = 0, len(entries)
    if after is not None:
        start = _place(ids, after, "after_id") + 1
        page, more = entries[start : start + limit], len(entries) > start + limit
    elif before is not None:
        end = _place(ids, before, "before_id")
        page, more = entries[max(0, end - limit) : end], end > limit
    else:
        page, more = entries[:limit], len(entries) > limit
    return {
        "object": "list",
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return USUAL_LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MAX_LIMIT):
        raise ClientFault(
            f"limit is {text[:20]!r}; expected a number from 1 to {MAX_LIMIT:,}",
            param="limit",
            code="invalid_value",
        )
    return int(text)


def _place(ids: list[str], wanted: str, name: str) -> int:
    if wanted not in ids:
        raise ClientFault(
            f"{name} is {wanted[:80]!r}, which is not in the list; use an id of an earlier page",
            param=name,
            code="invalid_value",
        )
    return ids.index(wanted)
