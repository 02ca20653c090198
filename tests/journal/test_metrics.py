"""The metrics: what is counted, and that Prometheus can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from airelays.errors import UpstreamFault
from airelays.journal.metrics import BUCKETS_S, MAX_SERIES, Metrics, Sample, render, single
from airelays.model import Outcome, Usage
from tests.live import TOKEN, running


def outcome(**fields: Any) -> Outcome:
    made = Outcome()
    made.route, made.status = "chat", 200
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def parsed(text: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the samples by name and labels; raises what the parser finds wrong."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        assert family.type != "unknown"
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            series = found.setdefault(sample.name, {})
            assert labels not in series, f"{sample.name} {labels} twice"
            series[labels] = sample.value
    return found


def test_requests_are_counted_by_route_status_and_outcome() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.note(outcome(status=status), "ok" if status == 200 else "bad_request", 0.1)
    metrics.note(outcome(route="", status=401), "refused", 0.1)
    metrics.note(outcome(status=0), "client_left", 0.1)
    found = parsed(render(metrics.samples()))
    assert found["airelays_requests_total"] == {
        (("route", "chat"), ("status", "200")): 2,
        (("route", "chat"), ("status", "404")): 1,
        (("route", "chat"), ("status", "none")): 1,
        (("route", "refused"), ("status", "401")): 1,
    }
    assert found["airelays_request_outcomes_total"][(("outcome", "ok"),)] == 2


@pytest.mark.parametrize("bound", BUCKETS_S)
def test_a_bucket_holds_what_took_up_to_its_bound(bound: float) -> None:
    metrics = Metrics()
    for seconds in (bound * 0.99, bound, bound * 1.01):
        metrics.note(outcome(), "ok", seconds)
    found = parsed(render(metrics.samples()))
    buckets = found["airelays_request_duration_seconds_bucket"]
    assert buckets[(("le", f"{bound:g}"), ("route", "chat"))] == 2
    assert buckets[(("le", "+Inf"), ("route", "chat"))] == 3
    assert found["airelays_request_duration_seconds_count"][(("route", "chat"),)] == 3
    total = found["airelays_request_duration_seconds_sum"][(("route", "chat"),)]
    assert total == pytest.approx(3 * bound, rel=0.01)


def test_tokens_failures_and_times_are_counted_by_upstream() -> None:
    metrics = Metrics()
    one = outcome(upstream="chatgpt", model="gpt-5.5", usage=Usage(10, 5, 15, 4, None, 2))
    one.timings_ms.update(head=120.0, first_token=300.0)
    metrics.note(one, "ok", 1.0)
    fault = UpstreamFault("x", hop="tls", code="upstream_certificate")
    metrics.note(outcome(upstream="chatgpt", status=502, error=fault), "failed_upstream", 1.0)
    found = parsed(render(metrics.samples()))
    about = (("model", "gpt-5.5"), ("upstream", "chatgpt"))
    assert found["airelays_tokens_total"] == {
        tuple(sorted((*about, ("kind", kind)))): count
        for kind, count in (("input", 10), ("output", 5), ("cached_input", 4), ("reasoning", 2))
    }
    failure = (("code", "upstream_certificate"), ("hop", "tls"), ("upstream", "chatgpt"))
    assert found["airelays_upstream_failures_total"] == {failure: 1}
    assert found["airelays_upstream_head_seconds_count"] == {(("upstream", "chatgpt"),): 1}
    assert found["airelays_first_token_seconds_sum"] == {(("upstream", "chatgpt"),): 0.3}


@pytest.mark.parametrize("extra", [-1, 0, 1, 100])
def test_names_that_clients_choose_cannot_fill_the_memory(extra: int) -> None:
    metrics = Metrics()
    count = MAX_SERIES // 2 + extra
    for n in range(count):
        metrics.note(outcome(upstream="u", model=f"m{n}", usage=Usage(1, 1, 2)), "ok", 0.1)
    assert len(metrics.tokens) <= MAX_SERIES + 2
    found = parsed(render(metrics.samples()))["airelays_tokens_total"]
    assert sum(found.values()) == 2 * count


def test_label_values_are_escaped_and_secrets_are_taken_out() -> None:
    values: dict[tuple[str, ...], float] = {('a"b\\c\nd',): 1, ("s1",): 2, ("s2",): 3}
    sample = Sample("airelays_x_total", "counter", "Text.", ("model",), values)
    text = render([sample], lambda v: "[REDACTED]" if v.startswith("s") else v)
    assert parsed(text)["airelays_x_total"] == {
        (("model", 'a"b\\c\nd'),): 1,
        (("model", "[REDACTED]"),): 5,
    }


def test_a_single_number_needs_no_labels() -> None:
    assert render([single("airelays_y", "gauge", "Text.", 1.5)]) == (
        b"# HELP airelays_y Text.\n# TYPE airelays_y gauge\nairelays_y 1.500\n"
    )


def test_a_running_relay_answers_prometheus(tmp_path: Path) -> None:
    env = {"AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "100"}
    with running(tmp_path, env=env) as relay:
        body = {"model": f"x-{TOKEN}", "messages": [{"role": "user", "content": "hello there"}]}
        for stream in (False, True):
            relay.send("POST", "/v1/chat/completions", {**body, "stream": stream})
        bad = {**body, "messages": [{"role": "user", "content": "a b c d demo:cut"}]}
        relay.send("POST", "/v1/chat/completions", {**bad, "stream": True})
        relay.send("GET", "/v1/models", token="wrong")
        assert relay.send("GET", "/metrics", token=None).status == 401
        reply = relay.get("/metrics")
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert TOKEN.encode() not in reply.body
        found = parsed(reply.body)
        assert parsed(relay.get("/v1/relay/metrics").body).keys() == found.keys()
    chat = (("route", "chat"), ("status", "200"))
    assert found["airelays_requests_total"][chat] == 3
    assert found["airelays_rejects_total"][(("reason", "auth_failed"),)] == 2
    assert found["airelays_request_outcomes_total"][(("outcome", "cut_by_upstream"),)] == 1
    failure = (("code", "incomplete_stream"), ("hop", "stream"), ("upstream", "demo"))
    assert found["airelays_upstream_failures_total"] == {failure: 1}
    assert found["airelays_first_token_seconds_count"][(("upstream", "demo"),)] == 2
    assert found["airelays_streams_open"] == {(): 0}
    assert found["airelays_requests_open"] == {(): 1}
    assert found["airelays_upstream_ready"] == {(("upstream", "demo"),): 1}
    assert found["airelays_journal_dropped_total"] == {
        (("reason", reason),): 0 for reason in ("disk", "oversized", "queue_full")
    }
    assert all(name.startswith("airelays_") for name in found)


def test_every_metric_is_documented(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "airelays" / "docs" / "metrics.md").read_text()
    with running(tmp_path) as relay:
        families = list(text_string_to_metric_families(relay.get("/metrics").body.decode()))
    named = {f.name + ("_total" if f.type == "counter" else "") for f in families}
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `air")}
    assert named == documented


def test_programs_are_bounded() -> None:
    metrics = Metrics()
    for number in range(40):
        metrics.note_program(f"client{number}", number)
    assert len(metrics.programs) == 33 and metrics.programs[("other",)] == 8
