"""`/v1/files` of a real relay over raw sockets: exact bytes, exact ceilings, nothing left behind."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import DEADLINE_S, Relay, Reply, running, wait_for
from tests.net.test_live_wire import WIDE

BOUNDARY = "----airelays-test"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
SMALL = {**WIDE, "AIRELAYS_MAX_UPLOAD_BYTES": "1000", "AIRELAYS_MAX_TOTAL_UPLOAD_BYTES": "2500"}


def field(name: str, value: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    )


def file_part(data: bytes, name: str = "a.txt", kind: str = "text/plain") -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {kind}'
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + data + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def upload(relay: Relay, data: bytes, name: str = "a.txt", **more: str) -> Reply:
    fields = {"purpose": "user_data", **more}
    body = form(*(field(k, v) for k, v in fields.items()), file_part(data, name))
    return relay.send("POST", "/v1/files", body, headers=FORM)


def on_disk(relay: Relay) -> tuple[set[str], list[str]]:
    """Return the names in uploads/ and in tmp/."""
    data = relay.home / ".airelays"
    names = [
        sorted(p.name for p in (data / f).iterdir()) if (data / f).is_dir() else []
        for f in ("uploads", "tmp")
    ]
    return set(names[0]), names[1]


def listed(relay: Relay, query: str = "") -> list[str]:
    return [one["id"] for one in relay.get("/v1/files" + query).json()["data"]]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Relay]:
    """A relay that takes 1,000 bytes a file and 2,500 in all."""
    with running(tmp_path, env=SMALL) as one:
        yield one


def test_a_file_goes_round(relay: Relay) -> None:
    data = random.Random(1).randbytes(300_000) + b"\r\n--" + BOUNDARY.encode() + b"x\r\n"
    made = upload(relay, data, "naïve résumé.txt")
    assert made.status == 200
    one = made.json()
    assert one == {
        **one,
        "object": "file",
        "bytes": len(data),
        "filename": "naïve résumé.txt",
        "purpose": "user_data",
        "status": "processed",
        "expires_at": None,
    }
    assert one["id"].startswith("file-") and len(one["id"]) == 37
    assert relay.get(f"/v1/files/{one['id']}").json() == one
    content = relay.get(f"/v1/files/{one['id']}/content")
    assert content.body == data
    assert one["id"] in listed(relay)
    gone = relay.send("DELETE", f"/v1/files/{one['id']}")
    assert gone.json() == {"id": one["id"], "object": "file", "deleted": True}
    for path in (f"/v1/files/{one['id']}", f"/v1/files/{one['id']}/content"):
        reply = relay.get(path)
        assert (reply.status, reply.error["code"]) == (404, "file_not_found")
    assert relay.send("DELETE", f"/v1/files/{one['id']}").status == 404
    assert one["id"] not in on_disk(relay)[0]


def test_a_browser_can_only_save_what_was_uploaded(relay: Relay) -> None:
    one = upload(relay, b"<script>alert(1)</script>", 'x\\".html').json()
    head = relay.get(f"/v1/files/{one['id']}/content").headers
    assert head["content-type"] == "application/octet-stream"
    assert head["content-disposition"].startswith("attachment; ")
    assert head["x-content-type-options"] == "nosniff"
    assert head["content-security-policy"] == "sandbox; default-src 'none'"


def test_the_order_of_fields_does_not_matter_and_purpose_has_a_default(relay: Relay) -> None:
    late = form(file_part(b"x"), field("purpose", "batch"))
    assert relay.send("POST", "/v1/files", late, headers=FORM).json()["purpose"] == "batch"
    without = form(file_part(b"x"))
    assert relay.send("POST", "/v1/files", without, headers=FORM).json()["purpose"] == "assistants"


def test_a_file_may_be_empty(relay: Relay) -> None:
    one = upload(relay, b"").json()
    assert one["bytes"] == 0
    assert relay.get(f"/v1/files/{one['id']}/content").body == b""


@pytest.mark.parametrize(
    ("asked", "status", "first", "end"),
    [
        ("bytes=0-4", 206, 0, 5),
        ("bytes=-5", 206, 995, 1000),
        ("bytes=990-", 206, 990, 1000),
        ("bytes=0-1,5-6", 200, 0, 1000),
        ("bytes=1000-", 416, 0, 0),
    ],
)
def test_single_ranges(relay: Relay, asked: str, status: int, first: int, end: int) -> None:
    data = random.Random(2).randbytes(1000)
    one = upload(relay, data).json()
    reply = relay.get(f"/v1/files/{one['id']}/content", Range=asked)
    assert reply.status == status
    if status == 416:
        assert reply.headers["content-range"] == "bytes */1000"
        return
    assert reply.body == data[first:end]
    if status == 206:
        assert reply.headers["content-range"] == f"bytes {first}-{end - 1}/1000"


def test_a_head_request_tells_the_length_and_the_connection_goes_on(relay: Relay) -> None:
    one = upload(relay, b"12345").json()
    with relay.connect() as wire:
        for _ in range(2):
            wire.send(relay.request("HEAD", f"/v1/files/{one['id']}/content"))
            assert wire.reply("HEAD").headers["content-length"] == "5"
            wire.send(relay.request("GET", f"/v1/files/{one['id']}/content"))
            assert wire.reply().body == b"12345"


def test_pages_go_through_all_files_in_both_orders(small: Relay) -> None:
    ids = [upload(small, b"x").json()["id"] for _ in range(5)]
    assert listed(small) == ids[::-1]
    assert listed(small, "?order=asc") == ids
    page = small.get("/v1/files?limit=2&order=asc").json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (ids[0], ids[1], True)
    page = small.get(f"/v1/files?limit=3&order=asc&after={ids[1]}").json()
    assert ([f["id"] for f in page["data"]], page["has_more"]) == (ids[2:], False)
    small.send("DELETE", f"/v1/files/{ids[1]}")
    assert listed(small, f"?order=asc&after={ids[1]}") == ids[2:]
    assert listed(small, "?purpose=batch") == []
    assert len(listed(small, "?purpose=user_data")) == 4


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("limit=x", "limit"), ("order=up", "order")],
)
def test_a_bad_page_is_refused(relay: Relay, query: str, param: str) -> None:
    reply = relay.get(f"/v1/files?{query}")
    assert (reply.status, reply.error["param"]) == (400, param)


def test_after_an_unknown_file_is_404(relay: Relay) -> None:
    assert relay.get("/v1/files?after=file-" + "0" * 32).status == 404


@pytest.mark.parametrize("wanted", ["x", "..%2f..", "file-" + "A" * 32, "file-" + "0" * 32])
def test_an_id_that_names_no_file_is_404(relay: Relay, wanted: str) -> None:
    assert relay.get(f"/v1/files/{wanted}").error["code"] == "file_not_found"
    assert relay.send("DELETE", f"/v1/files/{wanted}").status == 404


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1000, 200), (1001, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_ceiling_of_a_file_is_exact(
    small: Relay, size: int, status: int, chunked: bool
) -> None:
    body = form(file_part(b"x" * size))
    if chunked:
        head = small.request("POST", "/v1/files", headers={**FORM, "Transfer-Encoding": "chunked"})
        with small.connect() as wire:
            wire.send(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            reply = wire.reply()
    else:
        reply = small.send("POST", "/v1/files", body, headers=FORM)
    assert reply.status == status
    if status == 413:
        assert reply.error["code"] == "file_too_large"
    names, staged = on_disk(small)
    assert (len(names), staged) == (status == 200, [])


@pytest.mark.parametrize(("size", "status"), [(499, 200), (500, 200), (501, 413)])
def test_the_ceiling_of_all_files_is_exact(small: Relay, size: int, status: int) -> None:
    for _ in range(2):
        assert upload(small, b"x" * 1000).status == 200
    reply = upload(small, b"x" * size)
    assert reply.status == status
    if status == 413:
        assert reply.error["code"] == "storage_quota_exceeded"
        assert "500 are left" in reply.error["message"]
    assert on_disk(small)[1] == []


def test_deleting_makes_room(small: Relay) -> None:
    ids = [upload(small, b"x" * 1000).json()["id"] for _ in range(2)]
    assert upload(small, b"x" * 1000).status == 413
    small.send("DELETE", f"/v1/files/{ids[0]}")
    assert upload(small, b"x" * 1000).status == 200


def test_side_by_side_uploads_never_exceed_the_sum(small: Relay) -> None:
    wires = [small.connect() for _ in range(8)]
    body = form(file_part(b"x" * 1000))
    raw = small.request("POST", "/v1/files", body, headers=FORM)
    for wire in wires:
        wire.send(raw[:-600])
    for wire in wires:
        wire.send(raw[-600:])
    statuses = sorted(wire.reply().status for wire in wires)
    for wire in wires:
        wire.sock.close()
    assert statuses == [200] * 2 + [413] * 6
    assert sum(f["bytes"] for f in small.get("/v1/files").json()["data"]) == 2000
    assert on_disk(small)[1] == []


def test_a_length_that_says_too_much_is_refused_before_the_body(relay: Relay) -> None:
    head = relay.request(
        "POST",
        "/v1/files",
        headers={**FORM, "Content-Length": str(34 * 1024 * 1024), "Expect": "100-continue"},
    )
    with relay.connect() as wire:
        wire.send(head)
        assert wire.reply().status == 413


def test_the_store_may_be_too_full_for_a_length(small: Relay) -> None:
    for _ in range(2):
        upload(small, b"x" * 1000)
    upload(small, b"x" * 500)
    # The framing may be a MiB, so only the body can tell; it does.
    assert upload(small, b"x").status == 413


def test_100_continue_comes_only_when_the_body_is_wanted(relay: Relay) -> None:
    body = form(file_part(b"later"))
    expecting = {**FORM, "Expect": "100-continue", "Content-Length": str(len(body))}
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/files", headers=expecting))
        assert wire.head().status == 100
        wire.send(body)
        assert wire.reply().status == 200
    expecting["Content-Type"] = "text/plain"
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/files", headers=expecting))
        assert wire.reply().status == 415


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([field("purpose", "user_data")], "the form has no part named file"),
        ([file_part(b"a"), file_part(b"b")], "the form contains more than one file"),
        ([file_part(b"a"), field("purpose", "fun")], 'purpose is "fun"'),
        ([field("purpose", "batch")] * 2 + [file_part(b"a")], "the form contains purpose twice"),
        ([file_part(b"a"), field("expires_after[x]", "1")], "an unknown field, expires_after[x]"),
        ([file_part(b"a"), field("expires_after[seconds]", "3600")], "expires_after[anchor]"),
        ([field("note", "x" * 65537), file_part(b"a")], "note is longer than 65,536 bytes"),
        ([file_part(b"a", "a\x01b")], "control character"),
        ([file_part(b"a", "x" * 256)], "longer than 255 bytes"),
    ],
)
def test_a_form_that_cannot_be_used_is_a_400(relay: Relay, parts: list[bytes], text: str) -> None:
    before = on_disk(relay)
    reply = relay.send("POST", "/v1/files", form(*parts), headers=FORM)
    assert reply.status == 400, reply.body
    assert text in reply.error["message"]
    assert on_disk(relay) == before


def test_an_upload_that_expires_says_when(relay: Relay) -> None:
    extra = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    one = upload(relay, b"x", **extra).json()
    assert one["expires_at"] == one["created_at"] + 3600


def test_200_malformed_bodies_are_4xx_and_leave_nothing(relay: Relay) -> None:
    before = on_disk(relay)
    good = form(field("purpose", "user_data"), file_part(os.urandom(3000)), field("x", "y"))
    dice = random.Random(20261124)
    statuses = set()
    for n in range(200):
        at = dice.randrange(1, len(good) - 6)
        broken = bytearray(good)
        if n % 4 == 0:
            broken = broken[:at]
        elif n % 4 == 1:
            broken = bytearray(good.replace(b"--" + BOUNDARY.encode(), b"-" + BOUNDARY.encode(), 1))
            broken[at] ^= 0x55
            if bytes(broken).startswith(b"--" + BOUNDARY.encode() + b"\r\n"):
                broken = broken[:at]
            broken += b"x" * n
            broken = broken.replace(BOUNDARY.encode() + b"--", BOUNDARY.encode() + b"-x")
        elif n % 4 == 2:
            broken = broken.replace(
                b"form-data", dice.choice([b"form", b"", b"\x00", b"form-data;"])
            )
        else:
            broken = broken.replace(b"\r\n\r\n", dice.choice([b"\n\n", b"\r\n", b"\r\n \r\n"]), 1)
        reply = relay.send("POST", "/v1/files", bytes(broken), headers=FORM)
        statuses.add(reply.status)
        assert 400 <= reply.status < 500, (n, bytes(broken)[:300], reply.body)
        assert reply.error["type"] == "invalid_request_error"
    assert statuses == {400}
    assert on_disk(relay) == before


def test_a_client_that_leaves_leaves_nothing(relay: Relay) -> None:
    before = on_disk(relay)
    body = form(file_part(b"x" * 3_000_000))
    raw = relay.request("POST", "/v1/files", body, headers=FORM)
    for cut in (len(raw) // 2, len(raw) - 10):
        with relay.connect() as wire:
            wire.send(raw[:cut])
            wait_for(lambda: bool(on_disk(relay)[1]))
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_for(lambda: on_disk(relay) == before)
    assert upload(relay, b"fine").status == 200


def test_a_killed_relay_sweeps_at_its_next_start(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        kept = upload(relay, b"kept").json()["id"]
        raw = relay.request("POST", "/v1/files", form(file_part(b"x" * 900_000)), headers=FORM)
        with relay.connect() as wire:
            wire.send(raw[:-20])
            wait_for(lambda: bool(on_disk(relay)[1]))
            relay.stop(signal.SIGKILL)
        assert on_disk(relay)[1]
        (tmp_path / ".airelays" / "uploads" / ("file-" + "0" * 32)).write_bytes(b"no row")
    with running(tmp_path, env=WIDE) as relay:
        wait_for(lambda: on_disk(relay) == ({kept}, []))
        assert relay.get(f"/v1/files/{kept}/content").body == b"kept"


def test_bytes_that_were_taken_away_are_a_404_that_says_so(relay: Relay) -> None:
    one = upload(relay, b"here").json()["id"]
    (relay.home / ".airelays" / "uploads" / one).unlink()
    reply = relay.get(f"/v1/files/{one}/content")
    assert (reply.status, reply.error["code"]) == (404, "file_content_missing")
    assert relay.send("DELETE", f"/v1/files/{one}").status == 200


def test_requests_behind_a_long_upload_are_served_in_order(relay: Relay) -> None:
    data = random.Random(4).randbytes(2_000_000)
    raw = relay.request("POST", "/v1/files", form(file_part(data)), headers=FORM)
    after = relay.request("GET", "/healthz", token=None)
    with relay.connect() as wire:
        # The two are in one piece, then cut at places that the relay cannot foresee.
        whole = raw + after + raw + after
        for at in range(0, len(whole), 333_333):
            wire.send(whole[at : at + 333_333])
        for _ in range(2):
            made = wire.reply().json()
            assert relay.get(f"/v1/files/{made['id']}/content").body == data
            assert wire.reply().json()["ok"] is True


def test_a_long_upload_that_ends_early_or_drips_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_BODY_GAP_SECONDS": "0.4"}) as relay:
        raw = relay.request("POST", "/v1/files", form(file_part(b"x" * 3_000_000)), headers=FORM)
        with relay.connect() as wire:
            wire.send(raw[:1_000_000])
            wire.sock.shutdown(socket.SHUT_WR)
            reply = wire.reply()
            assert (reply.status, reply.error["message"]) == (
                400,
                "request body ended before it was complete",
            )
        with relay.connect() as wire:
            wire.send(raw[:1_500_000])
            assert wire.reply().status == 408
            assert wire.is_closed()
        assert on_disk(relay) == (set(), [])
        assert upload(relay, b"fine").status == 200


def peak_kib(relay: Relay) -> int:
    status = Path(f"/proc/{relay.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    data = random.Random(3).randbytes(32 * 1024 * 1024)
    with running(tmp_path, env=WIDE) as relay:
        one = upload(relay, b"warm").json()["id"]
        relay.get(f"/v1/files/{one}/content")
        before = peak_kib(relay)
        one = upload(relay, data).json()["id"]
        assert peak_kib(relay) - before < 8 * 1024
        with relay.connect() as wire:
            wire.send(relay.request("GET", f"/v1/files/{one}/content"))
            wire.head()
            got = bytearray(wire.buffer)
            while len(got) < len(data):
                got += wire.read()
        assert got == data
        assert peak_kib(relay) - before < 8 * 1024


def test_a_reader_that_does_not_read_costs_no_memory_and_stops_nobody(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        one = upload(relay, os.urandom(20 * 1024 * 1024)).json()["id"]
        before = peak_kib(relay)
        wires = [relay.connect() for _ in range(8)]
        for wire in wires:
            wire.send(relay.request("GET", f"/v1/files/{one}/content"))
            wire.head()
        assert upload(relay, b"another").status == 200
        assert peak_kib(relay) - before < 8 * 1024
        for wire in wires:
            wire.sock.close()


def test_uploads_from_many_clients_at_once(relay: Relay) -> None:
    found: dict[str, bytes] = {}

    def work(n: int) -> None:
        data = random.Random(n).randbytes(200_000 + n)
        found[upload(relay, data, f"{n}.bin").json()["id"]] = data

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(found) == 12
    for one, data in found.items():
        assert relay.get(f"/v1/files/{one}/content").body == data


def test_the_folders_and_files_are_the_owners_alone(relay: Relay) -> None:
    upload(relay, b"x")
    data = relay.home / ".airelays"
    for path in data.rglob("*"):
        if "logs" not in path.parts:
            assert not path.stat().st_mode & 0o077, path
