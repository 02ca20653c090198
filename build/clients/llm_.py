"""simonw's llm, as a command: prompts, streams, tools, schemas, a conversation that goes on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from harness import *

PROGRAM = Path(os.environ["PROGRAMS"], "llm")
FOLDER = Path(os.environ["HOME"], "llm")
FOLDER.mkdir(exist_ok=True)
ENV = {**os.environ, "LLM_USER_PATH": str(FOLDER), "LLM_LOAD_PLUGINS": ""}
(FOLDER / "keys.json").write_text(json.dumps({"relay": TOKEN}))
(FOLDER / "extra-openai-models.yaml").write_text(f"""
- model_id: relay
  model_name: {MODEL}
  api_base: {BASE_URL}
  api_key_name: relay
  supports_tools: true
  supports_schema: true
  reasoning: true
- model_id: relay-completion
  model_name: {MODEL}
  api_base: {BASE_URL}
  api_key_name: relay
  completion: true
""")


def llm(*words, wanted=0):
    done = subprocess.run(
        [PROGRAM, *words], env=ENV, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    same(
        (done.returncode, done.stderr if not wanted else ""),
        (wanted, done.stderr if not wanted else ""),
    )
    return (done.stdout if not wanted else done.stderr).strip()


def plain():
    same(llm("-m", "relay", "--no-stream", "-s", "Be short.", HELLO), ECHO)
    true(HELLO in llm("-m", "relay-completion", "--no-stream", HELLO), "the echo")


def stream():
    same(llm("-m", "relay", HELLO), ECHO)
    true(HELLO in llm("-m", "relay-completion", HELLO), "the echo")


def tools():
    code = 'def get_weather(city: str) -> str:\n    "Weather."\n    return f"4 degrees in {city}"\n'
    same(llm("-m", "relay", "--functions", code, ASK_WEATHER), TOOL_ECHO)
    same(llm("-m", "relay", "--no-stream", "--functions", code, ASK_WEATHER), TOOL_ECHO)


def schema():
    found = json.loads(llm("-m", "relay", "--schema", "name, age int", "x"))
    true(isinstance(found["age"], int), "an age")


def replay():
    same(llm("-m", "relay", "-o", "reasoning_effort", "low", HELLO), ECHO)
    same(llm("-c", HELLO), ECHO)


def errors():
    true(
        "usage limit" in llm("-m", "relay", LIMITED, wanted=1).lower() or UPSTREAM == "demo",
        "the reason",
    )


def abort():
    words = [PROGRAM, "-m", "relay", SLOW]
    process = subprocess.Popen(words, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    leaves(process, 20)


run(
    {
        "plain": plain,
        "stream": stream,
        "tools": tools,
        "schema": schema,
        "replay": replay,
        "errors": errors,
        "abort": abort,
    }
)
