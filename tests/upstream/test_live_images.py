"""`/v1/images` of a real relay with the demo upstream: checks, counts, streams, edits, quota."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import Relay, running
from tests.net.test_live_wire import WIDE
from tests.state.test_live_files import FORM, field, form, upload

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
GENERATE, EDIT = "/v1/images/generations", "/v1/images/edits"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


def is_png(text: str) -> bool:
    """Whether this is a PNG whose chunks are whole."""
    data = base64.b64decode(text, validate=True)
    assert data[:8] == PNG[:8]
    at, kinds = 8, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + content
        )
        kinds.append(kind)
        at += 12 + size
    return kinds == [b"IHDR", b"IDAT", b"IEND"]


def test_a_prompt_becomes_a_picture(relay: Relay) -> None:
    reply = relay.send("POST", GENERATE, {"prompt": "a red fox"})
    assert reply.status == 200
    body = reply.json()
    assert is_png(body["data"][0]["b64_json"])
    assert body["output_format"] == "png" and body["usage"]["input_tokens"] == 3
    assert relay.send("POST", GENERATE, {"prompt": "a red fox"}).json()["data"] == body["data"]


def test_n_pictures_come_in_one_answer_with_their_usage_summed(relay: Relay) -> None:
    body = relay.send("POST", GENERATE, {"prompt": "two words", "n": 4}).json()
    assert len(body["data"]) == 4
    assert body["usage"]["input_tokens"] == 8
    assert body["usage"]["input_tokens_details"] == {"text_tokens": 8, "image_tokens": 0}


def test_a_stream_has_one_final_event_a_picture_and_no_done(relay: Relay) -> None:
    reply = relay.send("POST", GENERATE, {"prompt": "x", "n": 2, "stream": True})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = reply.events()
    assert [e["type"] for e in events] == ["image_generation.completed"] * 2
    assert all(is_png(e["b64_json"]) for e in events)
    assert b"[DONE]" not in reply.body


def test_what_the_upstream_has_no_field_for_is_disclosed(relay: Relay) -> None:
    body = {"prompt": "x", "output_format": "webp", "user": "me", "novel": 1, "size": "1024x1024"}
    reply = relay.send("POST", GENERATE, body)
    assert reply.status == 200
    assert reply.headers["x-airelays-ignored-parameters"] == "output_format,novel,user,size"


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [
        ({}, "prompt", 400),
        ({"prompt": ""}, "prompt", 400),
        ({"prompt": "  "}, "prompt", 400),
        ({"prompt": "x" * 32001}, "prompt", 400),
        ({"prompt": "x", "n": 0}, "n", 400),
        ({"prompt": "x", "n": 11}, "n", 400),
        ({"prompt": "x", "n": "2"}, "n", 400),
        ({"prompt": "x", "size": "100x100"}, "size", 400),
        ({"prompt": "x", "size": "1024x1000"}, "size", 400),
        ({"prompt": "x", "size": "3840x1024"}, "size", 400),
        ({"prompt": "x", "quality": "best"}, "quality", 400),
        ({"prompt": "x", "background": "pink"}, "background", 400),
        ({"prompt": "x", "stream": "yes"}, "stream", 400),
        ({"prompt": "x", "output_compression": 101}, "output_compression", 400),
        ({"prompt": "x", "partial_images": 4}, "partial_images", 400),
        ({"prompt": "x", "model": "gpt-5.5"}, "model", 404),
    ],
)
def test_a_bad_request_is_refused_by_name(
    relay: Relay, body: dict[str, Any], param: str, status: int
) -> None:
    reply = relay.send("POST", GENERATE, body)
    assert (reply.status, reply.error["param"]) == (status, param)


@pytest.mark.parametrize("n", [1, 3])
def test_an_image_quota_is_not_taken_for_a_text_quota(relay: Relay, n: int) -> None:
    reply = relay.send("POST", GENERATE, {"prompt": "demo:quota", "n": n})
    assert (reply.status, reply.error["code"]) == (429, "usage_limit_reached")
    assert reply.error["quota"] == "images"
    assert reply.error["message"].startswith("image quota: ")
    assert reply.headers["retry-after"] == "3600"


def image_part(data: bytes, name: str = "image") -> bytes:
    head = field(name, "").replace(b'"\r\n\r\n\r\n', b'"; filename="a.png"\r\n\r\n')
    return head + data + b"\r\n"


def test_an_edit_takes_a_form_with_images(relay: Relay) -> None:
    one = form(field("prompt", "blue"), image_part(PNG), field("n", "2"))
    two = form(image_part(PNG, "image[]"), image_part(PNG, "image[]"), field("prompt", "blue"))
    first = relay.send("POST", EDIT, one, headers=FORM)
    assert first.status == 200, first.body
    assert len(first.json()["data"]) == 2
    second = relay.send("POST", EDIT, two, headers=FORM)
    assert second.json()["data"][0] != first.json()["data"][0]


def test_an_edit_takes_json_with_data_urls_and_file_ids(relay: Relay) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    stored = upload(relay, PNG, "a.png", purpose="vision").json()["id"]
    for image in (url, [url, url], stored, [{"image_url": url}], [{"file_id": stored}]):
        reply = relay.send("POST", EDIT, {"prompt": "x", "image": image, "stream": True})
        assert reply.status == 200, reply.body
        assert reply.events()[0]["type"] == "image_edit.completed"


@pytest.mark.parametrize(
    ("parts", "param"),
    [
        ([field("prompt", "x")], "image"),
        ([image_part(PNG)], "prompt"),
        ([field("prompt", "x"), image_part(b"GIF89a" + b"\0" * 20)], "image[0]"),
        ([field("prompt", "x"), image_part(b"not an image")], "image[0]"),
        ([field("prompt", "x"), image_part(PNG), image_part(PNG, "mask")], "mask"),
        ([field("prompt", "x"), image_part(PNG), field("n", "x")], "n"),
        ([field("prompt", "x"), *[image_part(PNG)] * 17], "image"),
        ([field("prompt", "x"), field("image", "file-" + "0" * 32)], "image[0]"),
        ([field("prompt", "x"), field("image", "http://127.0.0.1/a.png")], "image[0]"),
    ],
)
def test_a_bad_edit_is_refused_by_name(relay: Relay, parts: list[bytes], param: str) -> None:
    reply = relay.send("POST", EDIT, form(*parts), headers=FORM)
    assert (reply.status, reply.error["param"]) == (400, param), reply.body
