"""The settings of each client program, ready to paste: data of `airelays connect`. Layer: commands.

`{base}` is the base URL, `{root}` is the same without /v1, `{key}` is shell words that print the relay token, and
`{model}` is a model. None of them contains the token itself. A client with a `path` keeps its settings in a text file
with `#` comments, where a marked block can be added and removed, or in a JSON file, where members can. Only the user
can reach the settings of the other clients.
"""

from __future__ import annotations

from typing import NamedTuple


class Client(NamedTuple):
    """One client program. `path` is relative to HOME; `needs_new` means that the block cannot be combined with other
    settings.

    `aliases` are patterns of the model names that it requests by default.
    """

    title: str
    text: str
    note: str = ""
    path: str = ""
    needs_new: bool = False
    aliases: tuple[str, ...] = ()


_ENV = 'export OPENAI_BASE_URL="{base}"\nexport OPENAI_API_KEY="{key}"\n'

CLIENTS: dict[str, Client] = {
    "openai-python": Client(
        "openai for Python",
        _ENV + "python3 -c 'from openai import OpenAI; print(OpenAI().responses.create("
        'model="{model}", input="Hello").output_text)\'\n',
        "The package reads both variables; OpenAI(base_url=..., api_key=...) does the same.",
    ),
    "openai-node": Client(
        "openai for Node",
        _ENV + 'node -e \'new (require("openai"))().responses.create('
        '{{model: "{model}", input: "Hello"}}).then(r => console.log(r.output_text))\'\n',
        "The package reads both variables; new OpenAI({{ baseURL, apiKey }}) does the same.",
    ),
    "codex": Client(
        "Codex CLI",
        "[model_providers.airelays]\n"
        'name = "airelays"\n'
        'base_url = "{base}"\n'
        'wire_api = "responses"\n'
        'env_key = "AIRELAYS_TOKEN"\n',
        'Then: AIRELAYS_TOKEN="{key}" codex -c model_provider=airelays -m {model}',
        ".codex/config.toml",
    ),
    "claude-code": Client(
        "Claude Code",
        '{{\n  "apiKeyHelper": "{key_command}",\n  "env": {{\n    "ANTHROPIC_BASE_URL": "{root}",\n'
        '    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1"\n  }}\n}}\n',
        "Claude Code runs the helper for the relay token, so that no file contains it. For one session: "
        'ANTHROPIC_BASE_URL={root} ANTHROPIC_AUTH_TOKEN="{key}" claude',
        ".claude/settings.json",
        aliases=("claude-*",),
    ),
    "aider": Client(
        "aider",
        "openai-api-base: {base}\nmodel: openai/{model}\n",
        'Then: OPENAI_API_KEY="{key}" aider',
        ".aider.conf.yml",
    ),
    "llm": Client(
        "simonw llm",
        "- model_id: airelays\n  model_name: {model}\n  api_base: {base}\n  api_key_name: airelays\n",
        'Then run once: llm keys set airelays --value "{key}". To use it: llm -m airelays "Hello"',
        ".config/io.datasette.llm/extra-openai-models.yaml",
    ),
    "continue": Client(
        "Continue",
        "name: airelays\nversion: 1.0.0\nschema: v1\nmodels:\n"
        "  - name: airelays\n    provider: openai\n    model: {model}\n    apiBase: {base}\n"
        "    apiKey: ${{{{ secrets.AIRELAYS_TOKEN }}}}\n    roles: [chat, edit, apply]\n",
        "Put AIRELAYS_TOKEN=... into ~/.continue/.env; `{key_command}` prints the value.",
        ".continue/config.yaml",
        True,
    ),
    "continue-cli": Client(
        "Continue CLI (cn)",
        "name: airelays\nversion: 1.0.0\nschema: v1\nmodels:\n"
        "  - name: airelays\n    provider: openai\n    model: {model}\n    apiBase: {base}\n"
        "    apiKey: ${{{{ secrets.AIRELAYS_TOKEN }}}}\n    roles: [chat, edit, apply]\n",
        'Then: AIRELAYS_TOKEN="{key}" cn --config ~/.continue/config.yaml',
        ".continue/config.yaml",
        True,
    ),
    "opencode": Client(
        "opencode",
        '{{\n  "$schema": "https://opencode.ai/config.json",\n  "model": "airelays/{model}",\n  "provider": {{\n'
        '    "airelays": {{\n      "npm": "@ai-sdk/openai-compatible",\n'
        '      "options": {{ "baseURL": "{base}", "apiKey": "{{env:AIRELAYS_TOKEN}}" }},\n'
        '      "models": {{ "{model}": {{}} }}\n    }}\n  }}\n}}\n',
        'Put it into ~/.config/opencode/opencode.json or the project\'s opencode.json. Then: AIRELAYS_TOKEN="{key}" '
        "opencode",
    ),
    "goose": Client(
        "goose",
        'export GOOSE_PROVIDER=openai GOOSE_MODEL="{model}"\nexport OPENAI_HOST="{root}"\n'
        'export OPENAI_BASE_PATH=v1/chat/completions\nexport OPENAI_API_KEY="{key}"\ngoose session\n',
        "`goose configure` stores the same values in its own files, and the key in the keyring.",
    ),
    "gptme": Client(
        "gptme",
        _ENV + 'gptme -m "local/{model}" "Hello"\n',
        "gptme uses the prefix local/ for your own server.",
    ),
    "shell-gpt": Client(
        "shell-gpt",
        'export API_BASE_URL="{base}" DEFAULT_MODEL="{model}" USE_LITELLM=false\n'
        'export OPENAI_API_KEY="{key}"\nsgpt "Hello"\n',
        "You can put the same lines, without `export`, into ~/.config/shell_gpt/.sgptrc; leave out the key.",
    ),
    "cline-cli": Client(
        "Cline CLI",
        "cline auth\n  provider:  OpenAI Compatible (openai-compatible)\n  base URL:  {base}\n"
        "  API key:   what `{key_command}` prints\n  model:     {model}\n",
        'Then: cline -P openai-compatible -m "{model}" "Hello". If you type the key into its dialog, it does '
        "not appear in a command line. Cline stores it in ~/.cline.",
    ),
    "cursor": Client(
        "Cursor",
        "Settings, Models, API Keys:\n  OpenAI API Key:            what `{key_command}` prints\n"
        "  Override OpenAI Base URL:  {base}\n  Add model:                 {model}\n",
        "Cursor sends requests from its own servers, which cannot reach an address of this machine. The "
        "relay must be at an address that they can reach. Read `airelays docs security` before you do that.",
    ),
    "roo": Client(
        "Roo Code",
        "API Provider: OpenAI Compatible\nBase URL:     {base}\nAPI Key:      what `{key_command}` prints\n"
        "Model:        {model}\n",
        "Enter these values in Roo Code's settings in VS Code.",
    ),
    "jan": Client(
        "Jan",
        "Settings, Model Providers, Add Provider:\n  Base URL:  {base}\n"
        "  API Key:   what `{key_command}` prints\n  Model:     {model}\n",
        "Jan gets the list of models from the relay.",
    ),
    "cline": Client(
        "Cline",
        "API Provider: OpenAI Compatible\nBase URL:     {base}\nAPI Key:      what `{key_command}` prints\n"
        "Model ID:     {model}\n",
        "Enter these values in Cline's settings in VS Code.",
    ),
    "zed": Client(
        "Zed",
        '"language_models": {{\n  "openai_compatible": {{\n    "airelays": {{\n'
        '      "api_url": "{base}",\n      "available_models": [\n'
        '        {{ "name": "{model}", "max_tokens": 272000, "capabilities": '
        '{{ "tools": true, "images": true }} }}\n      ]\n    }}\n  }}\n}}\n',
        "Paste this into settings.json. Zed asks for the key once and stores it in the keychain.",
    ),
    "open-webui": Client(
        "Open WebUI",
        'OPENAI_API_BASE_URL="{base}" OPENAI_API_KEY="{key}" open-webui serve\n',
        "From Docker, use http://host.docker.internal:PORT/v1, and add host.docker.internal to "
        "security.allowed_hosts.",
    ),
    "langchain": Client(
        "LangChain",
        _ENV + "python3 -c 'from langchain_openai import ChatOpenAI; print(ChatOpenAI("
        'model="{model}").invoke("Hello").content)\'\n',
    ),
    "ai-sdk": Client(
        "Vercel AI SDK",
        "import {{ createOpenAICompatible }} from '@ai-sdk/openai-compatible';\n"
        "const relay = createOpenAICompatible({{ name: 'airelays', baseURL: '{base}', "
        "apiKey: process.env.AIRELAYS_TOKEN }});\n"
        "const model = relay('{model}');\n",
        'Run with AIRELAYS_TOKEN="{key}".',
    ),
}
