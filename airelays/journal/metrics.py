"""Counters and histograms of one relay, and their text for Prometheus.

Counting is a few additions to plain dicts; the text is created on request. Every set of labels is limited: a client
can choose a model's name, but not fill the memory with names. Layer: app.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from airelays.errors import UpstreamFault
from airelays.model import Outcome

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 500
MAX_PROGRAMS = 32
OTHER = "other"
# From a cache hit to a long answer; a bucket counts what took up to that many seconds.
BUCKETS_S = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
    300,
)


class Histogram:
    """Counts of seconds by bucket. `counts` has one place more than there are buckets."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds


class Sample(NamedTuple):
    """One family with its values: `values` is by label values, in the order of `labels`."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float | Histogram]


class Metrics:
    """What is counted as requests end."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, ...], float] = {}
        self.outcomes: dict[tuple[str, ...], float] = {}
        self.rejects: dict[tuple[str, ...], float] = {}
        self.failures: dict[tuple[str, ...], float] = {}
        self.tokens: dict[tuple[str, ...], float] = {}
        self.durations: dict[tuple[str, ...], Histogram] = {}
        self.first_tokens: dict[tuple[str, ...], Histogram] = {}
        self.heads: dict[tuple[str, ...], Histogram] = {}
        self.keys: dict[tuple[str, ...], float] = {}
        self.key_tokens: dict[tuple[str, ...], float] = {}
        self.programs: dict[tuple[str, ...], float] = {}
        self.program_tokens: dict[tuple[str, ...], float] = {}
        self.bytes_in = 0
        self.bytes_out = 0
        self.bugs = 0

    def note(self, outcome: Outcome, ended: str, total_s: float) -> None:
        """Count one request that is over."""
        route = outcome.route or "refused"
        _add(self.requests, (route, str(outcome.status) if outcome.status else "none"))
        _add(self.outcomes, (ended,))
        self.bytes_in += outcome.bytes_in
        self.bytes_out += outcome.bytes_out
        if not outcome.route:
            return
        _histogram(self.durations, (route,)).observe(total_s)
        if outcome.key:
            _add(self.keys, (outcome.key, str(outcome.status)))
            if outcome.usage is not None:
                _add(self.key_tokens, (outcome.key,), outcome.usage.total_tokens)
        upstream, times = outcome.upstream, outcome.timings_ms
        if not upstream:
            return
        if "head" in times:
            _histogram(self.heads, (upstream,)).observe(times["head"] / 1000)
        if "first_token" in times:
            _histogram(self.first_tokens, (upstream,)).observe(times["first_token"] / 1000)
        if outcome.usage is not None:
            self._note_tokens(outcome)
        error = outcome.error
        if isinstance(error, UpstreamFault):
            _add(self.failures, (upstream, error.hop, error.code or "none"))

    def note_program(self, program: str, tokens: int) -> None:
        """Count a request of the program that a user agent names, "" for none; the rest after 32 is `other`."""
        _add(self.programs, (program,), most=MAX_PROGRAMS)
        if tokens:
            _add(self.program_tokens, (program,), tokens, most=MAX_PROGRAMS)

    def _note_tokens(self, outcome: Outcome) -> None:
        usage = outcome.usage
        if usage is None:
            return
        upstream, model = outcome.upstream, outcome.model
        _add(self.tokens, (upstream, model, "input"), usage.input_tokens)
        _add(self.tokens, (upstream, model, "output"), usage.output_tokens)
        if usage.cached_tokens:
            _add(self.tokens, (upstream, model, "cached_input"), usage.cached_tokens)
        if usage.reasoning_tokens:
            _add(self.tokens, (upstream, model, "reasoning"), usage.reasoning_tokens)

    def reject(self, reason: str) -> None:
        """Count a request that did not get in."""
        _add(self.rejects, (reason,))

    def samples(self) -> list[Sample]:
        """Return all families."""
        return [
            Sample("airelays_requests_total", "counter", "Requests answered, by route and status.",
                   ("route", "status"), self.requests),
            Sample("airelays_request_outcomes_total", "counter", "Requests by how they ended.",
                   ("outcome",), self.outcomes),
            Sample("airelays_rejects_total", "counter", "Requests that the relay refused, by reason.",
                   ("reason",), self.rejects),
            Sample("airelays_request_duration_seconds", "histogram",
                   "Time from a request's head to the end of its answer.", ("route",), self.durations),
            Sample("airelays_first_token_seconds", "histogram",
                   "Time from a request's head to the first text of a stream.", ("upstream",),
                   self.first_tokens),
            Sample("airelays_upstream_head_seconds", "histogram",
                   "Time from the request to the upstream to the head of its answer.", ("upstream",), self.heads),
            Sample("airelays_upstream_failures_total", "counter",
                   "Upstream failures, by place and code.", ("upstream", "hop", "code"),
                   self.failures),
            Sample("airelays_tokens_total", "counter", "Tokens reported by the upstreams.",
                   ("upstream", "model", "kind"), self.tokens),
            Sample("airelays_key_requests_total", "counter",
                   "Requests of named keys, by key and status.", ("key", "status"), self.keys),
            Sample("airelays_key_tokens_total", "counter", "Tokens used by named keys.",
                   ("key",), self.key_tokens),
            Sample("airelays_program_requests_total", "counter",
                   "Accepted requests, by the program named in the user agent.", ("program",),
                   self.programs),
            Sample("airelays_program_tokens_total", "counter",
                   "Tokens, by the program named in the user agent.", ("program",),
                   self.program_tokens),
            single("airelays_request_bytes_total", "counter", "Bytes of request bodies.",
                   self.bytes_in),
            single("airelays_response_bytes_total", "counter", "Bytes of answers, including their heads.",
                   self.bytes_out),
            single("airelays_bugs_total", "counter", "Defects in the relay that affected a request.",
                   self.bugs),
        ]  # fmt: skip


def single(name: str, kind: str, text: str, value: float) -> Sample:
    """Return a family that is one number."""
    return Sample(name, kind, text, (), {(): value})


def render(samples: Iterable[Sample], shown: Callable[[str], str] = str) -> bytes:
    """Return the text format 0.0.4. `shown` takes secrets out of label values."""
    lines: list[str] = []
    for sample in samples:
        lines.append(f"# HELP {sample.name} {sample.help}")
        lines.append(f"# TYPE {sample.name} {sample.kind}")
        for values, found in sorted(_shown(sample.values, shown).items()):
            named = [
                f'{label}="{_escaped(value)}"'
                for label, value in zip(sample.labels, values, strict=True)
            ]
            if isinstance(found, Histogram):
                lines += _histogram_lines(sample.name, named, found)
            else:
                lines.append(f"{sample.name}{_braced(named)} {_number(found)}")
    return "\n".join(lines).encode() + b"\n"


def _shown(
    values: Mapping[tuple[str, ...], float | Histogram], shown: Callable[[str], str]
) -> dict[tuple[str, ...], float | Histogram]:
    """Return `values` with labels that can be shown; counts whose labels become equal are added."""
    found: dict[tuple[str, ...], float | Histogram] = {}
    for key, value in values.items():
        name = tuple(shown(part) for part in key)
        before = found.get(name)
        both = isinstance(before, (int, float)) and isinstance(value, (int, float))
        found[name] = before + value if both else value  # type: ignore[operator]  # both are numbers
    return found


def _histogram_lines(name: str, named: list[str], found: Histogram) -> list[str]:
    lines, count = [], 0
    bounds = [*(f"{bound:g}" for bound in BUCKETS_S), "+Inf"]
    for bound, more in zip(bounds, found.counts, strict=True):
        count += more
        bucket = [*named, f'le="{bound}"']
        lines.append(f"{name}_bucket{_braced(bucket)} {count}")
    lines.append(f"{name}_sum{_braced(named)} {found.total_s:.6f}")
    lines.append(f"{name}_count{_braced(named)} {count}")
    return lines


def _braced(named: list[str]) -> str:
    return "{" + ",".join(named) + "}" if named else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _add(
    series: dict[tuple[str, ...], float],
    key: tuple[str, ...],
    more: int = 1,
    *,
    most: int = MAX_SERIES,
) -> None:
    if key in series:
        series[key] += more
    elif len(series) < most:
        series[key] = more
    else:
        rest = (*(OTHER for _ in key[:-1]), key[-1] if len(key) > 1 else OTHER)
        series[rest] = series.get(rest, 0) + more


def _histogram(series: dict[tuple[str, ...], Histogram], key: tuple[str, ...]) -> Histogram:
    found = series.get(key)
    if found is None:
        if len(series) >= MAX_SERIES:
            key = tuple(OTHER for _ in key)
        found = series.setdefault(key, Histogram())
    return found
