"""`/v1/files`: upload, list, look at, fetch, delete. Bytes go from socket to disk in pieces, and back.

Owns: the order of an upload, in which every refusal leaves nothing behind. Layer: app.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

from airelays.app.query import list_body, paging_of, query_of
from airelays.errors import ClientFault
from airelays.model import Route
from airelays.net.request import Request
from airelays.protocol.jsonio import dumps
from airelays.protocol.multipart import (
    MultipartParser,
    PartBegan,
    PartData,
    boundary_of,
)
from airelays.state import files
from airelays.state.database import storage_fault
from airelays.state.files import FileRow
from airelays.state.quota import (
    Reservation,
    byte_range,
    check_purpose,
    clean_name,
    disposition,
    file_id,
    is_file_id,
    lifetime_s,
    media_type,
)
from airelays.state.spool import Spool, StoredBytes

if TYPE_CHECKING:
    from airelays.app.desk import Desk

# What the file's own bytes may be surrounded by: 15 fields and 16 part heads fit.
FRAMING_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
PIECE_BYTES = 256 * 1024
# Larger on the way in: half as many changes between threads cost 15 % less CPU, and two are alive at most.
UPLOAD_PIECE_BYTES = 512 * 1024
MAX_LIST = 10_000
_FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


async def collection(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET and POST /v1/files."""
    if request.head.method == "POST":
        upload = _Upload(desk, request)
        try:
            row = await upload.receive()
        finally:
            upload.close()
        await request.reply(200, dumps(_shown(row)))
        return
    query = query_of(request)
    paging = paging_of(query, default=MAX_LIST, most=MAX_LIST)
    found = await desk.store.run(
        files.page,
        now_s=time.time(),
        **paging._asdict(),
        purpose=query.get("purpose", ""),
        viewer=request.caller.owner,
    )
    if found is None:
        raise no_file(paging.after or "", "after")
    rows, has_more = found
    await request.reply(200, dumps(list_body([_shown(row) for row in rows], has_more)))


async def single(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET and DELETE /v1/files/{id}."""
    wanted = values["id"]
    if request.head.method == "DELETE":
        viewer = request.caller.owner
        if not is_file_id(wanted) or not await desk.store.remove_file(wanted, viewer):
            raise no_file(wanted)
        await request.reply(200, dumps({"id": wanted, "object": "file", "deleted": True}))
        return
    await request.reply(200, dumps(_shown(await find_file(desk, request, wanted))))


async def content(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /v1/files/{id}/content: the exact bytes, never shown by a browser (threat-model.md, A7)."""
    row = await find_file(desk, request, values["id"])
    etag = f'"{row.sha256}"'.encode()
    wanted = request.head.get(b"range")
    if request.head.get(b"if-range") not in (None, etag):
        wanted = None
    part = byte_range(wanted, row.bytes) if request.head.method == "GET" else None
    first, end = part or (0, row.bytes)
    fields = [
        (b"content-type", b"application/octet-stream"),
        (b"content-disposition", disposition(row.filename)),
        (b"content-security-policy", b"sandbox; default-src 'none'"),
        (b"accept-ranges", b"bytes"),
        (b"etag", etag),
    ]
    if part:
        fields.append((b"content-range", b"bytes %d-%d/%d" % (first, end - 1, row.bytes)))
    stored = StoredBytes(os.path.join(desk.settings.data_dir, "uploads", row.id))
    try:
        await _check_whole(stored, row)
        request.begin_body(end - first, fields, 206 if part else 200)
        if request.head.method == "GET":
            await _send(request, stored, first, end)
        request.send_last(b"")
    finally:
        stored.close()


async def find_file(desk: Desk, request: Request, wanted: str) -> FileRow:
    """Return the row of a file that the caller may see. Raises ClientFault 404."""
    row, viewer = None, request.caller.owner
    if is_file_id(wanted):
        row = await desk.store.run(files.find, wanted, time.time(), viewer)
    if row is None:
        raise no_file(wanted)
    return row


def no_file(wanted: str, param: str | None = None) -> ClientFault:
    """Return the 404 for an id that names no file."""
    return ClientFault(
        f"there is no file {wanted[:80]}; GET /v1/files lists the files that exist",
        status=404,
        param=param,
        code="file_not_found",
    )


def _shown(row: FileRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.bytes,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
        "content_type": row.content_type,
        "sha256": row.sha256,
    }


async def _check_whole(stored: StoredBytes, row: FileRow) -> None:
    try:
        size = await asyncio.to_thread(stored.size)
    except OSError:
        size = -1
    if size != row.bytes:
        raise ClientFault(
            f"the content of {row.id} is no longer on the relay's disk; delete the file and upload it again",
            status=404,
            code="file_content_missing",
        )


async def _send(request: Request, stored: StoredBytes, first: int, end: int) -> None:
    while first < end:
        piece = await asyncio.to_thread(stored.read, first, min(PIECE_BYTES, end - first))
        if not piece:
            raise OSError("a stored file was truncated")
        first += len(piece)
        request.send(piece)
        await request.wait_writable()


class _Upload:
    """One POST: parts are read as they come; `close` removes what did not become a file."""

    def __init__(self, desk: Desk, request: Request) -> None:
        self.desk = desk
        self.store = desk.store
        self.request = request
        self.id = file_id(os.urandom(16))
        self.head: PartBegan | None = None
        self.file: PartBegan | None = None
        self.fields: dict[str, bytearray] = {}
        self.reservation: Reservation | None = None
        self.spool: Spool | None = None
        self.writing: asyncio.Future[None] | None = None
        self.pieces: list[bytes] = []
        self.waiting = 0

    async def receive(self) -> FileRow:
        """Read the whole body and store its file. Raises ClientFault, RelayError."""
        parser = MultipartParser(boundary_of(self.request.head.get(b"content-type")))
        least = max(0, (self.request.head.content_length or 0) - FRAMING_BYTES)
        self.reservation = await self.store.begin_upload(least)
        limit = self.desk.settings.max_upload_bytes + FRAMING_BYTES
        try:
            async for data in self.request.body_parts(limit, batch_bytes=UPLOAD_PIECE_BYTES):
                for event in parser.feed(data):
                    if isinstance(event, PartData):
                        await self._take(event.data)
                    elif isinstance(event, PartBegan):
                        await self._begin(event)
            parser.finish()
            return await self._finish(self.reservation)
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            raise storage_fault(error) from error

    async def _begin(self, head: PartBegan) -> None:
        self.head = head
        if head.name == "file":
            if self.file is not None:
                raise ClientFault("the form contains more than one file; send one", param="file")
            clean_name(head.filename)
            self.file = head
            self.spool = Spool(os.path.join(self.desk.settings.data_dir, "tmp"), self.id)
        elif head.name in self.fields:
            raise ClientFault(f"the form contains {head.name[:60]} twice; send it once")
        else:
            self.fields[head.name] = bytearray()

    async def _take(self, data: bytes) -> None:
        head, reservation = self.head, self.reservation
        if head is None or reservation is None:
            return
        if head is not self.file:
            field = self.fields[head.name]
            if len(field) + len(data) > MAX_FIELD_BYTES:
                raise ClientFault(
                    f"the form field {head.name[:60]} is longer "
                    f"than {MAX_FIELD_BYTES:,} bytes; only file can be"
                )
            field += data
            return
        self.store.grow(reservation, len(data))
        self.pieces.append(data)
        self.waiting += len(data)
        if self.waiting >= UPLOAD_PIECE_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        """Hand what is here to the disk; returns when the piece before has been written."""
        if self.writing is not None:
            await self.writing
        if self.spool is not None and self.pieces:
            loop = self.request.connection.loop
            self.writing = loop.run_in_executor(None, self.spool.write, self.pieces)
            self.writing.add_done_callback(_look_at)
            self.pieces, self.waiting = [], 0

    async def _finish(self, reservation: Reservation) -> FileRow:
        file, spool = self.file, self.spool
        if file is None or spool is None:
            raise ClientFault(
                "the form has no part named file", param="file", code="missing_required_parameter"
            )
        texts = {name: self._text(name) for name in _FIELDS}
        unknown = [n for n in self.fields if n.startswith("expires_after") and n not in _FIELDS]
        if unknown:
            raise ClientFault(f"the form contains an unknown field, {unknown[0][:60]}; remove it")
        purpose = check_purpose("assistants" if texts["purpose"] is None else texts["purpose"])
        life_s = lifetime_s(texts[_FIELDS[1]], texts[_FIELDS[2]])
        await self._flush()
        if self.writing is not None:
            await self.writing
        await asyncio.to_thread(spool.seal)
        now = int(time.time())
        row = FileRow(
            id=self.id,
            filename=clean_name(file.filename),
            purpose=purpose,
            content_type=media_type(file.content_type),
            bytes=spool.size,
            sha256=spool.sha256,
            created_at=now,
            expires_at=None if life_s is None else now + life_s,
            owner=self.request.caller.owner,
        )
        await self.store.add_file(row, spool, reservation)
        return row

    def _text(self, name: str) -> str | None:
        raw = self.fields.get(name)
        return None if raw is None else raw.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Remove the staged bytes unless they were stored, and give back their share of the quota."""
        if self.spool is not None:
            self.spool.discard()
        if self.reservation is not None:
            self.store.release(self.reservation)


def _look_at(writing: asyncio.Future[None]) -> None:
    """Take note of an error that nobody waits for any more: another one has ended the upload."""
    if not writing.cancelled():
        writing.exception()
