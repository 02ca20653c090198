"""gptme, one prompt without a dialog."""

from __future__ import annotations

import os
from pathlib import Path

from harness import *
from one_prompt import play

PROGRAM = Path(os.environ["PROGRAMS"], "gptme")

play(
    lambda text: [PROGRAM, "-n", "--no-confirm", "-m", f"local/{MODEL}", text],
    {"OPENAI_BASE_URL": BASE_URL, "OPENAI_API_KEY": TOKEN},
)
