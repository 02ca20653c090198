"""zstd through whatever this machine has: Python 3.14's own module, else the system's libzstd. Layer: I/O."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

BLOCK_BYTES = 128 * 1024
_NAMES = ("libzstd.so.1", "libzstd.1.dylib", "libzstd.dylib", "zstd.dll", "libzstd.dll")


@lru_cache(maxsize=1)
def zstd_decoder() -> Callable[[bytes, int], bytes] | None:
    """Return a function (data, limit) -> at most limit + 1 decoded bytes, or None when there is no zstd here.

    The function raises ValueError for malformed data.
    """
    if sys.version_info >= (3, 14):
        return _from_standard_library()
    return _from_system()


def _from_standard_library() -> Callable[[bytes, int], bytes] | None:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return None

    def decode(data: bytes, limit: int) -> bytes:
        decoder = zstd.ZstdDecompressor()
        try:
            plain = bytes(decoder.decompress(data, limit + 1))
        except zstd.ZstdError as error:
            raise ValueError("not valid zstd") from error
        if len(plain) <= limit and not decoder.eof:
            raise ValueError("zstd data is cut")
        return plain

    return decode


def _from_system() -> Callable[[bytes, int], bytes] | None:
    import ctypes

    for name in _NAMES:
        try:
            return _SystemZstd(ctypes.CDLL(name))
        except (OSError, AttributeError):
            continue
    return None


class _SystemZstd:
    """libzstd's streaming decoder. Memory follows what is there, not what a header claims."""

    def __init__(self, library: Any) -> None:
        """Raises AttributeError when `library` is not what its name says."""
        import ctypes

        size, void = ctypes.c_size_t, ctypes.c_void_p

        class Buffer(ctypes.Structure):
            _fields_ = (("at", void), ("size", size), ("pos", size))

        self._buffer = Buffer
        self._library = library
        library.ZSTD_createDStream.restype = void
        library.ZSTD_freeDStream.argtypes = [void]
        library.ZSTD_isError.argtypes = [size]
        library.ZSTD_decompressStream.restype = size
        pointer = ctypes.POINTER(Buffer)
        library.ZSTD_decompressStream.argtypes = [void, pointer, pointer]

    def __call__(self, data: bytes, limit: int) -> bytes:
        """Return at most `limit` + 1 decoded bytes. Raises ValueError."""
        stream = self._library.ZSTD_createDStream()
        try:
            return self._decode(stream, data, limit)
        finally:
            self._library.ZSTD_freeDStream(stream)

    def _decode(self, stream: Any, data: bytes, limit: int) -> bytes:
        import ctypes

        void = ctypes.c_void_p
        block = ctypes.create_string_buffer(BLOCK_BYTES)
        source = self._buffer(ctypes.cast(ctypes.c_char_p(data), void), len(data), 0)
        plain, left = bytearray(), 1
        while source.pos < source.size or left:
            target = self._buffer(ctypes.cast(block, void), len(block), 0)
            before = source.pos
            left = self._library.ZSTD_decompressStream(
                stream, ctypes.byref(target), ctypes.byref(source)
            )
            if self._library.ZSTD_isError(left):
                raise ValueError("not valid zstd")
            plain += block.raw[: target.pos]
            if len(plain) > limit:
                return bytes(plain[: limit + 1])
            if not target.pos and source.pos == before:
                raise ValueError("zstd data is cut")
        return bytes(plain)
