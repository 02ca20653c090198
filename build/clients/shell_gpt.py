"""shell-gpt, one prompt."""

from __future__ import annotations

import os
from pathlib import Path

from harness import *
from one_prompt import play

PROGRAM = Path(os.environ["PROGRAMS"], "sgpt")

play(
    lambda text: [PROGRAM, "--no-cache", text],
    {
        "API_BASE_URL": BASE_URL,
        "OPENAI_API_KEY": TOKEN,
        "DEFAULT_MODEL": MODEL,
        "USE_LITELLM": "false",
    },
)
