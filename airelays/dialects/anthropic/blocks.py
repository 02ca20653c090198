"""Text, images and documents in Anthropic's spelling, as Responses parts. Layer: rules.

What is inside is checked by the same rules as in the other APIs: `dialects/parts.py`.
"""

from __future__ import annotations

from typing import Any

from airelays.dialects.checks import fault, shown, want_list, want_object, want_text, wrong_type
from airelays.dialects.parts import check_file_data, check_image_url, check_web_url, name_for
from airelays.dialects.translated import FileRef, Notes

MAX_INNER_BLOCKS = 1024
_IMAGE_SOURCES = "base64, url or file"
_DOCUMENT_SOURCES = "base64, text, url, content or file"


def text_of_block(block: dict[str, Any], path: str) -> str:
    """Return the text of a block that has to be one of text."""
    kind = block.get("type")
    if kind != "text":
        raise fault(f"{path}.type", f'is {shown(kind)}; expected "text"', "unsupported_value")
    text = block.get("text")
    if not isinstance(text, str):
        raise wrong_type(f"{path}.text", text, "a string")
    return text


def image_part(block: dict[str, Any], path: str, notes: Notes) -> dict[str, Any]:
    """Return the part for an `image` block."""
    source, where, kind = _source(block, path, _IMAGE_SOURCES)
    if kind == "base64":
        media = want_text(source.get("media_type"), f"{where}.media_type", '"image/png" or another')
        data = want_text(source.get("data"), f"{where}.data", "base64")
        url = check_image_url(f"data:{media};base64,{data}", f"{where}.data")
    elif kind == "url":
        url = check_image_url(want_text(source.get("url"), f"{where}.url", "a URL"), f"{where}.url")
    elif kind == "file":
        return _file(source, where, notes, {"type": "input_image", "detail": "auto"})
    else:
        raise _no_such_source(kind, where, _IMAGE_SOURCES)
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def document_parts(block: dict[str, Any], path: str, notes: Notes) -> list[dict[str, Any]]:
    """Return the parts for a `document` block: a file, or the text that it is."""
    source, where, kind = _source(block, path, _DOCUMENT_SOURCES)
    title = _words(block, "title", path)
    head = "\n".join(text for text in (title, _words(block, "context", path)) if text)
    if kind == "base64":
        media = want_text(source.get("media_type"), f"{where}.media_type", '"application/pdf"')
        data = want_text(source.get("data"), f"{where}.data", "base64")
        url = check_file_data(f"data:{media};base64,{data}", None, f"{where}.data")
        part = {"type": "input_file", "file_data": url, "filename": _filename(title, url)}
        return [*_text(_words(block, "context", path)), part]
    if kind == "text":
        return _text("\n".join(t for t in (head, _plain(source, "data", where)) if t))
    if kind == "url":
        url = check_web_url(source.get("url"), f"{where}.url")
        return [*_text(head), {"type": "input_file", "file_url": url}]
    if kind == "content":
        return [*_text(head), *_inner(source.get("content"), f"{where}.content", notes)]
    if kind == "file":
        return [*_text(head), _file(source, where, notes, {"type": "input_file"})]
    raise _no_such_source(kind, where, _DOCUMENT_SOURCES)


def _source(block: dict[str, Any], path: str, kinds: str) -> tuple[dict[str, Any], str, str]:
    where = f"{path}.source"
    source = want_object(block.get("source"), where)
    return source, where, want_text(source.get("type"), f"{where}.type", kinds)


def _no_such_source(kind: str, where: str, kinds: str) -> Exception:
    return fault(f"{where}.type", f"is {shown(kind)}; expected {kinds}", "unsupported_value")


def _file(source: dict[str, Any], where: str, notes: Notes, part: dict[str, Any]) -> dict[str, Any]:
    file_id = want_text(source.get("file_id"), f"{where}.file_id")
    part["file_id"] = file_id
    kind = "image" if part["type"] == "input_image" else "file"
    notes.file_refs.append(FileRef(file_id, kind, f"{where}.file_id", part))
    return part


def _inner(content: Any, path: str, notes: Notes) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return _text(content)
    made: list[dict[str, Any]] = []
    for at, block in enumerate(want_list(content, path, most=MAX_INNER_BLOCKS)):
        where = f"{path}[{at}]"
        block = want_object(block, where)
        if block.get("type") == "image":
            made.append(image_part(block, where, notes))
        else:
            made += _text(text_of_block(block, where))
    return made


def _plain(source: dict[str, Any], name: str, where: str) -> str:
    text = source.get(name)
    if not isinstance(text, str):
        raise wrong_type(f"{where}.{name}", text, "a string")
    return text


def _words(block: dict[str, Any], name: str, path: str) -> str:
    text = block.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise wrong_type(f"{path}.{name}", text, "a string")
    return text


def _filename(title: str, url: str) -> str:
    made = name_for(url)
    end = "." + made.rpartition(".")[2]
    if not title:
        return made
    return title if title.lower().endswith(end) else title + end


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "input_text", "text": text}] if text else []
