from __future__ import annotations

import base64
from typing import Any

import pytest

from airelays.dialects.parts import MAX_IMAGE_BYTES, content_parts
from airelays.dialects.translated import Notes
from airelays.errors import ClientFault

PNG = b"\x89PNG\r\n\x1a\n" + bytes(32)
JPEG = b"\xff\xd8\xff\xe0" + bytes(32)
GIF = b"GIF89a" + bytes(32)
WEBP = b"RIFF\x00\x00\x00\x00WEBP" + bytes(32)


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def part(given: Any, role: str = "user") -> dict[str, Any]:
    return content_parts([given], role, "content", Notes())[0]


def image(url: str) -> str:
    made = part({"type": "image_url", "image_url": {"url": url}})
    assert made["type"] == "input_image"
    return str(made["image_url"])


def refused(given: Any, role: str = "user") -> ClientFault:
    with pytest.raises(ClientFault) as caught:
        part(given, role)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("data", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_data_urls_are_recognised_by_their_signature(data: bytes, kind: str) -> None:
    assert image(data_url(data, kind)) == data_url(data, kind)
    assert image(data_url(data, "image/wrong")) == data_url(data, kind)
    assert image(data_url(data, kind).replace(";base64", ";x=y;base64")).startswith("data:" + kind)


@pytest.mark.parametrize("size", [33, 34, 35])
def test_padding_of_any_length_is_read(size: int) -> None:
    assert image(data_url(PNG[:8] + bytes(size)))


@pytest.mark.parametrize("url", ["https://h/i.png", "HTTP://h/i", "https://10.0.0.1/x?y=z#w"])
def test_web_addresses_pass_verbatim(url: str) -> None:
    assert image(url) == url


@pytest.mark.parametrize(
    "given",
    [
        {"type": "image_url", "image_url": {"url": "https://h/i", "detail": "low"}},
        {"type": "image_url", "image_url": "https://h/i", "detail": "low"},
        {"type": "input_image", "image_url": "https://h/i", "detail": "low", "file_id": None},
    ],
)
def test_every_spelling_of_an_image_is_the_same_part(given: dict[str, Any]) -> None:
    assert part(given) == {"type": "input_image", "image_url": "https://h/i", "detail": "low"}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "file:///etc/passwd",
            'is "file:///etc/passwd"; expected an https:// URL or a data URL with base64',
        ),
        ("ftp://h/i", None),
        ("/etc/passwd", None),
        ("javascript:alert(1)", None),
        ("http:/h", None),
        ("httpx://h", None),
        ("", None),
        ("https://" + "h" * 8185, "has 8,193 characters; at most 8,192 are accepted for a URL"),
        ("data:image/png,abc", "is a data URL without base64; expected data:image/png;base64,DATA"),
        ("data:image/png;base64", None),
        ("data:" + "x" * 300 + ";base64,AAAA", None),
        ("data:image/png;base64,", None),
        (
            data_url(b"<svg></svg> and more"),
            "contains no PNG, JPEG, GIF or WebP image by its signature; send one of these",
        ),
        ("data:image/png;base64,!!!!", "contains characters that are not base64; encode it again"),
        (data_url(PNG)[:-4] + "A-_A", None),
        (data_url(PNG)[:-4] + "\u00e9AAA", None),
        (
            data_url(PNG)[:-4] + "A=",
            "contains base64 of the wrong length; send all of it, with its padding",
        ),
        (data_url(PNG) + "====", None),
    ],
)
def test_other_addresses_are_refused(url: str, text: str | None) -> None:
    fault = refused({"type": "image_url", "image_url": url})
    assert fault.param == "content[0].image_url"
    assert text is None or fault.message == f"content[0].image_url {text}"


@pytest.mark.parametrize(("size", "fits"), [(-1, True), (0, True), (3, False)])
def test_the_size_of_an_image_is_bounded(size: int, fits: bool) -> None:
    url = (
        "data:image/png;base64,"
        + base64.b64encode(PNG + bytes(MAX_IMAGE_BYTES + size - 40)).decode()
    )
    if fits:
        assert image(url) == url
    else:
        assert (
            "at most 20,971,520 are accepted"
            in refused({"type": "image_url", "image_url": url}).message
        )


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "file", "file": {"file_id": "f"}}, {"type": "input_file", "file_id": "f"}),
        (
            {"type": "input_file", "file_id": "f", "file_data": None},
            {"type": "input_file", "file_id": "f"},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a"},
            },
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,AAAA",
                "filename": "a",
            },
        ),
        (
            {"type": "input_file", "file_data": "AAAA", "filename": "A.PDF"},
            {
                "type": "input_file",
                "file_data": "data:application/pdf;base64,AAAA",
                "filename": "A.PDF",
            },
        ),
        (
            {"type": "input_file", "file_url": "https://h/f"},
            {"type": "input_file", "file_url": "https://h/f"},
        ),
    ],
)
def test_files_by_id_data_or_address(given: dict[str, Any], made: dict[str, Any]) -> None:
    assert part(given) == made


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"type": "file"}, "content[0].file_data"),
        ({"type": "file", "file": "x"}, "content[0].file"),
        ({"type": "file", "file": {"file_id": 5}}, "content[0].file.file_id"),
        (
            {"type": "file", "file": {"file_data": "AAAA", "filename": "a.exe"}},
            "content[0].file.file_data",
        ),
        ({"type": "file", "file": {"file_data": "AAAA"}}, "content[0].file.file_data"),
        (
            {"type": "file", "file": {"file_data": "A A", "filename": "a.pdf"}},
            "content[0].file.file_data",
        ),
        ({"type": "file", "file": {"file_data": "data:x,abc"}}, "content[0].file.file_data"),
        (
            {"type": "file", "file": {"file_data": "AAAA", "filename": 5}},
            "content[0].file.filename",
        ),
        ({"type": "input_file", "file_url": "file:///x"}, "content[0].file_url"),
        ({"type": "image_url"}, "content[0].image_url"),
        ({"type": "image_url", "image_url": 5}, "content[0].image_url"),
        (
            {"type": "image_url", "image_url": {"url": "https://h", "detail": "huge"}},
            "content[0].detail",
        ),
        ({"type": "input_image", "file_id": ""}, "content[0].file_id"),
        ({"type": "video_url"}, "content[0].type"),
        ({"type": ["text"]}, "content[0].type"),
    ],
)
def test_malformed_parts_are_named(given: dict[str, Any], param: str) -> None:
    assert refused(given).param == param


def test_texts_take_the_type_of_their_role_and_empty_ones_are_left_out() -> None:
    given = ["a", {"type": "output_text", "text": "b"}, {"text": "c"}, {"type": "text", "text": ""}]
    for role, kind in (
        ("user", "input_text"),
        ("developer", "input_text"),
        ("assistant", "output_text"),
    ):
        made = content_parts(given, role, "content", Notes())
        assert made == [{"type": kind, "text": letter} for letter in "abc"]


def test_cache_marks_and_thoughts_are_left_out_with_a_word() -> None:
    notes = Notes()
    given = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "thinking", "thinking": "x"},
    ]
    assert content_parts(given, "assistant", "content", notes) == [
        {"type": "output_text", "text": "a"}
    ]
    assert list(notes.quirks) == ["cache_control_ignored", "thinking_parts_dropped"]


@pytest.mark.parametrize(("count", "fits"), [(2048, True), (2049, False)])
def test_the_number_of_parts_is_bounded(count: int, fits: bool) -> None:
    given = [{"type": "text", "text": "a"}] * count
    if fits:
        assert len(content_parts(given, "user", "content", Notes())) == count
    else:
        with pytest.raises(ClientFault):
            content_parts(given, "user", "content", Notes())
