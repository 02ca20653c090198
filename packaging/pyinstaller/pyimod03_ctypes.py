"""In place of PyInstaller's module of this name, which loads ctypes at every start to make it look for libraries here.

The relay loads libzstd, crypt32 and kernel32 by the system's own rules, and ctypes only when it does: 5 ms less.
Runs before anything can be imported, `__future__` among it.
"""


def install() -> None:
    """Leave ctypes as it is."""
