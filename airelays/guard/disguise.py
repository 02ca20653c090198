"""The forms in which a secret can stand in a text: what to look for, and which escapes to undo first.

All of it in lower case, so that upper and lower case count as the same. Owns: the encodings. Refuses to know:
what is done about a secret that is found. Layer: rules.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Iterator
from typing import NamedTuple

MIN_ENCODED_BYTES = 6
# Escapes inside escapes: JSON in a URL in JSON. Deeper ones do not occur by echoing.
MAX_DEPTH = 3
MAX_FORMS = 24
# A piece of a secret at the edge of a text counts from a quarter of it on, within these bounds.
MIN_PIECE_BYTES = 6
MAX_PIECE_BYTES = 16
# What may stand between such a piece and the edge: half an escape, a quotation mark, a full stop.
SLOP_BYTES = 8

_PERCENT = re.compile(rb"%([0-9a-f]{2})")
_ESCAPE = re.compile(rb"\\(?:u00([0-9a-f]{2})|x([0-9a-f]{2})|([/\"\\nrt]))")
_CONTROLS = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_QUOTED = re.compile(rb"=(?:([0-9a-f]{2})|\r?\n)")
_ENTITY = re.compile(rb"&(?:#[0-9]{1,8}|#x[0-9a-f]{1,8}|[a-z][a-z0-9]{1,31});?")


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


def undone(low: bytes) -> Iterator[bytes]:
    """Yield what the text `low` (in lower case) says once percent, JSON, quoted-printable and HTML escapes are undone.

    One kind at a time: what looks like an escape may belong to the secret itself. Each form that has white space
    comes without it as well.
    """
    seen = {low}
    forms = [low]
    for _ in range(MAX_DEPTH + 1):
        found = []
        for form in forms:
            packed = b"".join(form.split())
            if packed not in seen:
                seen.add(packed)
                yield packed
            for plain in _once(form):
                if plain not in seen and len(seen) < 2 * MAX_FORMS:
                    seen.add(plain)
                    found.append(plain)
                    yield plain
        if not found:
            return
        forms = found


def _once(low: bytes) -> Iterator[bytes]:
    if b"%" in low:
        yield _PERCENT.sub(_from_hex, low).lower()
    if b"\\" in low:
        yield _ESCAPE.sub(_unescaped, low).lower()
    if b"=" in low:
        yield _QUOTED.sub(_from_hex, low).lower()
    if b"&" in low:
        yield _ENTITY.sub(_from_entity, low).lower()


class Edge(NamedTuple):
    """One form of a secret, and the least of its beginning that tells it."""

    needle: bytes
    piece: bytes

    @classmethod
    def of(cls, needle: bytes) -> Edge:
        """Return the edge of `needle`."""
        return cls(needle, needle[: max(MIN_PIECE_BYTES, min(MAX_PIECE_BYTES, len(needle) // 4))])


def torn_at(low: bytes, edge: Edge) -> int:
    """Return where `low` ends with the beginning of a secret, as a text does that was cut inside it; -1 if not.

    With everything reversed: whether it begins with the end of one.
    """
    needle, piece = edge
    at = low.find(piece, max(0, len(low) - len(needle) - SLOP_BYTES))
    while at >= 0:
        rest = low[at:]
        for size in range(len(rest), max(len(rest) - SLOP_BYTES, len(piece)) - 1, -1):
            if needle.startswith(rest[:size]):
                return at
        at = low.find(piece, at + 1)
    return -1


def _from_hex(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),)) if match[1] else b""


def _unescaped(match: re.Match[bytes]) -> bytes:
    digits = match[1] or match[2]
    if digits:
        return bytes((int(digits, 16),))
    return _CONTROLS.get(match[3], match[3])


def _from_entity(match: re.Match[bytes]) -> bytes:
    from html import unescape

    return unescape(match[0].decode("ascii")).encode("utf-8", "replace")
