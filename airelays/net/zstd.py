"""zstd through whatever this machine has: Python 3.14's own module, else the system's libzstd. Layer: I/O."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache

__all__ = ["zstd_decoder"]

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

    library = None
    for name in _NAMES:
        try:
            library = ctypes.CDLL(name)
            break
        except OSError:
            continue
    if library is None:
        return None
    size_t, void = ctypes.c_size_t, ctypes.c_void_p

    class Buffer(ctypes.Structure):
        _fields_ = (("at", void), ("size", size_t), ("pos", size_t))

    library.ZSTD_createDStream.restype = void
    library.ZSTD_freeDStream.argtypes = [void]
    library.ZSTD_isError.argtypes = [size_t]
    decompress = library.ZSTD_decompressStream
    decompress.restype = size_t
    decompress.argtypes = [void, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]

    def decode(data: bytes, limit: int) -> bytes:
        """Decode frame by frame into blocks, so that memory follows what is there and not what a header claims."""
        stream = library.ZSTD_createDStream()
        block = ctypes.create_string_buffer(128 * 1024)
        source = Buffer(ctypes.cast(ctypes.c_char_p(data), void), len(data), 0)
        plain = bytearray()
        left = 1
        try:
            while source.pos < source.size or left:
                target = Buffer(ctypes.cast(block, void), len(block), 0)
                before = source.pos
                left = decompress(stream, ctypes.byref(target), ctypes.byref(source))
                if library.ZSTD_isError(left):
                    raise ValueError("not valid zstd")
                plain += block.raw[: target.pos]
                if len(plain) > limit:
                    return bytes(plain[: limit + 1])
                if not target.pos and source.pos == before:
                    raise ValueError("zstd data is cut")
        finally:
            library.ZSTD_freeDStream(stream)
        return bytes(plain)

    return decode
