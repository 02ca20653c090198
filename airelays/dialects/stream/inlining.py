"""An uploaded file as the part of a request that stands for it. Layer: rules.

Images go as data URL, type checked by signature; documents as data URL with their name; text files where a text is
expected become that text. What a file is, is read from its bytes and its name before its declared type is believed.
"""

from __future__ import annotations

import binascii
from typing import Any

from airelays.dialects.checks import fault
from airelays.dialects.parts import MAX_IMAGE_BYTES, guess_media_type, image_type
from airelays.dialects.translated import FileRef
from airelays.errors import ClientFault

MAX_INLINE_BYTES = 1_000_000

_TEXT_TYPES = frozenset(
    {
        "application/json",
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/csv",
        "application/x-ndjson",
        "application/javascript",
        "application/toml",
    }
)
_OFFICE = "application/vnd.openxmlformats-officedocument."


def check_size(ref: FileRef, size: int) -> None:
    """Refuse a file that is too large for its place, before it is read. Raises ClientFault."""
    most = {"image": MAX_IMAGE_BYTES, "text": MAX_INLINE_BYTES}.get(ref.kind)
    if most is not None and size > most:
        raise fault(
            ref.path,
            f"names a file of {size:,} bytes; at most {most:,} are accepted for {_WORDS[ref.kind]}",
        )


_WORDS = {"image": "an image", "text": "a text that is inserted into the request"}


def fill(ref: FileRef, data: bytes, name: str, declared: str) -> dict[str, Any]:
    """Return what to put into `ref.part` in place of its `file_id`. Raises ClientFault."""
    kind = _kind_of(data, name, declared)
    if ref.kind == "image":
        if image_type(data[:16]) is None:
            raise fault(
                ref.path,
                "names a file whose signature is not that of a PNG, JPEG, GIF or WebP image",
            )
        return {"image_url": _data_url(kind, data)}
    if ref.kind == "text":
        if not _is_text(kind):
            raise _unusable(ref, kind)
        text = data.decode("utf-8", "replace")
        return {"text": f"File {name} ({kind}):\n{text}"}
    if not (_is_text(kind) or kind == "application/pdf" or kind.startswith(_OFFICE)):
        raise _unusable(ref, kind)
    return {"filename": name, "file_data": _data_url(kind, data)}


def _kind_of(data: bytes, name: str, declared: str) -> str:
    found = image_type(data[:16])
    if found is None and data.startswith(b"%PDF-"):
        found = "application/pdf"
    if found is None and declared not in ("", "application/octet-stream"):
        return declared
    return found or guess_media_type(name) or _by_content(data)


def _by_content(data: bytes) -> str:
    """Tell text from anything else: UTF-8 without NUL. Raises nothing."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "application/octet-stream"
    return "application/octet-stream" if b"\0" in data else "text/plain"


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml"))


def _unusable(ref: FileRef, kind: str) -> ClientFault:
    if kind.startswith("image/"):
        return fault(ref.path, f"names an image ({kind}); send it as input_image or image_url")
    return fault(
        ref.path, f"names a file of type {kind[:80]}; accepted are PDF, Office documents and text"
    )


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64," + binascii.b2a_base64(data, newline=False).decode("ascii")
