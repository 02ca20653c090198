"""What may be uploaded: quota arithmetic, file ids and names, purposes, lifetimes, byte ranges. Layer: rules.

`Quota` is changed by one thread only, and each change decides at once: uploads that run side by side can never
exceed the sum together. Refuses to know: where bytes are kept, time.
"""

from __future__ import annotations

import re

from airelays.errors import ClientFault

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
MAX_FILES = 10_000
MAX_NAME_BYTES = 255
DEFAULT_NAME = "upload.bin"
DEFAULT_TYPE = "application/octet-stream"
# OpenAI's bounds of expires_after.seconds: an hour to thirty days.
MIN_LIFETIME_S, MAX_LIFETIME_S = 3600, 2_592_000

_ID = re.compile(r"file[-_][0-9a-f]{32}")
_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,127}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_RANGE = re.compile(rb"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*")


class Quota:
    """The ceilings: one file, all files together, how many. `stored` and `files` are what is there already."""

    def __init__(self, max_file: int, max_total: int, *, stored: int = 0, files: int = 0) -> None:
        self.max_file = max_file
        self.max_total = max_total
        self.stored = stored
        self.files = files
        self.in_flight = 0
        self.open = 0

    def configure(self, max_file: int, max_total: int) -> None:
        """Take new ceilings; what is stored stays, also if it is more."""
        self.max_file, self.max_total = max_file, max_total

    @property
    def room(self) -> int:
        """Bytes that are neither stored nor on their way."""
        return self.max_total - self.stored - self.in_flight

    def begin(self, at_least: int) -> Reservation:
        """Open a reservation for a file of `at_least` bytes; nothing is reserved yet. Raises ClientFault 413."""
        if self.files + self.open >= MAX_FILES:
            raise ClientFault(
                f"{self.files:,} files are stored, which is the limit; delete some",
                status=413,
                code="too_many_files",
            )
        if at_least > self.max_file:
            raise self.too_large()
        if at_least > self.room:
            raise self.full()
        self.open += 1
        return Reservation(self)

    def too_large(self) -> ClientFault:
        """Return the refusal of a file beyond the ceiling of one file."""
        return ClientFault(
            f"the file is larger than {self.max_file:,} bytes, the limit set by uploads.max_upload_bytes",
            status=413,
            param="file",
            code="file_too_large",
        )

    def full(self) -> ClientFault:
        """Return the refusal of a file beyond the ceiling of all files together."""
        return ClientFault(
            f"the file does not fit: of {self.max_total:,} bytes (uploads.max_total_upload_bytes) "
            f"{max(0, self.room):,} are left; delete files first",
            status=413,
            param="file",
            code="storage_quota_exceeded",
        )


class Reservation:
    """The bytes of one upload in flight. Ended by `release`; a second end does nothing."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._open = True
        self.size = 0

    def grow(self, count: int) -> None:
        """Reserve `count` more bytes. Raises ClientFault 413; the reservation then stays as it was."""
        quota = self._quota
        if self.size + count > quota.max_file:
            raise quota.too_large()
        if count > quota.room:
            raise quota.full()
        self.size += count
        quota.in_flight += count

    def release(self) -> None:
        """Give back what was reserved."""
        if self._open:
            self._open = False
            self._quota.in_flight -= self.size
            self._quota.open -= 1


def file_id(random: bytes) -> str:
    """Return the id for a new file from 16 random bytes."""
    return "file-" + random.hex()


def is_file_id(text: str) -> bool:
    """Whether `text` is an id of ours, old (`file_`) or new; only such a text may become part of a path."""
    return _ID.fullmatch(text) is not None


def check_purpose(text: str) -> str:
    """Return a purpose. Raises ClientFault."""
    if text not in PURPOSES:
        raise ClientFault(
            f'purpose is "{text[:60]}"; expected one of {", ".join(PURPOSES)}',
            param="purpose",
            code="invalid_value",
        )
    return text


def clean_name(name: str | None) -> str:
    """Return a client's file name without folders, as data; it never becomes a path. Raises ClientFault."""
    name = re.split(r"[/\\]", name or "")[-1]
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        raise ClientFault(
            "the file's name contains a control character; choose another name",
            param="file",
            code="invalid_value",
        )
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise ClientFault(
            f"the file's name is longer than {MAX_NAME_BYTES} bytes; choose a shorter one",
            param="file",
            code="invalid_value",
        )
    return name or DEFAULT_NAME


def media_type(text: str) -> str:
    """Return the media type without parameters, in lower case; what is none becomes octet-stream."""
    kind = text.partition(";")[0].strip().lower()
    return kind if _TYPE.fullmatch(kind) else DEFAULT_TYPE


def lifetime_s(anchor: str | None, seconds: str | None) -> int | None:
    """Return the seconds of an `expires_after`, None when there is none. Raises ClientFault."""
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise ClientFault(
            "expires_after[anchor] is not created_at, the only supported anchor",
            param="expires_after",
            code="invalid_value",
        )
    value = int(seconds) if seconds is not None and _NUMBER.fullmatch(seconds) else 0
    if not MIN_LIFETIME_S <= value <= MAX_LIFETIME_S:
        raise ClientFault(
            f"expires_after[seconds] is not a whole number from {MIN_LIFETIME_S:,} to {MAX_LIFETIME_S:,}",
            param="expires_after",
            code="invalid_value",
        )
    return value


def byte_range(value: bytes | None, size: int) -> tuple[int, int] | None:
    """Return (first, end) of a single byte range, None when the whole is to be sent (RFC 9110 section 14).

    What is no single range of bytes is ignored, as the standard allows. Raises ClientFault 416 for a range that
    holds no byte of the file.
    """
    found = _RANGE.fullmatch(value or b"")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        first, end = max(0, size - int(found[2])), size
    else:
        first = int(found[1])
        end = min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < first:
            return None
    if first >= end:
        raise ClientFault(
            f"the range contains no byte of this file of {size:,} bytes",
            status=416,
            code="range_not_satisfiable",
            headers={"content-range": f"bytes */{size}"},
        )
    return first, end


def disposition(name: str) -> bytes:
    """Return the Content-Disposition that makes a browser save, never show, whatever the name holds (RFC 6266)."""
    plain = "".join(c if (c.isalnum() and c.isascii()) or c in "-_. " else "_" for c in name)
    raw = name.encode("utf-8", "replace")
    coded = "".join(
        chr(b) if (chr(b).isalnum() and b < 128) or b in b"-_." else f"%{b:02X}" for b in raw
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{coded}".encode("ascii")
