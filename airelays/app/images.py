"""`/v1/images/generations` and `/v1/images/edits`: `n` calls upstream, one answer. Layer: app."""

from __future__ import annotations

import asyncio
import binascii
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airelays.app.bodies import read_json, refuse
from airelays.app.streaming import STREAM_FIELDS
from airelays.dialects.checks import fault, want_text
from airelays.dialects.images import ImageRequest, from_images, image_events, need_images, to_images
from airelays.dialects.parts import MAX_IMAGE_BYTES, check_image_url, image_type
from airelays.dialects.reply import read_usage
from airelays.errors import ClientFault, UpstreamFault
from airelays.guard.keys import check_model
from airelays.model import Fields, Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.protocol.multipart import MultipartParser, PartBegan, PartData, boundary_of

if TYPE_CHECKING:
    from airelays.app.desk import Desk

AT_ONCE = 3
MAX_IMAGES = 16
FRAMING_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
_NUMBERS = ("n", "partial_images", "output_compression")
_IMAGE_NAMES = ("image", "image[]", "images", "images[]")

Image = tuple[dict[str, Any], Fields]


async def generations(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/images/generations."""
    if await _passed(desk, request, route, values):
        return
    wanted = from_images(await read_json(desk, request))
    await _answer(desk, request, "generations", wanted)


async def edits(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """POST /v1/images/edits, as a form or as JSON."""
    if await _passed(desk, request, route, values):
        return
    kind = (request.head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        body, urls = await _read_form(desk, request)
    else:
        body = await read_json(desk, request)
        urls = await _urls_of(desk, request, body)
    wanted = from_images(body)
    need_images(len(urls), MAX_IMAGES)
    wanted.body["images"] = [{"image_url": url} for url in urls]
    await _answer(desk, request, "edits", wanted)


async def _passed(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> bool:
    """Whether the request was answered otherwise: by a server with its own images API, or with a 501."""
    upstream = desk.upstreams.main
    if upstream.passes:
        from airelays.app import forwarding

        kind = (request.head.get(b"content-type") or b"").lower()
        is_form = kind.startswith(b"multipart/")
        forward = forwarding.forward_multipart if is_form else forwarding.forward_json
        await forward(desk, request, route, values)
        return True
    if "image" not in upstream.offers:
        await refuse(desk, request, route, values)
    return False


async def _answer(desk: Desk, request: Request, operation: str, wanted: ImageRequest) -> None:
    upstream: Any = desk.upstreams.main
    model = wanted.body["model"]
    check_model(request.caller.key, model, upstream.name, model)
    request.outcome.model, request.outcome.upstream = wanted.body["model"], upstream.name
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def one() -> Image:
        async with turnstile:
            made: Image = await upstream.image(operation, wanted.body)
            return made

    made = await _all([asyncio.create_task(one(), name="image") for _ in range(wanted.n)])
    answers = [answer for answer, _ in made]
    fields = [*made[-1][1]]
    ignored = [*wanted.ignored, *_not_honoured(wanted, answers[0])]
    if ignored:
        names = ",".join(quote(name[:64], safe="_-.[]") for name in ignored[:32])
        fields.append((b"x-airelays-ignored-parameters", names.encode()))
    whole = to_images(answers)
    request.outcome.usage = read_usage(whole.get("usage"))
    if not wanted.stream:
        body = await asyncio.to_thread(dumps, whole)
        await request.reply(200, body, fields)
        return
    events = await asyncio.to_thread(image_events, answers, operation, time.time())
    request.begin_stream([*STREAM_FIELDS, *fields])
    request.send_last(events)
    await request.wait_writable()


async def _all(tasks: list[asyncio.Task[Image]]) -> list[Image]:
    """Wait for every image; the first failure ends the others and is the client's answer."""
    try:
        return list(await asyncio.gather(*tasks))
    except UpstreamFault as failed:
        if failed.status == 429:
            # The backend counts images in a bucket of their own: text requests may well go on.
            failed.message = f"image quota: {failed.message}"
            failed.upstream = {**(failed.upstream or {}), "quota": "images"}
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _not_honoured(wanted: ImageRequest, answer: dict[str, Any]) -> list[str]:
    """Name the parameters that the upstream did not follow, by its own report."""
    return [
        name
        for name in ("quality", "size", "background")
        if wanted.body.get(name, "auto") != "auto"
        and isinstance(answer.get(name), str)
        and answer[name] != wanted.body[name]
    ]


# ---- the images of an edit


async def _read_form(desk: Desk, request: Request) -> tuple[dict[str, Any], list[str]]:
    parser = MultipartParser(boundary_of(request.head.get(b"content-type")), max_parts=48)
    body: dict[str, Any] = {}
    urls: list[str] = []
    head, content = PartBegan("", None, ""), bytearray()
    async for data in request.body_parts(desk.settings.max_upload_bytes + FRAMING_BYTES):
        for event in parser.feed(data):
            if isinstance(event, PartBegan):
                head, content = event, bytearray()
            elif isinstance(event, PartData):
                content += event.data
                _check_part(head, len(content))
            else:
                await _take_part(desk, request, head, bytes(content), body, urls)
    parser.finish()
    return body, urls


def _check_part(head: PartBegan, size: int) -> None:
    most = MAX_IMAGE_BYTES if head.filename is not None else MAX_FIELD_BYTES
    if size > most:
        raise fault(head.name[:60], f"is longer than {most:,} bytes, which is the limit")


async def _take_part(
    desk: Desk,
    request: Request,
    head: PartBegan,
    content: bytes,
    body: dict[str, Any],
    urls: list[str],
) -> None:
    name = head.name
    if head.filename is not None:
        if name == "mask":
            body["mask"] = head.filename or "mask"
        elif name in _IMAGE_NAMES:
            urls.append(await asyncio.to_thread(_data_url, content, f"image[{len(urls)}]"))
        else:
            raise ClientFault(
                f"the form contains a file named {name[:60]}; expected image", param=name
            )
        return
    text = content.decode("utf-8", "replace")
    if name in _IMAGE_NAMES:
        urls.append(await _url_of(desk, request, text, f"image[{len(urls)}]"))
    elif name in _NUMBERS and text.isascii() and text.isdigit() and len(text) < 9:
        body[name] = int(text)
    elif name == "stream" and text in ("true", "false"):
        body[name] = text == "true"
    else:
        body[name] = text


async def _urls_of(desk: Desk, request: Request, body: dict[str, Any]) -> list[str]:
    given = body.get("image", body.get("images"))
    listed = given if isinstance(given, list) else [given] if given else []
    need_images(len(listed), MAX_IMAGES)
    return [await _url_of(desk, request, one, f"image[{at}]") for at, one in enumerate(listed)]


async def _url_of(desk: Desk, request: Request, value: Any, path: str) -> str:
    """Return the data URL for a data URL or the id of an uploaded file, given plain or inside an object."""
    if isinstance(value, dict):
        value = value.get("image_url") or value.get("file_id")
    text = want_text(value, path, "a data URL, or the id of an uploaded file")
    if text[:5].lower() == "data:":
        return check_image_url(text, path)
    from airelays.dialects.translated import FileRef
    from airelays.state.turn import fill_files

    part: dict[str, Any] = {"file_id": text}
    refs = [FileRef(text, "image", path, part)]
    owner = request.caller.owner
    await fill_files(desk.store, refs, desk.settings.max_json_body_bytes, owner)
    return str(part["image_url"])


def _data_url(content: bytes, path: str) -> str:
    kind = image_type(content[:16])
    if kind is None or kind == "image/gif":
        raise fault(
            path,
            "does not begin with the signature of a PNG, JPEG or WebP image; send one of these",
        )
    return f"data:{kind};base64," + binascii.b2a_base64(content, newline=False).decode("ascii")
