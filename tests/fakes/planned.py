"""Answers that follow the request: `FakeBackend.play = "plan"`, for real client programs.

What is said is decided by the demo upstream's plan (echo, "call the tool NAME", schemas, `demo:` switches); how it
comes, by what the backend was seen to do: no final `output`, obfuscation, its own mark on encrypted reasoning.
"""

from __future__ import annotations

import json
from typing import Any

from airelays.upstream.demo.events import encode_event, events, failure_events
from airelays.upstream.demo.plan import Plan, make_plan
from tests.fakes.events import ENCRYPTED, T0
from tests.fakes.http import Reply, json_reply


def plan_of(body: dict[str, Any]) -> Plan:
    """Return what this backend will say to `body`."""
    return make_plan(body)


def planned_refusal(plan: Plan) -> Reply | None:
    """Return the refusal that a `demo:` switch asks for, in the backend's own words."""
    if "rate-limit" in plan.switches or "quota" in plan.switches:
        error = {
            "type": "usage_limit_reached",
            "message": "The usage limit has been reached",
            "plan_type": "plus",
            "resets_at": T0 + 3600,
            "resets_in_seconds": 3600,
        }
        return json_reply({"error": error}, 429)
    if "overload" in plan.switches:
        error = {"message": "Fake: overloaded.", "code": "server_is_overloaded", "param": None}
        return json_reply({"error": {**error, "type": "service_unavailable_error"}}, 503)
    return None


def planned_frames(
    plan: Plan, body: dict[str, Any], reply_id: str, *, empty_output: bool, obfuscation: bool
) -> list[bytes]:
    """Return the SSE frames of the answer."""
    if "context" in plan.switches:
        text = "Your input exceeds the context window of this model. Please adjust your input and try again."
        failed = failure_events(body, reply_id, T0, "context_length_exceeded", text)
        return [encode_event(event) for event in failed]
    frames = []
    for n, event in enumerate(events(plan, body, reply_id, T0)):
        item = event.get("item")
        if item and item.get("encrypted_content"):
            item["encrypted_content"] = ENCRYPTED
        if obfuscation and event["type"].endswith(".delta"):
            event["obfuscation"] = "x" * (5 + n % 7)
        response = event.get("response")
        if response and empty_output:
            # The maker's own list is left alone.
            event = {**event, "response": {**response, "output": []}}
        frames.append(encode_event(json.loads(json.dumps(event))))
    return frames
