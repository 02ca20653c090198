"""Continue CLI, `cn -p`, with the settings of `airelays connect continue-cli`."""

from __future__ import annotations

import os
from pathlib import Path

from harness import *
from one_prompt import WORK, play

PROGRAM = Path(os.environ["PROGRAMS"], "cn")
CONFIG = WORK / "config.yaml"
CONFIG.write_text(
    "name: relay\nversion: 1.0.0\nschema: v1\nmodels:\n"
    f"  - name: relay\n    provider: openai\n    model: {MODEL}\n    apiBase: {BASE_URL}\n"
    "    apiKey: ${{ secrets.RELAY_TOKEN }}\n    roles: [chat]\n"
)

play(
    lambda text: [PROGRAM, "-p", text, "--config", str(CONFIG)],
    {"RELAY_TOKEN": TOKEN, "CONTINUE_TELEMETRY_ENABLED": "0"},
)
