"""Content codings of request bodies: gzip and deflate, decoded under a bound.

A few kilobytes can decode to gigabytes (aiohttp CVE-2025-69223), so the decoder is never asked for more than the
limit and one byte. Owns: which codings there are. zstd needs the system's library and is handed in. Layer: rules.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

from airelays.errors import ClientFault

# (data, limit) -> the decoded bytes, at most limit + 1 of them. Raises ValueError for malformed data.
Zstd = Callable[[bytes, int], bytes]


_PLAIN = (b"", b"identity")
_INFLATED = (b"gzip", b"x-gzip", b"deflate")


def check_coding(coding: bytes, *, decodes: bool = True, has_zstd: bool = False) -> None:
    """Raise ClientFault (415) for a coding that will not be decoded, before a byte of the body is read.

    `decodes` False: the route takes its body as it is, so that no coding can be undone.
    """
    name = coding.strip().lower()
    if name in _PLAIN or (decodes and (name in _INFLATED or (name == b"zstd" and has_zstd))):
        return
    raise _unknown(name, "gzip, deflate or none" if decodes else "none")


def decode_body(
    raw: bytes | bytearray, coding: bytes, max_bytes: int, zstd: Zstd | None = None
) -> bytes | bytearray:
    """Return `raw` without its Content-Encoding `coding` (RFC 9110 section 8.4), at most `max_bytes`.

    Raises ClientFault: 415 for a coding that is not decoded here, 413 beyond `max_bytes`, 400 for bad data.
    """
    name = coding.strip().lower()
    if name in _PLAIN:
        return raw
    try:
        if name in (b"gzip", b"x-gzip"):
            plain = _inflate(raw, max_bytes, zlib.MAX_WBITS | 16)
        elif name == b"deflate":
            # Some clients send raw deflate under this name; zlib's header tells them apart.
            bits = zlib.MAX_WBITS if raw[:1] and raw[0] & 0x0F == 8 else -zlib.MAX_WBITS
            plain = _inflate(raw, max_bytes, bits)
        elif name == b"zstd" and zstd is not None:
            plain = zstd(bytes(raw), max_bytes)
        else:
            raise _unknown(name, "gzip, deflate or none")
    except (zlib.error, ValueError) as error:
        text = (
            f"request body is not valid {name.decode('latin-1')}; send it without Content-Encoding"
        )
        raise ClientFault(text, code="invalid_content_encoding") from error
    if len(plain) > max_bytes:
        raise ClientFault(
            f"request body decodes to more than {max_bytes:,} bytes, the limit of this route",
            status=413,
            code="request_too_large",
        )
    return plain


def _inflate(raw: bytes | bytearray, max_bytes: int, wbits: int) -> bytes:
    decoder = zlib.decompressobj(wbits=wbits)
    plain = decoder.decompress(raw, max_bytes + 1)
    if len(plain) <= max_bytes and not decoder.eof:
        raise ValueError("the compressed body is cut off")
    return plain


def _unknown(name: bytes, good: str) -> ClientFault:
    shown = name[:32].decode("latin-1")
    hint = (
        "; for the Codex CLI: codex -c features.enable_request_compression=false"
        if name == b"zstd"
        else ""
    )
    return ClientFault(
        f'Content-Encoding "{shown}" is not supported; send {good}{hint}',
        status=415,
        code="unsupported_content_encoding",
    )
