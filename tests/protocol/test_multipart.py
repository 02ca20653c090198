"""The multipart parser: exact bytes in any split, and a refusal for everything that is out of bounds."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airelays.errors import ClientFault
from airelays.protocol.multipart import (
    MAX_OUTSIDE_BYTES,
    MultipartParser,
    PartBegan,
    PartData,
    PartEnded,
    boundary_of,
)

Parts = list[tuple[PartBegan, bytes]]


def parse(body: bytes, cuts: list[int] | None = None, boundary: bytes = b"B") -> Parts:
    """Parse `body`, fed in the pieces that `cuts` make."""
    parser, found = MultipartParser(boundary), []
    head, content = None, bytearray()
    edges = sorted({0, len(body), *(c % (len(body) + 1) for c in cuts or [])})
    for start, end in itertools.pairwise(edges):
        for event in parser.feed(body[start:end]):
            if isinstance(event, PartBegan):
                assert head is None
                head, content = event, bytearray()
            elif isinstance(event, PartData):
                assert head is not None and event.data
                content += event.data
            else:
                assert isinstance(event, PartEnded) and head is not None
                found.append((head, bytes(content)))
                head = None
    parser.finish()
    assert head is None
    return found


def part(content: bytes, head: bytes = b'Content-Disposition: form-data; name="a"') -> bytes:
    return b"--B\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


TWO = (
    part(b"one")
    + part(
        b"two\r\n--Bx\r\n--",
        b'content-disposition: form-data; name="file"; filename="n.txt"\r\nContent-Type: text/plain',
    )
    + b"--B--"
)


def test_parts_come_out_as_they_went_in() -> None:
    assert parse(TWO) == [
        (PartBegan("a", None, ""), b"one"),
        (PartBegan("file", "n.txt", "text/plain"), b"two\r\n--Bx\r\n--"),
    ]


@pytest.mark.parametrize("tail", [b"", b"\r\n", b" \r\nepilogue", b"\r\n" * 50])
def test_every_split_gives_the_same(tail: bytes) -> None:
    body = b"preamble\r\n--Bx\r\n" + TWO + tail
    whole = parse(body)
    for at in range(len(body)):
        assert parse(body, [at]) == whole
    assert parse(body, list(range(len(body)))) == whole


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"--B",
        b"--",
        b"\r\n--",
        b"\r\n--A",
        b"\r\n--Bx",
        b"\r\n--B-",
        b"\r\n--B-x",
        b"\r\n--B" + b" " * 40,
        b"\r\n--B \t x\r\n",
        b"\r\r\n--\r\n",
        b"\x00\xff" * 100,
        b"\r\n--B\n--B--\n",
    ],
)
def test_content_is_exact(content: bytes) -> None:
    if content == b"--B":
        content = (
            b"x--B"  # right behind the head this is a boundary: RFC 2046 lets the body be empty
        )
    body = part(content) + b"--B--\r\n"
    assert parse(body) == [(PartBegan("a", None, ""), content)]
    assert parse(body, list(range(len(body)))) == [(PartBegan("a", None, ""), content)]


def test_a_part_may_be_nothing_but_its_head() -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n--B--\r\n'
    for cuts in ([], list(range(len(body)))):
        assert parse(body, cuts) == [(PartBegan("a", None, ""), b"")]


def test_a_near_boundary_right_behind_the_head_is_content() -> None:
    body = part(b"--Bx") + b"--B--"
    assert parse(body, list(range(len(body)))) == [(PartBegan("a", None, ""), b"--Bx")]


def test_spaces_behind_a_boundary_are_padding() -> None:
    body = TWO.replace(b"--B\r\n", b"--B \t \r\n")
    assert parse(body) == parse(TWO)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n--B", b"\r\n--", b"\r"]), max_size=5),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_any_content_in_any_pieces(contents: list[bytes], cuts: list[int]) -> None:
    contents = [c for c in contents if b"--B" not in c + b"\r\n"] or [b""]
    body = b"".join(part(c) for c in contents) + b"--B--\r\n"
    assert [content for _, content in parse(body, cuts)] == contents


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_anything_parses_or_is_refused(body: bytes, cuts: list[int]) -> None:
    for raw in (body, b"--B\r\n" + body, part(body) + body):
        try:
            parse(raw, cuts)
        except ClientFault as fault:
            assert fault.status == 400


NAMES = [
    (b'name="a"', "a", None),
    (b"name=a", "a", None),
    (b'name="a"; filename=plain.txt', "a", "plain.txt"),
    (b'name="a"; filename="a b.txt"', "a", "a b.txt"),
    (b'name="a"; filename="say \\"hi\\".txt"', "a", 'say "hi".txt'),
    (b'name="a"; filename="C:\\\\dir\\\\x.txt"', "a", "C:\\dir\\x.txt"),
    (b'name="a"; filename="C:\\dir\\x.txt"', "a", "C:\\dir\\x.txt"),
    (b'name="a"; filename="semi;colon=1.txt"', "a", "semi;colon=1.txt"),
    (b'name="a"; filename="%22.txt"', "a", "%22.txt"),
    ('name="ä"; filename="日本.txt"'.encode(), "ä", "日本.txt"),
    (b"name=\"a\"; filename*=UTF-8''na%C3%AFve.txt", "a", "naïve.txt"),
    (b'name="a"; filename="x"; filename*=utf-8\'en\'%E2%82%AC', "a", "€"),
    (b"name=\"a\"; filename*=ISO-8859-1''%E9t%E9", "a", "été"),
    (b'name="a" ; filename = "x" ; ', "a", "x"),
    (b'NAME="a"; FileName="x"', "a", "x"),
    (b'name="a"; filename=""', "a", ""),
    (b'name="a"; filename="../../etc/passwd"', "a", "../../etc/passwd"),
]


@pytest.mark.parametrize(("parameters", "name", "filename"), NAMES)
def test_names_are_read(parameters: bytes, name: str, filename: str | None) -> None:
    body = part(b"x", b"Content-Disposition: form-data; " + parameters) + b"--B--"
    assert parse(body)[0][0] == PartBegan(name, filename, "")


GOOD = b'Content-Disposition: form-data; name="a"'
BAD_HEADS = {
    "no disposition": b"X: y",
    "attachment": b'Content-Disposition: attachment; name="a"',
    "no name": b"Content-Disposition: form-data",
    "empty name": b'Content-Disposition: form-data; name=""',
    "name twice": b'Content-Disposition: form-data; name="a"; name="b"',
    "open quote": b'Content-Disposition: form-data; name="a',
    "no value": b"Content-Disposition: form-data; name=",
    "garbage": b'Content-Disposition: form-data; name="a"; ===',
    "not UTF-8": b'Content-Disposition: form-data; name="\xff"',
    "bad RFC 8187": b'Content-Disposition: form-data; name="a"; filename*=x',
    "charset": b"Content-Disposition: form-data; name=\"a\"; filename*=utf-7''x",
    "broken percent": b"Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''%C3",
    "twice": GOOD + b"\r\n" + GOOD,
    "folded": GOOD + b";\r\n filename=x",
    "no colon": GOOD + b"\r\nContent-Type",
    "space in name": GOOD + b"\r\nContent Type: x",
    "control": GOOD + b"\r\nX: a\x00b",
    "bare LF": GOOD + b"\nX: y",
    "base64": GOOD + b"\r\nContent-Transfer-Encoding: base64",
    "nested": GOOD + b"\r\nContent-Type: multipart/mixed; boundary=C",
}


@pytest.mark.parametrize("head", BAD_HEADS.values(), ids=BAD_HEADS)
def test_a_bad_part_head_is_refused(head: bytes) -> None:
    body = part(b"x", head) + b"--B--"
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(ClientFault) as refused:
            parse(body, cuts)
        assert (refused.value.status, refused.value.code) == (400, "invalid_multipart")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "contains no multipart boundary"),
        (b"no boundary at all", "contains no multipart boundary"),
        (b"--B", "ends before its last"),
        (b"--B--", "contains no part"),
        (b"--B\r\n", "ends before its last"),
        (b"--B\r\n\r\n--B--", "has no head"),
        (TWO[:-2], "ends before its last"),
        (TWO[:-1], "ends before its last"),
        (part(b"x"), "ends before its last"),
    ],
)
def test_what_is_not_whole_is_refused(body: bytes, text: str) -> None:
    for cuts in ([], list(range(len(body)))):
        with pytest.raises(ClientFault, match=text):
            parse(body, cuts)


@pytest.mark.parametrize(("count", "accepted"), [(15, True), (16, True), (17, False)])
def test_the_number_of_parts_is_bounded(count: int, accepted: bool) -> None:
    body = part(b"x") * count + b"--B--"
    if accepted:
        assert len(parse(body)) == count
    else:
        with pytest.raises(ClientFault, match="more than 16 parts"):
            parse(body)


@pytest.mark.parametrize(("size", "accepted"), [(8191, True), (8192, True), (8193, False)])
def test_the_size_of_a_head_is_bounded(size: int, accepted: bool) -> None:
    head = GOOD + b"\r\nX: "
    head += b"y" * (size - len(head))
    body = part(b"x", head) + b"--B--"
    for cuts in ([], list(range(0, len(body), 7))):
        if accepted:
            assert len(parse(body, cuts)) == 1
        else:
            with pytest.raises(ClientFault, match="longer than 8,192 bytes"):
                parse(body, cuts)


@pytest.mark.parametrize(("count", "accepted"), [(15, True), (16, True), (17, False)])
def test_the_fields_of_a_head_are_bounded(count: int, accepted: bool) -> None:
    head = b"\r\n".join([GOOD, *(b"X-%d: y" % n for n in range(count - 1))])
    if accepted:
        parse(part(b"x", head) + b"--B--")
    else:
        with pytest.raises(ClientFault, match="more than 16 fields"):
            parse(part(b"x", head) + b"--B--")


@pytest.mark.parametrize(("extra", "accepted"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("front", [True, False])
def test_what_is_outside_the_parts_is_bounded(extra: int, accepted: bool, front: bool) -> None:
    filler = b"y" * (MAX_OUTSIDE_BYTES + extra)
    body = filler + b"\r\n" + TWO if front else TWO + filler
    if accepted:
        assert parse(body, list(range(0, len(body), 100))) == parse(TWO)
    else:
        with pytest.raises(ClientFault, match="outside its parts"):
            parse(body, list(range(0, len(body), 100)))


@pytest.mark.parametrize("unit", [b"\r", b"\r\n", b"\r\n--", b"\r\n-B", b"-", b"\r\r\n-"])
def test_time_is_linear_in_the_body(unit: bytes) -> None:
    """CVE-2023-46136: a run of CR must cost no more than any other byte."""
    content = unit * (2_000_000 // len(unit)) + b"x"
    body = part(content) + b"--B--"
    begun_s = time.process_time()
    parser, size = MultipartParser(b"B"), 0
    for at in range(0, len(body), 65536):
        size += sum(
            len(e.data) for e in parser.feed(body[at : at + 65536]) if isinstance(e, PartData)
        )
    parser.finish()
    assert size == len(content)
    assert time.process_time() - begun_s < 3.0


@pytest.mark.parametrize(("count", "accepted"), [(9_999, True), (10_000, True), (10_001, False)])
def test_lines_that_begin_like_the_boundary_are_bounded(count: int, accepted: bool) -> None:
    body = part(b"\r\n--B y" * count) + b"--B--"
    if accepted:
        assert len(parse(body)[0][1]) == 7 * count
    else:
        with pytest.raises(ClientFault, match="choose another boundary"):
            parse(body)


def test_memory_holds_no_more_than_a_boundary() -> None:
    parser = MultipartParser(b"B" * 70)
    parser.feed(b"--" + b"B" * 70 + b"\r\n" + GOOD + b"\r\n\r\n")
    data = random.Random(7).randbytes(100_000).replace(b"\r", b"x") + b"\r\n--" + b"B" * 69
    held = len(data) - sum(len(e.data) for e in parser.feed(data) if isinstance(e, PartData))
    assert held == 73
    more = b"\r" + b"x" * 100_000
    assert sum(len(e.data) for e in parser.feed(more) if isinstance(e, PartData)) == 73 + 100_001


@pytest.mark.parametrize(
    ("value", "boundary"),
    [
        (b"multipart/form-data; boundary=B", b"B"),
        (b"Multipart/Form-Data;boundary=----WebKit7", b"----WebKit7"),
        (b'multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        (b"multipart/form-data; boundary=" + b"x" * 70, b"x" * 70),
    ],
)
def test_the_boundary_is_found(value: bytes, boundary: bytes) -> None:
    assert boundary_of(value) == boundary


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 415),
        (b"", 415),
        (b"application/json", 415),
        (b"multipart/mixed; boundary=B", 415),
        (b"multipart/form-data", 400),
        (b"multipart/form-data; boundary=", 400),
        (b'multipart/form-data; boundary=""', 400),
        (b'multipart/form-data; boundary="ends in space "', 400),
        (b"multipart/form-data; boundary=a; boundary=b", 400),
        (b"multipart/form-data; boundary=" + b"x" * 71, 400),
        (b'multipart/form-data; boundary="a\xff"', 400),
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(
    value: bytes | None, status: int
) -> None:
    with pytest.raises(ClientFault) as refused:
        boundary_of(value)
    assert refused.value.status == status
