"""`python -m airelays`. Layer: cli."""

from __future__ import annotations

import sys

from airelays.cli import main

if __name__ == "__main__":
    sys.exit(main())
