"""What may be written down of a request: header fields by allow-list, everything else by key and by value.

A value is looked for in every form it could take: as it is, base64 at each of its three alignments and in both
alphabets, hexadecimal, percent-encoded, escaped as in JSON, in any case. What only looks like a credential
(`Bearer ...`, a JWT, `sk-...`, the password of a URL) goes as well, and from the short texts that a client can
choose freely (`short`) every run that looks random.

Owns: what is cut out. Refuses to know: which secrets there are (they are handed in), files, queues. Layer: rules.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any

from airelays.model import Fields

__all__ = ["LOGGED_FIELDS", "REDACTED", "Redactor", "encodings", "presented_secrets"]

REDACTED = "[REDACTED]"
# The only header fields whose values are written; of the others the name is.
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
# Shorter ones are no secrets, and cutting them out would make every text unreadable.
MIN_SECRET_BYTES = 4
MIN_ENCODED_BYTES = 6
MAX_SHORT_CHARS = 256
MAX_TEXT_CHARS = 8192
MAX_DEPTH = 32
MAX_ITEMS = 1000
_MEMO_ENTRIES = 2048
_MEMO_CHARS = 512

_SECRET_KEY = re.compile(
    r"(?i)token|secret|passw|authoriz|cookie|api[-_ ]?key|bearer|code_verifier|assertion|private[-_ ]?key"
    r"|credential"
)
# `max_tokens`, `input_tokens_details`: counts. A text under such a name is cut out all the same.
_COUNT_KEY = re.compile(r"(?i)tokens(?:_\w+)?$")
_CONTENT_KEYS = frozenset(
    ("file_data", "b64_json", "partial_image_b64", "encrypted_content", "input_audio")
)
_SENSITIVE_FIELD = re.compile(
    rb"authoriz|cookie|token|secret|passw|api-?key|bearer|credential|assertion"
)
_LOOKS_SECRET = re.compile(
    r"(?i:\bbearer\s+)[^\s\"',;]+"
    r"|(?i:\bbasic\s+)[A-Za-z0-9+/=_-]{12,}"
    r"|eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
    r"|\bsk-[A-Za-z0-9_-]{8,}"
    r"|\b(?:gh[pousr]_|xox[abeprs]-|AIza|AKIA|glpat-|hf_)[A-Za-z0-9_-]{10,}"
    r"|(?<=://)[^/\s@\"']+(?=@)"
)
_DATA_URL = re.compile(
    r"(data:[\w.+/-]{0,80}(?:;[\w=.-]{1,40}){0,4};base64,)([A-Za-z0-9+/=_-]{16,})"
)
_WORD = re.compile(r"[A-Za-z0-9_+=~-]{20,}")
_OWN_ID = re.compile(
    r"(?:req|file|resp|conv|msg|rs|fc|ctc|call|item|chatcmpl|cmpl)[_-][0-9A-Za-z]{8,64}"
)
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_ESCAPE = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|x([0-9A-Fa-f]{2})|([/\"\\]))")


class Redactor:
    """Cuts `secrets`, and what looks like one, out of texts. Immutable but for its memory of short texts."""

    __slots__ = ("_fields", "_last", "_literals", "_needles", "_raw", "_shorts", "secrets")

    def __init__(self, secrets: Iterable[bytes] = ()) -> None:
        self.secrets = frozenset(s for s in secrets if len(s) >= MIN_SECRET_BYTES)
        # The longest first: a secret that contains another one goes as a whole.
        ordered = sorted(self.secrets, key=len, reverse=True)
        self._raw = tuple(s.lower() for s in ordered)
        self._needles = tuple(needle for s in ordered for needle in encodings(s))
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
        if self._needles and self._hides_one(raw):
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
        """Whether no secret stands as it is in an encoded line: the last look before the disk."""
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
        if key in _CONTENT_KEYS:
            return REDACTED
        if key == "code" and isinstance(value, str) and not error:
            return (
                REDACTED  # an OAuth code; the `code` of an error object is a word of the protocol
            )
        return self._value(value, depth)

    def _content(self, text: str) -> str:
        text = _DATA_URL.sub(lambda m: f"{m[1]}[{len(m[2]) * 3 // 4} bytes]", text)
        text = self.text(text)
        if len(text) > MAX_TEXT_CHARS:
            return f"{text[:MAX_TEXT_CHARS]}...[{len(text) - MAX_TEXT_CHARS} more characters]"
        return text

    def _cut_out(self, raw: bytes) -> bytes:
        low = raw.lower()
        for needle in self._needles:
            at = low.find(needle)
            while at >= 0:
                raw = raw[:at] + b"[REDACTED]" + raw[at + len(needle) :]
                low = raw.lower()
                at = low.find(needle, at + len(REDACTED))
        return raw

    def _hides_one(self, raw: bytes) -> bool:
        """Whether a secret appears once escapes are undone, up to three deep, or white space is left out."""
        form = raw
        for _ in range(3):
            plain = _undo_escapes(form)
            if plain == form:
                break
            form = plain
            if self._has_any(form):
                return True
        packed = b"".join(form.split())
        return len(packed) != len(form) and self._has_any(packed)

    def _has_any(self, data: bytes) -> bool:
        low = data.lower()
        return any(needle in low for needle in self._needles)


def encodings(secret: bytes) -> tuple[bytes, ...]:
    """Return the forms of `secret` to look for, in lower case, the plain one first.

    Base64 of a text that contains the secret has one of three alignments; of each only the characters
    that do not depend on the neighbours are looked for.
    """
    forms = [secret.lower(), secret.hex().encode()]
    try:
        escaped = json.dumps(secret.decode("utf-8"))[1:-1].encode()
    except UnicodeDecodeError:
        escaped = json.dumps(secret.decode("latin-1"))[1:-1].encode()
    forms.append(escaped.lower())
    latin = secret.decode("latin-1").encode("utf-8")
    forms.append(latin.lower())
    if len(secret) >= MIN_ENCODED_BYTES:
        for before in range(3):
            encoded = b2a_base64(bytes(before) + secret, newline=False)
            stable = encoded[(0, 2, 3)[before] : (before + len(secret)) * 8 // 6].lower()
            forms += [stable, stable.replace(b"+", b"-").replace(b"/", b"_")]
    return tuple(dict.fromkeys(forms))


def presented_secrets(fields: Fields) -> list[bytes]:
    """Return the values of the credential fields of a request, with and without their scheme."""
    found = []
    for name, value in fields:
        if _SENSITIVE_FIELD.search(name):
            for part in re.split(rb"[\s;,]+", value)[:16]:
                found.append(part)
                if b"=" in part.rstrip(b"="):
                    found.append(part.partition(b"=")[2])
    # Words such as "Bearer" or "none" are no credentials.
    return [part for part in found if len(part) >= 8]


def _undo_escapes(data: bytes) -> bytes:
    if b"%" in data:
        data = _PERCENT.sub(lambda m: bytes((int(m[1], 16),)), data)
    if b"\\" in data:
        data = _ESCAPE.sub(_unescaped, data)
    return data


def _unescaped(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2]
    return bytes((int(digits, 16),)) if digits else match[3]


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
