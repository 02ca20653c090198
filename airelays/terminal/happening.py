"""Happenings as lines that fit the terminal, what repeats summed up. Pure but for the local time. Layer: commands."""

from __future__ import annotations

import time
from collections.abc import Callable

from airelays.app.happenings import BLOCK, NOTICE, REFUSED, REQUEST, SIGN_IN, UPSTREAM, Happening
from airelays.hints import hint
from airelays.terminal.console import escaped
from airelays.terminal.layout import cut, pad, wrap

Style = Callable[[str, str], str]

GOOD, BAD, WARN, SOFT = "32", "31", "33", "2"
# From these widths on: gaps of two, the tokens of the prompt and the beginning of the id, the whole id.
WIDE, WIDEST, WITH_WHOLE_ID = 72, 100, 140
MAX_BODY_COLUMNS = 100
MAX_KINDS = 256
_NEAR = frozenset(("127.0.0.1", "::1", ""))
_ID_DIGITS = 8


def plain(text: str, codes: str) -> str:
    """Return `text` as it is: a style for those who have none."""
    return text


def heads(columns: int) -> str:
    """Return the line of heads over those of requests."""
    return _row(
        ("time", "program", "model", "", "first", "in", "out", "took", "id"), columns, plain
    )


def lines_of(happening: Happening, columns: int, style: Style = plain) -> list[str]:
    """Return the lines on one happening, each of at most `columns` (40 or more) without its styles.

    A request and a refusal are one line; a sentence is wrapped.
    """
    if happening.kind == REQUEST:
        return [_request(happening, columns, style)]
    if happening.kind == REFUSED:
        return [_refusal(happening, columns, style)]
    clock = clock_text(happening.at_s)
    found = wrap(escaped(sentence(happening)), columns, f"{clock}  ", " " * 10, breaks=True)
    if happening.state not in ("skipped", "failing", "blocked", "fallback"):
        return found
    return [line[:10] + style(line[10:], WARN) for line in found]


def sentence(happening: Happening) -> str:
    """Return one sentence about a happening; it can contain control characters."""
    text, name = happening.text, happening.upstream
    if text:
        return text
    if happening.kind == UPSTREAM:
        took = f"; {happening.model} took over" if happening.model else ""
        return f"{name} was not used ({happening.code}){took} ({happening.id})"
    if happening.kind == BLOCK and happening.state == "blocked":
        lift = hint(f"unblock {happening.client}")
        return f"{happening.client} is blocked for {happening.seconds:g} s; to unblock it: {lift}"
    if happening.kind == BLOCK:
        return f"{happening.client or 'every address'} is unblocked"
    if happening.kind == SIGN_IN:
        return f"{name}: {happening.state.replace('_', ' ')}"
    what = f"{happening.status} {happening.state}"
    return f"{what}: {happening.method} {happening.path}" if happening.path else what


def _request(one: Happening, columns: int, style: Style) -> str:
    who = one.key or one.program or one.method
    cells = (
        clock_text(one.at_s),
        who if one.client in _NEAR else f"{who}@{one.client}",
        one.model or (one.path if one.route == "unknown" else one.route),
        str(one.status or "-"),
        short_time(one.first_ms),
        count_text(one.input_tokens),
        count_text(one.output_tokens),
        short_time(one.took_ms),
        one.id,
    )
    if one.state == "ok" and not one.failed:
        return _row(cells, columns, style, GOOD)
    return _row(cells, columns, style, BAD if one.failed else WARN, one.code or one.state)


def _row(
    cells: tuple[str, ...], columns: int, style: Style, colour: str = "0", why: str = ""
) -> str:
    """Return the cells of a request in their columns; `why` replaces the times and tokens."""
    clock, who, model, status, first, given, made, took, request_id = cells
    gap = "  " if columns >= WIDE else " "
    numbers = (first, given, made) if columns >= WIDEST else (first, made)
    middle = gap.join(pad(text, 6, right=True) for text in numbers)
    if why:
        middle = style(pad(cut(escaped(why), len(middle)), len(middle)), colour)
    after = [style(pad(status, 3), colour), middle, pad(took, 6, right=True)]
    after += [style(request_id[: _id_columns(columns)], SOFT)] if columns >= WIDEST else []
    taken = 8 + 3 + (len(gap) + 6) * (len(numbers) + 1) + 3 * len(gap)
    left = _body_columns(columns, gap) - taken
    name = left * 2 // 5
    before = [
        pad(clock, 8),
        *(pad(cut(escaped(t), n), n) for t, n in ((who, name), (model, left - name))),
    ]
    return gap.join([*before, *after]).rstrip()


def _refusal(one: Happening, columns: int, style: Style) -> str:
    gap = "  " if columns >= WIDE else " "
    who = pad(cut(escaped(one.key or one.client or "-"), 15), 15)
    path = f"{gap}{one.method} {one.path}" if one.path else ""
    left = _body_columns(columns, gap) - 8 - 15 - 2 * len(gap)
    what = cut(escaped(f"{one.status or '-'} refused: {one.state}{path}"), left)
    line = f"{clock_text(one.at_s)}{gap}{who}{gap}"
    if columns < WIDEST:
        return line + style(what, WARN)
    return line + style(pad(what, left), WARN) + gap + style(one.id[: _id_columns(columns)], SOFT)


def _id_columns(columns: int) -> int:
    """Return how much of an id is shown: all of it, what `explain` needs, or nothing."""
    return 36 if columns >= WITH_WHOLE_ID else 4 + _ID_DIGITS if columns >= WIDEST else 0


def _body_columns(columns: int, gap: str) -> int:
    """Return the width of a line without its id: no program and model need more on a wide terminal."""
    with_id = _id_columns(columns) + len(gap) if columns >= WIDEST else 0
    return min(columns - with_id, MAX_BODY_COLUMNS)


def clock_text(at_s: float) -> str:
    """Return the local time of day, 8 columns."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(at_s))
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def day_text(at_s: float) -> str:
    """Return the local day, "" for a time that is not known."""
    try:
        return time.strftime("%Y-%m-%d", time.localtime(at_s))
    except (ValueError, OverflowError, OSError):
        return ""


def short_time(ms: float | None) -> str:
    """Return a duration in at most 6 columns, "" for one that is not known."""
    if ms is None or ms < 0:
        return ""
    if ms < 1:
        return "<1 ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 99_950:
        return f"{ms / 1000:.1f} s"
    return f"{ms / 1000:.0f} s" if ms < 9_999_500 else f"{min(ms / 3_600_000, 999):.0f} h"


def count_text(count: int | None) -> str:
    """Return a count in at most 6 columns, "" for one that is not known."""
    if count is None or count < 0:
        return ""
    if count < 100_000:
        return f"{count:,}"
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G")):
        if count < 999.5 * size:
            return f"{count / size:.0f} {unit}"
    return "many"


class Repeats:
    """Lets the first of those that are alike through, and counts the others for `window_s`. Pure."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        # What was shown, how many came after it, and when their count is reported.
        self._seen: dict[tuple[str, ...], tuple[Happening, int, float]] = {}

    def is_new(self, one: Happening, now_s: float) -> bool:
        """Whether `one` is to be shown; if not, it is counted."""
        alike = _alike(one)
        if not alike:
            return True
        if alike not in self._seen and len(self._seen) >= MAX_KINDS:
            alike = (one.kind, one.state)
        found = self._seen.get(alike)
        if found is None:
            self._seen[alike] = (one, 0, now_s + self._window_s)
            return True
        self._seen[alike] = (one, found[1] + 1, found[2])
        return False

    def due(self, now_s: float) -> list[tuple[Happening, int]]:
        """Return what repeated, the last of each and how many there were, where the time for it has come."""
        told = []
        for alike, (one, count, at_s) in list(self._seen.items()):
            if now_s < at_s:
                continue
            if count:
                told.append((one, count))
                self._seen[alike] = (one, 0, now_s + self._window_s)
            else:
                del self._seen[alike]
        return told

    def next_s(self) -> float | None:
        """Return when `due` has something to do, None for never."""
        return min((at_s for _, _, at_s in self._seen.values()), default=None)


def _alike(one: Happening) -> tuple[str, ...]:
    """Return the key that equal happenings share; () for those that are always shown.

    Changes of state are always shown, because the last one is the current state, and they are rare.
    """
    if one.kind == REFUSED:
        return (one.kind, one.state, one.client, one.key)
    if one.kind == UPSTREAM and one.state == "fallback":
        return (one.kind, one.state, one.upstream, one.code)
    return ()


def more_text(count: int, window_s: float) -> str:
    """Return the text for `count` more of what was shown last."""
    return f"{count:,} more like this within {window_s:.0f} s"


class Failures:
    """Counts failures, to report them once per minute if they repeat. Pure."""

    def __init__(self) -> None:
        self._causes: dict[str, int] = {}
        self._total = 0

    def add(self, one: Happening) -> None:
        """Count `one`, which has failed."""
        cause = "refused: " + one.state if one.kind == REFUSED else one.code or one.state
        if cause not in self._causes and len(self._causes) >= MAX_KINDS:
            cause = "others"
        self._causes[cause] = self._causes.get(cause, 0) + 1
        self._total += 1

    def take(self) -> Happening | None:
        """Return the report of those since the last call, None for fewer than two."""
        causes, total = self._causes, self._total
        self._causes, self._total = {}, 0
        if total < 2:
            return None
        most = sorted(causes.items(), key=lambda pair: -pair[1])
        said = ", ".join(f"{count:,} {cause}" for cause, count in most[:3])
        rest = total - sum(count for _, count in most[:3])
        more = f", {rest:,} others" if rest else ""
        advice = hint("explain --failed")
        text = f"{total:,} requests failed in the last minute: {said}{more} ({advice})"
        return Happening(NOTICE, 0.0, "failures", text)
