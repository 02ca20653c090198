"""Quota arithmetic, ids, names, lifetimes and ranges of uploads."""

from __future__ import annotations

import pytest

from airelays.errors import ClientFault
from airelays.state.quota import (
    MAX_FILES,
    PURPOSES,
    Quota,
    byte_range,
    check_purpose,
    clean_name,
    disposition,
    file_id,
    is_file_id,
    lifetime_s,
    media_type,
)


def refused(fault: pytest.ExceptionInfo[ClientFault]) -> tuple[int, str | None]:
    return fault.value.status, fault.value.code


@pytest.mark.parametrize(("size", "fits"), [(9, True), (10, True), (11, False)])
def test_one_file_is_exactly_bounded(size: int, fits: bool) -> None:
    upload = Quota(10, 100).begin(0)
    if fits:
        upload.grow(size)
        assert upload.size == size
    else:
        with pytest.raises(ClientFault) as fault:
            upload.grow(size)
        assert refused(fault) == (413, "file_too_large")
        assert upload.size == 0


@pytest.mark.parametrize(("size", "fits"), [(29, True), (30, True), (31, False)])
def test_all_files_together_are_exactly_bounded(size: int, fits: bool) -> None:
    upload = Quota(50, 100, stored=70).begin(0)
    if fits:
        upload.grow(size)
    else:
        with pytest.raises(ClientFault) as fault:
            upload.grow(size)
        assert refused(fault) == (413, "storage_quota_exceeded")


def test_uploads_side_by_side_never_exceed_the_sum() -> None:
    quota = Quota(60, 100)
    first, second = quota.begin(0), quota.begin(0)
    for _ in range(5):
        first.grow(10)
        second.grow(10)
    with pytest.raises(ClientFault):
        first.grow(1)
    first.release()
    second.grow(10)
    assert (quota.in_flight, quota.room, quota.open) == (60, 40, 1)
    second.release()
    second.release()
    assert (quota.in_flight, quota.open) == (0, 0)


@pytest.mark.parametrize(
    ("least", "code"), [(10, ""), (11, "file_too_large"), (6, "storage_quota_exceeded")]
)
def test_a_length_that_says_too_much_is_refused_at_once(least: int, code: str) -> None:
    quota = Quota(10, 100, stored=95 if code == "storage_quota_exceeded" else 0)
    if not code:
        quota.begin(least)
        return
    with pytest.raises(ClientFault) as fault:
        quota.begin(least)
    assert refused(fault) == (413, code)
    assert quota.open == 0


def test_the_number_of_files_is_bounded() -> None:
    quota = Quota(10, 100, files=MAX_FILES - 1)
    quota.begin(0)
    with pytest.raises(ClientFault) as fault:
        quota.begin(0)
    assert refused(fault) == (413, "too_many_files")


def test_ids_are_ours_and_nothing_else_is_one() -> None:
    assert file_id(bytes(range(16))) == "file-000102030405060708090a0b0c0d0e0f"
    assert is_file_id("file-" + "0f" * 16)
    assert is_file_id("file_" + "0f" * 16)
    for text in ("", "file-", "file-" + "0F" * 16, "file-" + "0f" * 17, "../" + "0f" * 16):
        assert not is_file_id(text)
    assert not is_file_id("file-" + "0f" * 16 + "\n")
    assert not is_file_id("file-" + "0f" * 15 + "/.")


def test_purposes_are_those_of_openai() -> None:
    assert [check_purpose(p) for p in PURPOSES] == list(PURPOSES)
    with pytest.raises(ClientFault) as fault:
        check_purpose("fun")
    assert fault.value.message == (
        'purpose is "fun"; expected one of assistants, batch, fine-tune, vision, user_data, evals'
    )


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("a.txt", "a.txt"),
        (None, "upload.bin"),
        ("", "upload.bin"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.pdf", "a.pdf"),
        ("dir/", "upload.bin"),
        ("..", ".."),
        ("日本.txt", "日本.txt"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_name_is_data_without_folders(name: str | None, clean: str) -> None:
    assert clean_name(name) == clean


@pytest.mark.parametrize("name", ["x" * 256, "é" * 128, "a\nb", "a\x00", "a\x7f"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ClientFault) as fault:
        clean_name(name)
    assert fault.value.status == 400


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("text/plain", "text/plain"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("", "application/octet-stream"),
        ("nonsense", "application/octet-stream"),
        ("a/b\r\nX: y", "application/octet-stream"),
    ],
)
def test_media_types(given: str, kind: str) -> None:
    assert media_type(given) == kind


@pytest.mark.parametrize("seconds", ["3600", "2592000"])
def test_a_lifetime_is_read(seconds: str) -> None:
    assert lifetime_s("created_at", seconds) == int(seconds)
    assert lifetime_s(None, None) is None


@pytest.mark.parametrize(
    ("anchor", "seconds"),
    [
        ("created_at", "3599"),
        ("created_at", "2592001"),
        ("created_at", "-1"),
        ("created_at", "1e5"),
        ("created_at", "٣٦٠٠"),
        ("created_at", None),
        ("last_used", "3600"),
        (None, "3600"),
    ],
)
def test_a_bad_lifetime_is_refused(anchor: str | None, seconds: str | None) -> None:
    with pytest.raises(ClientFault) as fault:
        lifetime_s(anchor, seconds)
    assert (fault.value.status, fault.value.param) == (400, "expires_after")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, None),
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-9", (0, 10)),
        (b"bytes=0-99", (0, 10)),
        (b"bytes=9-", (9, 10)),
        (b"bytes=-3", (7, 10)),
        (b"bytes=-99", (0, 10)),
        (b"bytes=-", None),
        (b"bytes=5-4", None),
        (b"bytes=0-1,3-4", None),
        (b"lines=0-1", None),
        (b"bytes=a-b", None),
    ],
)
def test_single_byte_ranges(value: bytes | None, found: tuple[int, int] | None) -> None:
    assert byte_range(value, 10) == found


@pytest.mark.parametrize("value", [b"bytes=10-", b"bytes=10-20", b"bytes=-0"])
def test_a_range_without_a_byte_is_416(value: bytes) -> None:
    with pytest.raises(ClientFault) as fault:
        byte_range(value, 10)
    assert fault.value.status == 416
    assert fault.value.headers == {"content-range": "bytes */10"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.txt", b"attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"),
        ('a";b\\.txt', b"attachment; filename=\"a__b_.txt\"; filename*=UTF-8''a%22%3Bb%5C.txt"),
        ("é\r\n", b"attachment; filename=\"___\"; filename*=UTF-8''%C3%A9%0D%0A"),
    ],
)
def test_a_browser_is_told_to_save(name: str, value: bytes) -> None:
    assert disposition(name) == value
