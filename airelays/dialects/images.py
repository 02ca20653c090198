"""Requests for images as the backend takes them, one image each; its answers as one. Layer: rules."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from airelays.dialects.checks import (
    fault,
    missing,
    present,
    shown,
    want_bool,
    want_text,
    wrong_type,
)
from airelays.dialects.models import IMAGE_MODEL
from airelays.errors import ClientFault

DEFAULT_MODEL = IMAGE_MODEL
MAX_PROMPT_CHARS = 32_000
MAX_COUNT = 10
_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
_LONGEST_EDGE = 3840
_PIXELS = (655_360, 8_294_400)
_CHOICES = {
    "quality": ("auto", "low", "medium", "high"),
    "background": ("transparent", "opaque", "auto"),
    "moderation": ("low", "auto"),
}
# Checked, then left out and disclosed: the backend has no such field. With the value that changes nothing.
_DROPPED = {
    "output_format": ("png", ("png", "jpeg", "webp")),
    "response_format": ("b64_json", ("b64_json", "url")),
    "input_fidelity": (None, ("low", "high")),
    "style": (None, ("vivid", "natural")),
}
_KNOWN = {"prompt", "model", "n", "size", "stream", "image", "image[]", "images", "mask", *_CHOICES}


class ImageRequest(NamedTuple):
    """What to send `n` times, and what was left out."""

    body: dict[str, Any]
    n: int
    stream: bool
    ignored: tuple[str, ...]


def from_images(body: dict[str, Any]) -> ImageRequest:
    """Read a generation or an edit, apart from its images. Raises ClientFault."""
    body = present(body)
    made: dict[str, Any] = {"prompt": _prompt(body.get("prompt")), "model": _model(body)}
    if "size" in body:
        made["size"] = _size(body["size"])
    for name, choices in _CHOICES.items():
        if name in body:
            made[name] = _choice(name, body[name], choices)
    n = _whole(body.get("n", 1), "n", 1, MAX_COUNT)
    stream = want_bool(body.get("stream", False), "stream")
    if body.get("mask"):
        raise fault("mask", "is not offered by the upstream; remove it", "unsupported_parameter")
    return ImageRequest(made, n, stream, tuple(_dropped(body)))


def _prompt(value: Any) -> str:
    prompt = want_text(value, "prompt", "a description of the image")
    if not prompt.strip():
        raise fault("prompt", "is blank; expected a description of the image")
    if len(prompt) > MAX_PROMPT_CHARS:
        raise fault(
            "prompt",
            f"has {len(prompt):,} characters; at most {MAX_PROMPT_CHARS:,} are accepted",
            "string_above_max_length",
        )
    return prompt


def _model(body: dict[str, Any]) -> str:
    model = want_text(body.get("model", DEFAULT_MODEL), "model")
    if not model.startswith("gpt-image-") and model != "chatgpt-image-latest":
        raise ClientFault(
            f"model {model[:80]} cannot create images; use {DEFAULT_MODEL}, or another gpt-image model",
            status=404,
            param="model",
            code="model_not_found",
        )
    return model


def _size(value: Any) -> str:
    size = want_text(value, "size", "auto, or WIDTHxHEIGHT")
    if size == "auto":
        return size
    found = _SIZE.fullmatch(size)
    if found is None:
        raise fault("size", f"is {shown(size)}; expected auto, or WIDTHxHEIGHT such as 1024x1024")
    width, height = int(found[1]), int(found[2])
    low, high = _PIXELS
    if width % 16 or height % 16 or max(width, height) > _LONGEST_EDGE:
        raise fault(
            "size", f"is {size}; both edges must be multiples of 16, at most {_LONGEST_EDGE:,} long"
        )
    if max(width, height) > 3 * min(width, height) or not low <= width * height <= high:
        raise fault(
            "size",
            f"is {size}; the edges must not differ by more than 3:1, with {low:,} to {high:,} pixels",
        )
    return size


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    text = want_text(value, name, " or ".join(choices))
    if text not in choices:
        raise fault(name, f"is {shown(text)}; expected {', '.join(choices)}")
    return text


def _whole(value: Any, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, value, f"a whole number from {low} to {high}")
    if not low <= value <= high:
        raise fault(name, f"is {value}; expected a whole number from {low} to {high}")
    return value


def _dropped(body: dict[str, Any]) -> list[str]:
    names = []
    if "partial_images" in body and _whole(body["partial_images"], "partial_images", 0, 3):
        names.append("partial_images")
    if _whole(body.get("output_compression", 100), "output_compression", 0, 100) != 100:
        names.append("output_compression")
    for name, (usual, choices) in _DROPPED.items():
        if name in body and _choice(name, body[name], choices) != usual:
            names.append(name)
    checked = {"partial_images", "output_compression", *_DROPPED}
    return [*names, *sorted(set(body) - _KNOWN - checked)]


def to_images(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one Images object: the first answer's facts, every image, the usage summed."""
    made = {key: value for key, value in answers[0].items() if key != "data"}
    data: list[Any] = []
    for answer in answers:
        images = answer.get("data")
        data += images if isinstance(images, list) else []
    made["data"] = data
    usages = [u for a in answers if isinstance(u := a.get("usage"), dict)]
    if usages:
        made["usage"] = _summed(usages)
    return made


def _summed(usages: list[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for name in dict.fromkeys(name for usage in usages for name in usage):
        values = [usage[name] for usage in usages if usage.get(name) is not None]
        if values and all(isinstance(v, dict) for v in values):
            total[name] = _summed(values)
        elif values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
            total[name] = sum(values)
        else:
            total[name] = values[0] if values else None
    return total


def image_events(answers: Sequence[dict[str, Any]], operation: str, now_s: float) -> bytes:
    """Return the event stream that a client of `stream: true` gets: one final event an image, no `[DONE]`."""
    kind = f"image_{'edit' if operation == 'edits' else 'generation'}.completed"
    frames = []
    for answer in answers:
        facts = {k: answer.get(k) for k in ("background", "output_format", "quality", "size")}
        images = answer.get("data")
        for image in images if isinstance(images, list) else []:
            event = {
                "type": kind,
                "b64_json": image.get("b64_json") if isinstance(image, dict) else None,
                "created_at": answer.get("created") or int(now_s),
                **facts,
                "usage": answer.get("usage"),
            }
            frames.append(f"event: {kind}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n")
    return "".join(frames).encode()


def need_images(count: int, most: int) -> None:
    """Refuse an edit without images, or with too many."""
    if not count:
        raise missing("image", "one to 16 images")
    if count > most:
        raise fault("image", f"contains {count} images; at most {most} are accepted")
