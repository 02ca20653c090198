"""First thing in a frozen process: give back the environment that the loader has changed.

The loader points LD_LIBRARY_PATH at the program's own libraries. A pager, a browser or `secret-tool` started by
the relay must not load those (PyInstaller's manual, "LD_LIBRARY_PATH considerations"). The running process has
its libraries already.
"""

from __future__ import annotations

import os

for _name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LIBPATH"):
    _before = os.environ.pop(_name + "_ORIG", None)
    if _before is not None:
        os.environ[_name] = _before
    else:
        os.environ.pop(_name, None)
for _name in [_n for _n in os.environ if _n.startswith(("_PYI_", "_MEIPASS"))]:
    del os.environ[_name]
