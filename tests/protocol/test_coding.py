"""protocol.coding and net.zstd: compressed request bodies, decoded under a bound."""

from __future__ import annotations

import ctypes.util
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.errors import ClientFault
from airelays.net.zstd import zstd_decoder
from airelays.protocol.coding import decode_body

BODY = b'{"model": "m"}' * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_pack(data: bytes) -> bytes:
    name = ctypes.util.find_library("zstd")
    if name is None:
        pytest.skip("no libzstd on this machine")
    library = ctypes.CDLL(name)
    library.ZSTD_compressBound.restype = ctypes.c_size_t
    library.ZSTD_compress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(library.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    size = library.ZSTD_compress(
        out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)), ctypes.c_int(3)
    )
    return out.raw[:size]


def refusal(raw: bytes, coding: bytes, limit: int = 10_000) -> ClientFault:
    with pytest.raises(ClientFault) as caught:
        decode_body(raw, coding, limit, zstd_decoder())
    return caught.value


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        (b"gzip", gzip.compress(BODY)),
        (b"X-GZIP", gzip.compress(BODY)),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", raw_deflate(BODY)),
        (b"identity", BODY),
        (b"", BODY),
    ],
)
def test_what_is_understood_is_decoded(coding: bytes, raw: bytes) -> None:
    assert decode_body(raw, coding, len(BODY)) == BODY


@pytest.mark.parametrize("coding", [b"br", b"compress", b"gzip, gzip", b"zstd"])
def test_another_coding_is_a_415_that_says_what_to_do(coding: bytes) -> None:
    with pytest.raises(ClientFault) as caught:
        decode_body(BODY, coding, 10_000)
    assert caught.value.status == 415
    assert "gzip" in caught.value.message
    assert ("enable_request_compression=false" in caught.value.message) is (coding == b"zstd")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_decoded_size_is_bounded_exactly(over: int) -> None:
    for coding, pack in ((b"gzip", gzip.compress), (b"deflate", raw_deflate), (b"zstd", zstd_pack)):
        raw = pack(b"x" * (1000 + over))
        if over <= 0:
            assert len(decode_body(raw, coding, 1000, zstd_decoder())) == 1000 + over
        else:
            assert refusal(raw, coding, 1000).status == 413


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    for coding, pack in ((b"gzip", gzip.compress), (b"zstd", zstd_pack)):
        bomb = pack(bytes(64 * 1024 * 1024))
        assert len(bomb) < 200_000
        tracemalloc.start()
        assert refusal(bomb, coding, 1000).status == 413
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 * 1024 * 1024


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"zstd"])
def test_cut_and_broken_data_is_a_400(coding: bytes) -> None:
    packs: dict[bytes, Callable[[bytes], bytes]] = {
        b"gzip": gzip.compress,
        b"deflate": zlib.compress,
        b"zstd": zstd_pack,
    }
    whole = packs[coding](BODY)
    for cut in range(0, len(whole) - 1, 3):
        assert refusal(whole[:cut], coding).status == 400
    assert refusal(b"garbage" * 10, coding).status == 400


def test_zstd_comes_back() -> None:
    packed = zstd_pack(BODY * 5000)
    assert decode_body(packed, b"zstd", 10**7, zstd_decoder()) == BODY * 5000


@given(st.binary(max_size=100), st.sampled_from([b"gzip", b"deflate", b"zstd"]))
def test_garbage_is_decoded_or_refused(raw: bytes, coding: bytes) -> None:
    try:
        decode_body(raw, coding, 1000, zstd_decoder())
    except ClientFault as fault:
        assert fault.status in (400, 413, 415)
