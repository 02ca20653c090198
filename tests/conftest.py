"""What every test needs: nothing of the user's own environment leaks in. Fixtures of subjects stand in `live.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

for _name in list(os.environ):
    if _name.startswith(("AIRELAYS_TEST_", "AIRELAYS_SLOW_TESTS")):
        continue  # how long and how much the tests themselves try
    if _name.startswith(("AIRELAYS_", "AIRELAY_", "OPENAI_")):
        del os.environ[_name]

# The same examples in every run on a build machine; at a developer's desk new ones each time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
