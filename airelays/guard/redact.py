"""What can be logged of a request: header fields by allow-list, everything else by key and by value.

A value is looked for in every form it could take: as it is, base64 at each of its three alignments and in both
alphabets, hexadecimal, percent-encoded, quoted-printable, escaped as in JSON or HTML, in any case. What only
looks like a credential (`Bearer ...`, a JWT, `sk-...`, the password of a URL) goes as well, and from the short
texts that a client can choose freely (`short`) every run that looks random. What an upstream says of a failure
(`said`, `told`, `passed`) goes to clients without pieces of a secret at its edges either.

Owns: what is cut out. Refuses to know: which secrets there are (they are handed in), files, queues. Layer: rules.
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable
from typing import Any

from airelays.guard.disguise import MIN_PIECE_BYTES, Edge, encodings, torn_at, undone
from airelays.model import Fields

REDACTED = "[REDACTED]"
# The only header fields whose values are written. Of all others, only the name is.
LOGGED_FIELDS = frozenset(
    (b"accept", b"content-length", b"content-type", b"host", b"user-agent"),
)
# Query names of our own routes whose values are flags, numbers or ids.
LOGGED_QUERY = frozenset(
    {
        *("activity_only", "after", "all_accounts", "before", "client_version", "include"),
        *("limit", "order", "purpose", "raw", "refresh"),
    }
)
# Shorter ones are not secrets, and removing them would make every text unreadable.
MIN_SECRET_BYTES = 4
MAX_SHORT_CHARS = 256
MAX_TEXT_CHARS = 8192
MAX_DEPTH = 32
MAX_ITEMS = 1000
# In an error from an upstream: the longest text that is searched, and the limit for all texts of one object.
MAX_SAID_CHARS = 64 * 1024
MAX_TOLD_CHARS = 256 * 1024
# What each text counts in addition to its length, because many short ones take as long as few long ones.
_TEXT_CHARS = 64
# The longest escape of one byte, as in `&#x000061;`.
_ESCAPE_CHARS = 10
_LONG_NUMBER = 10**5
_MEMO_ENTRIES = 2048
_MEMO_CHARS = 512

_SECRET_KEY = re.compile(
    r"(?i)token|secret|passw|authoriz|cookie|api[-_ ]?key|bearer|code_verifier|assertion|private[-_ ]?key"
    r"|credential"
)
# `max_tokens`, `input_tokens_details`: counts. A string with such a name is removed nevertheless.
_COUNT_KEY = re.compile(r"(?i)tokens(?:_\w+)?$")
_CONTENT_KEYS = frozenset(
    (
        *("file_data", "b64_json", "partial_image_b64", "encrypted_content", "input_audio"),
        # Of Anthropic's API: reasoning again, local paths, and who the user is.
        *("signature", "safeguards", "user_id"),
    )
)
_SENSITIVE_FIELD = re.compile(
    rb"authoriz|cookie|token|secret|passw|api-?key|bearer|credential|assertion"
)
_LOOKS_SECRET = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]+"
    r"|(?i:\bbasic\s+)[A-Za-z0-9+/=_-]{12,}"
    r"|eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\bsk-[A-Za-z0-9_-]{8,}"
    r"|\bairl_[A-Za-z0-9_-]{8,}"
    r"|\b(?:gh[pousr]_|xox[abeprs]-|AIza|AKIA|glpat-|hf_)[A-Za-z0-9_-]{10,}"
    r"|(?<=://)[^/\s@\"']+(?=@)"
)
# Without one of these, the expression above finds nothing. It takes a hundred times as long.
_MARKS = (
    *(
        b"bearer",
        b"basic",
        b"eyj",
        b"sk-",
        b"airl_",
        b"ghp_",
        b"gho_",
        b"ghu_",
        b"ghr_",
        b"ghs_",
        b"xox",
    ),
    *(b"aiza", b"akia", b"glpat-", b"hf_", b"://"),
)
_DATA_URL = re.compile(
    r"(data:[\w.+/-]{0,80}(?:;[\w=.-]{1,40}){0,4};base64,)([A-Za-z0-9+/=_-]{16,})"
)
_WORD = re.compile(r"[A-Za-z0-9_+=~-]{20,}")
_OWN_ID = re.compile(
    r"(?:req|file|resp|conv|msg|rs|fc|ctc|call|item|chatcmpl|cmpl)[_-][0-9A-Za-z]{8,64}"
)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")


class Redactor:
    """Removes `secrets`, and what looks like one, from texts. Immutable except for its memory of short texts."""

    __slots__ = (
        "_edges",
        "_fields",
        "_last",
        "_literals",
        "_margin",
        "_needles",
        "_raw",
        "_shorts",
        "secrets",
    )  # fmt: skip

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self.secrets = frozenset(s for s in secrets if len(s) >= MIN_SECRET_BYTES)
        # The longest first, so that a secret that contains another one is removed as a whole.
        ordered = sorted(self.secrets, key=len, reverse=True)
        self._raw = tuple(s.lower() for s in ordered)
        self._needles = tuple(needle for s in ordered for needle in encodings(s))
        self._edges = tuple(
            (Edge.of(needle), Edge.of(needle[::-1]))
            for needle in self._needles
            if len(needle) >= MIN_PIECE_BYTES + 2
        )
        self._margin = _ESCAPE_CHARS * max(map(len, self.secrets), default=0)
        self._shorts: dict[str, str] = {}
        self._literals: dict[str, str] = {}
        self._fields: dict[Fields, str] = {}
        self._last: tuple[Fields | None, str] = (None, "")

    def __repr__(self) -> str:
        return f"Redactor({len(self.secrets)} secrets)"

    def extended(self, secrets: Iterable[bytes]) -> Redactor:
        """Return a redactor that knows `secrets` too; this one when it knows them all."""
        more = {s for s in secrets if len(s) >= MIN_SECRET_BYTES} - self.secrets
        return Redactor(self.secrets | more) if more else self

    # ---- texts

    def text(self, value: str) -> str:
        """Return `value` without secrets, of any length."""
        raw = value.encode("utf-8", "surrogatepass")
        raw = self._cut_out(raw)
        if self._needles and self._hides_one(raw.lower()):
            return REDACTED
        return _LOOKS_SECRET.sub(REDACTED, raw.decode("utf-8", "replace"))

    def short(self, value: str) -> str:
        """Return a text that a client chose (a path, a model, a user agent, part of an error), bounded."""
        found = self._shorts.get(value)
        if found is None:
            cut = value[: 4 * MAX_SHORT_CHARS]
            found = _WORD.sub(_without_random, self.text(cut))
            if len(found) > MAX_SHORT_CHARS:
                found = found[:MAX_SHORT_CHARS] + "..."
            _remember(self._shorts, value, found)
        return found

    def literal(self, value: str) -> str:
        """Return `short(value)` as a JSON string, ASCII only."""
        found = self._literals.get(value)
        if found is None:
            found = json.dumps(self.short(value))
            _remember(self._literals, value, found)
        return found

    # ---- what an upstream says of a failure

    def said(self, text: str) -> str:
        """Return a text of an upstream's error, bounded; also without a piece of a secret that is torn at an edge."""
        shown = self.text(text[:MAX_SAID_CHARS])
        if len(text) > MAX_SAID_CHARS:
            # A secret that the bound cut in two is in what is left out here, in whatever escapes.
            shown = shown[: max(0, len(shown) - self._margin)]
        return self._without_edges(shown) if self._needles else shown

    def told(self, tree: Any) -> Any:
        """Return JSON data of an upstream's error, each text in it as `said` has it, names and long numbers too."""
        return self._told(tree, 0, [MAX_TOLD_CHARS])

    def passed(self, fields: Fields) -> Fields:
        """Return an upstream's header fields for the client, without secrets in their values."""
        if not fields or self.is_plain(b"\0".join([value for _, value in fields])):
            return fields
        return tuple(
            (name, self.said(value.decode("latin-1")).encode("latin-1", "replace"))
            for name, value in fields
        )

    def is_plain(self, raw: bytes) -> bool:
        """Whether nothing in `raw`, of any length, would be cut out as a secret or as what looks like one."""
        low = raw.lower()
        if self._has_any(low) or (self._needles and self._hides_one(low)):
            return False
        if not any(mark in low for mark in _MARKS):
            return True
        return _LOOKS_SECRET.search(raw.decode("utf-8", "replace")) is None

    # ---- parts of a request

    def fields(self, fields: Fields) -> str:
        """Return a header section as a JSON object: values by allow-list, the other names with a mark."""
        if fields is self._last[0]:
            return self._last[1]
        found = self._fields.get(fields)
        if found is None:
            shown = {
                self.short(name.decode("latin-1")): self.short(value.decode("latin-1"))
                if name in LOGGED_FIELDS
                else REDACTED
                for name, value in fields
            }
            found = json.dumps(shown, separators=(",", ":"))
            if len(self._fields) >= _MEMO_ENTRIES // 8:
                self._fields.clear()
            self._fields[fields] = found
        self._last = (fields, found)
        return found

    def query(self, query: str) -> str:
        """Return a query string with the values of our own names; of the others only the names."""
        shown = []
        for pair in query.split("&")[:32] if query else ():
            name, equals, value = pair.partition("=")
            if not equals and name not in LOGGED_QUERY:
                shown.append(REDACTED)
                continue
            kept = self.short(value) if name in LOGGED_QUERY else REDACTED
            shown.append(self.short(name) + equals + (kept if equals else ""))
        # A secret with "=" or "&" in it was looked at in pieces.
        return self.text("&".join(shown))

    def value(self, tree: Any) -> Any:
        """Return JSON data with what is secret by key or by value cut out, and with long contents shortened."""
        return self._value(tree, 0)

    def is_clean(self, line: bytes) -> bool:
        """Whether an encoded line contains no secret as it is: the last check before the disk."""
        low = line.lower()
        return not any(raw in low for raw in self._raw)

    # ---- inside

    def _value(self, tree: Any, depth: int) -> Any:
        if isinstance(tree, str):
            return self._content(tree)
        if depth >= MAX_DEPTH:
            return REDACTED
        if isinstance(tree, list):
            kept = [self._value(item, depth + 1) for item in tree[:MAX_ITEMS]]
            return [*kept, f"[{len(tree) - MAX_ITEMS} more]"] if len(tree) > MAX_ITEMS else kept
        if isinstance(tree, dict):
            error = "message" in tree
            return {
                self.short(str(key)): self._entry(str(key), value, error, depth + 1)
                for key, value in list(tree.items())[:MAX_ITEMS]
            }
        return tree

    def _entry(self, key: str, value: Any, error: bool, depth: int) -> Any:
        if isinstance(value, bool) or value is None:
            return value
        if _SECRET_KEY.search(key):
            counts = _COUNT_KEY.search(key) and not isinstance(value, (str, list))
            return self._value(value, depth) if counts else REDACTED
        if key in _CONTENT_KEYS or (key == "data" and isinstance(value, str)):
            return REDACTED
        if key == "code" and isinstance(value, str) and not error:
            return (
                REDACTED  # an OAuth code; the `code` of an error object is a word of the protocol
            )
        return self._value(value, depth)

    def _told(self, tree: Any, depth: int, left: list[int]) -> Any:
        if isinstance(tree, bool) or tree is None:
            return tree
        if isinstance(tree, (int, float)):
            if -_LONG_NUMBER < tree < _LONG_NUMBER:
                return tree
            shown = str(tree)
            # NaN and infinity are not JSON, so the value is written again.
            finite = tree - tree == 0
            return (tree if finite else shown) if self.said(shown) == shown else REDACTED
        left[0] -= _TEXT_CHARS + (len(tree) if isinstance(tree, str) else 0)
        if left[0] < 0 or depth >= MAX_DEPTH:
            return REDACTED
        if isinstance(tree, list):
            return [self._told(item, depth + 1, left) for item in tree[:MAX_ITEMS]]
        if isinstance(tree, dict):
            return {
                self.said(str(key)): self._told(value, depth + 1, left)
                for key, value in list(tree.items())[:MAX_ITEMS]
            }
        return self.said(str(tree))

    def _content(self, text: str) -> str:
        text = _DATA_URL.sub(lambda m: f"{m[1]}[{len(m[2]) * 3 // 4} bytes]", text)
        text = self.text(text)
        if len(text) > MAX_TEXT_CHARS:
            return f"{text[:MAX_TEXT_CHARS]}...[{len(text) - MAX_TEXT_CHARS} more characters]"
        return text

    def _cut_out(self, raw: bytes) -> bytes:
        low = raw.lower()
        for needle in self._needles:
            if needle not in low:
                continue
            parts, done, at = [], 0, low.find(needle)
            while at >= 0:
                parts += [raw[done:at], b"[REDACTED]"]
                done = at + len(needle)
                at = low.find(needle, done)
            raw = b"".join([*parts, raw[done:]])
            low = raw.lower()
        return raw

    def _hides_one(self, low: bytes) -> bool:
        """Whether a secret appears once escapes are undone, or white space is left out."""
        return any(self._has_any(form) for form in undone(low))

    def _has_any(self, low: bytes) -> bool:
        for needle in self._needles:  # noqa: SIM110 - twice as fast as `any`
            if needle in low:
                return True
        return False

    def _without_edges(self, text: str) -> str:
        """Return `text` without a piece of a secret that it begins or ends with, as torn ones do."""
        raw = text.encode("utf-8", "surrogatepass")
        low = raw.lower()
        begin, end = self._torn(low)
        if begin or end < len(low):
            left = raw[begin:end] if begin < end else b""
            raw = b"[REDACTED]" * bool(begin) + left + b"[REDACTED]" * (end < len(low))
        elif any(self._torn(form) != (0, len(form)) for form in undone(low)):
            return REDACTED
        return raw.decode("utf-8", "replace")

    def _torn(self, low: bytes) -> tuple[int, int]:
        """Return the bounds of what is left of `low` without the torn pieces at its edges."""
        begin, end, turned = 0, len(low), low[::-1]
        for edge, other in self._edges:
            if edge.piece in low and (at := torn_at(low, edge)) >= 0:
                end = min(end, at)
            if other.piece in turned and (at := torn_at(turned, other)) >= 0:
                begin = max(begin, len(low) - at)
        return begin, end


def presented_secrets(fields: Fields) -> list[bytes]:
    """Return the values of the credential fields of a request, with and without their scheme."""
    found = []
    for name, value in fields:
        if _SENSITIVE_FIELD.search(name):
            for part in re.split(rb"[\s;,]+", value)[:16]:
                found.append(part)
                if b"=" in part.rstrip(b"="):
                    found.append(part.partition(b"=")[2])
            if value[:6].lower() == b"basic ":
                found += _of_basic(value[6:])
    # Words such as "Bearer" or "none" are not credentials.
    return [part for part in found if len(part) >= 8]


def _of_basic(value: bytes) -> list[bytes]:
    """Return what a Basic credential holds: user and password together, and the password."""
    try:
        pair = a2b_base64(value)
    except (Base64Error, ValueError):
        return []
    return [pair, pair.partition(b":")[2]]


def _without_random(match: re.Match[str]) -> str:
    """Keep words, versions and our own ids; replace what mixes letters and digits without a break."""
    word = match[0]
    if _OWN_ID.fullmatch(word):
        return word
    for run in _RUN.findall(word):
        if not run.isalpha() and not run.isdigit():
            return REDACTED
    odd = sum(c.isdigit() for c in word)
    mixed = not word.islower() and not word.isupper()
    return REDACTED if len(word) >= 32 and odd >= 3 and mixed else word


def _remember(memo: dict[str, str], value: str, found: str) -> None:
    if len(value) > _MEMO_CHARS:
        return
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[value] = found
