"""Content parts of messages, in either API's spelling, as Responses parts.

Owns: text, refusals, images and files inside `content`. An image that comes along is checked by its signature; an
address is passed on as it is and never fetched (threat-model.md, B3). Layer: rules.
"""

from __future__ import annotations

import binascii
from typing import Any

from airelays.dialects.checks import fault, missing, shown, want_list, want_object, want_text
from airelays.dialects.translated import FileRef, Notes

MAX_IMAGE_BYTES = 20 * 1024 * 1024
MAX_PARTS = 2048
MAX_URL_CHARS = 8192

_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_IMAGE_TYPES = frozenset({"image_url", "input_image"})
_FILE_TYPES = frozenset({"file", "input_file"})
# What some clients replay from an answer of another vendor; it was never part of the text.
_THOUGHT_TYPES = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_text"})
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "text": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "markdown": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "html": "text/html",
    "htm": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "py": "text/x-python",
    "js": "text/javascript",
    "c": "text/x-c",
    "css": "text/css",
}


def content_parts(
    content: Any, role: str, path: str, notes: Notes, *, keep_unknown: bool = False
) -> list[dict[str, Any]]:
    """Return the Responses parts of a message's `content`: a string, an array of parts, or null.

    Null gives no parts; whether that is allowed is the caller's business. Empty texts are left out.
    `keep_unknown` passes parts of unknown types on, else they are refused.
    """
    if content is None:
        return []
    if isinstance(content, str):
        return [_text(content, role)] if content else []
    if isinstance(content, dict):
        notes.quirk("content_object")
        content = [content]
    if not isinstance(content, list):
        raise fault(
            path, f"is {shown(content)}; expected a string or an array of parts", "invalid_type"
        )
    parts: list[dict[str, Any]] = []
    for at, part in enumerate(want_list(content, path, most=MAX_PARTS)):
        where = f"{path}[{at}]"
        if isinstance(part, str):
            part = {"type": "text", "text": part}
        found = _part(want_object(part, where), role, where, notes, keep_unknown)
        if found is not None:
            parts.append(found)
    return parts


def text_of(content: Any, path: str, notes: Notes) -> str:
    """Return the text of a `content` that may hold nothing but text; null is refused."""
    if isinstance(content, str):
        return content
    if content is None:
        raise missing(path, "a string or an array of text parts")
    parts = content_parts(content, "user", path, notes)
    for at, part in enumerate(parts):
        if part["type"] != "input_text":
            raise fault(f"{path}[{at}]", "is not a text part; only text is accepted for this role")
    return "\n".join(part["text"] for part in parts)


def _text(text: str, role: str) -> dict[str, Any]:
    return {"type": "output_text" if role == "assistant" else "input_text", "text": text}


def _part(
    part: dict[str, Any], role: str, path: str, notes: Notes, keep_unknown: bool
) -> dict[str, Any] | None:
    if "cache_control" in part:
        notes.quirk("cache_control_ignored")
    kind = part.get("type")
    if kind is None and isinstance(part.get("text"), str):
        kind = "text"
    if not isinstance(kind, str) or not kind:
        raise missing(f"{path}.type", 'a part type, for example "text"')
    if kind in _TEXT_TYPES:
        text = part.get("text")
        if text is None and part.get("file_id") is not None:
            return _text_file(part, path, notes)
        if not isinstance(text, str):
            raise fault(f"{path}.text", f"is {shown(text)}; expected a string", "invalid_type")
        return _text(text, role) if text else None
    if kind == "refusal":
        return _refusal(part, role, path)
    if kind in _THOUGHT_TYPES:
        notes.quirk("thinking_parts_dropped")
        return None
    if kind in _IMAGE_TYPES or kind in _FILE_TYPES:
        if role == "assistant":
            raise fault(
                f"{path}.type", f"is {shown(kind)}; an assistant message contains only text"
            )
        is_image = kind in _IMAGE_TYPES
        return _image(part, path, notes) if is_image else _file(part, path, notes)
    if keep_unknown and kind != "input_audio":
        return {key: value for key, value in part.items() if key != "cache_control"}
    accepted = (
        "input_text, input_image and input_file"
        if keep_unknown
        else "text, image_url, file and refusal"
    )
    raise fault(f"{path}.type", f"is {shown(kind)}; accepted are {accepted}", "unsupported_value")


def _text_file(part: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """A text file by its id where a text is expected: its content becomes the text."""
    wanted = want_text(part["file_id"], f"{path}.file_id")
    found = {"type": "input_text", "file_id": wanted}
    notes.file_refs.append(FileRef(wanted, "text", f"{path}.file_id", found))
    return found


def _refusal(part: dict[str, Any], role: str, path: str) -> dict[str, Any] | None:
    if role != "assistant":
        raise fault(f"{path}.type", 'is "refusal"; only an assistant message can contain one')
    text = part.get("refusal")
    if not isinstance(text, str):
        raise fault(f"{path}.refusal", f"is {shown(text)}; expected a string", "invalid_type")
    return {"type": "refusal", "refusal": text} if text else None


def _image(part: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    value, detail, file_id = part.get("image_url"), part.get("detail"), part.get("file_id")
    if isinstance(value, dict):
        detail = value.get("detail") if detail is None else detail
        file_id = value.get("file_id") if file_id is None else file_id
        value = value.get("url")
    if detail is None:
        detail = "auto"
    if detail not in ("auto", "low", "high", "original"):
        raise fault(f"{path}.detail", f"is {shown(detail)}; expected auto, low, high or original")
    if value is None and file_id is not None:
        found = {
            "type": "input_image",
            "file_id": want_text(file_id, f"{path}.file_id"),
            "detail": detail,
        }
        notes.file_refs.append(FileRef(file_id, "image", f"{path}.file_id", found))
        return found
    # Not the path of the inner `url`, so that both spellings of the part read alike.
    where = f"{path}.image_url"
    url = check_image_url(want_text(value, where, "an image URL, or a data URL"), where)
    return {"type": "input_image", "image_url": url, "detail": detail}


def _file(part: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    inner = part.get("file")
    if inner is not None:
        path = f"{path}.file"
        part = want_object(inner, path)
    file_id, data, url = part.get("file_id"), part.get("file_data"), part.get("file_url")
    name = part.get("filename")
    if name is not None:
        name = want_text(name, f"{path}.filename")
    if file_id is not None:
        found = {"type": "input_file", "file_id": want_text(file_id, f"{path}.file_id")}
        notes.file_refs.append(FileRef(file_id, "file", f"{path}.file_id", found))
        return found
    if url is not None:
        return {"type": "input_file", "file_url": check_web_url(url, f"{path}.file_url")}
    text = want_text(data, f"{path}.file_data", "base64 or a data URL; or give file_id")
    made = check_file_data(text, name, f"{path}.file_data")
    return {"type": "input_file", "file_data": made, "filename": name or name_for(made)}


def check_web_url(value: Any, path: str) -> str:
    """Return an address that is passed on as it is: http or https."""
    url = want_text(value, path, "a URL")
    scheme = url.partition(":")[0].lower() if ":" in url[:32] else ""
    if scheme not in ("http", "https") or url[len(scheme) : len(scheme) + 3] != "://":
        raise fault(path, f"is {shown(url)}; expected a URL that begins with https://")
    if len(url) > MAX_URL_CHARS:
        raise fault(
            path, f"has {len(url):,} characters; at most {MAX_URL_CHARS:,} are accepted for a URL"
        )
    return url


def check_file_data(data: str, name: str | None, path: str) -> str:
    """Return a file's data URL: its type by the signature, else as it is named, else by the file's name."""
    kind: str | None = None
    if data[:5].lower() == "data:":
        head, comma, data = data.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise fault(path, "is a data URL without base64; expected data:TYPE;base64,DATA")
        kind = head[5:-7] or None
    data = _without_breaks(data)
    _check_base64(data, 0, path)
    found = _signature(data[:24])
    if found is None and (
        kind is None or kind.partition(";")[0].lower() == "application/octet-stream"
    ):
        found = guess_media_type(name or "") or kind
    found = found or kind
    if found is None:
        raise fault(
            path,
            f"is base64 and filename is {shown(name)}, whose type is unknown; "
            "send a data URL that names the type",
        )
    return f"data:{found};base64,{data}"


def name_for(url: str) -> str:
    """Return a file name that says the type of a data URL; upstreams refuse a file without one."""
    kind = url[5 : url.index(";")].lower()
    ending = next((end for end, found in _MEDIA_TYPES.items() if found == kind), "bin")
    return f"file.{ending}"


def _without_breaks(data: str) -> str:
    """Undo the line breaks of MIME's base64; a look at the first line tells whether there are any."""
    if "\n" in data[:1024] or "\r" in data[:1024]:
        return "".join(data.split())
    return data.strip()


def check_image_url(url: str, path: str) -> str:
    """Return an image's URL: http(s) as it is, a data URL checked and its media type set right."""
    if url[:5].lower() != "data:":
        if ":" in url[:32] and url[:4].lower() == "http":
            return check_web_url(url, path)
        raise fault(path, f"is {shown(url)}; expected an https:// URL or a data URL with base64")
    head, comma, _ = url[:256].partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise fault(path, "is a data URL without base64; expected data:image/png;base64,DATA")
    start = len(head) + 1
    if "\n" in url[start : start + 1024] or "\r" in url[start : start + 1024]:
        url = url[:start] + _without_breaks(url[start:])
    size = (len(url) - start) * 3 // 4
    if size > MAX_IMAGE_BYTES + 2:
        raise fault(
            path, f"contains an image of {size:,} bytes; at most {MAX_IMAGE_BYTES:,} are accepted"
        )
    _check_base64(url, start, path)
    kind = _signature(url[start : start + 24])
    if kind is None or not kind.startswith("image/"):
        raise fault(
            path, "contains no PNG, JPEG, GIF or WebP image by its signature; send one of these"
        )
    if head[5:-7].partition(";")[0].lower() == kind:
        return url
    return f"data:{kind};base64,{url[start:]}"


def _check_base64(text: str, start: int, path: str) -> None:
    """Refuse what is not base64. In slices: 8 MiB cost 6 ms so, and no second copy is alive."""
    end = len(text)
    while end > start and end > len(text) - 2 and text[end - 1] == "=":
        end -= 1
    if (len(text) - start) % 4 and end != len(text):
        raise fault(path, "contains base64 of the wrong length; send all of it, with its padding")
    for at in range(start, end, 65536):
        piece = text[at : min(at + 65536, end)]
        if not piece.isascii() or piece.encode().translate(None, _BASE64):
            raise fault(path, "contains characters that are not base64; encode it again")


def _signature(start: str) -> str | None:
    """Return the media type of a picture or a PDF by the begin of its base64."""
    try:
        head = binascii.a2b_base64(start[: len(start) // 4 * 4])
    except binascii.Error:
        return None
    return "application/pdf" if head.startswith(b"%PDF-") else image_type(head)


def guess_media_type(name: str) -> str | None:
    """Return the media type that a file name's ending stands for."""
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower()) if "." in name else None


def image_type(head: bytes) -> str | None:
    """Return the media type of an image by its signature, None for anything else."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return None
