"""The client programs that `build/clients.py` drives: packages, driver, upstreams."""

from __future__ import annotations

from typing import NamedTuple

UPSTREAMS = ("strict", "lenient", "demo", "chat-only")
USUAL = UPSTREAMS[:3]
# Clients of Anthropic's API and Ollama's: here a server that has chat only is the farthest from what they speak.
OF_ANTHROPIC = ("strict", "demo", "chat-only")

# Commands that npm installs; their drivers are in Python.
_NODE_COMMANDS = (
    "@openai/codex",
    "opencode-ai",
    "@qwen-code/qwen-code",
    "@continuedev/cli",
    "@anthropic-ai/claude-code@latest",
)


class Client(NamedTuple):
    """One client: the packages it is made of (the first one's version is shown) and its driver."""

    title: str
    packages: tuple[str, ...]
    driver: str
    minutes: int = 10
    upstreams: tuple[str, ...] = USUAL

    @property
    def is_node(self) -> bool:
        """Whether npm installs it."""
        return self.driver.endswith(".mjs") or self.packages[0] in _NODE_COMMANDS


CLIENTS = {
    "openai-python": Client("openai (Python)", ("openai", "pydantic"), "openai_python.py"),
    "openai-node": Client("openai (Node)", ("openai@6", "zod"), "openai_node.mjs"),
    "codex": Client("Codex CLI", ("@openai/codex",), "codex.py"),
    "openai-agents": Client("openai-agents (Python)", ("openai-agents",), "openai_agents.py"),
    "langchain": Client(
        "langchain-openai", ("langchain-openai", "langchain"), "langchain_openai_.py"
    ),
    "litellm": Client("LiteLLM SDK", ("litellm[mcp]",), "litellm_.py"),
    "pydantic-ai": Client("pydantic-ai", ("pydantic-ai-slim[openai]",), "pydantic_ai_.py"),
    "ai-sdk": Client(
        "Vercel AI SDK",
        ("ai@6", "@ai-sdk/openai@3", "@ai-sdk/openai-compatible@2", "zod"),
        "ai_sdk.mjs",
    ),
    "llm": Client("llm", ("llm",), "llm_.py"),
    "aider": Client("aider", ("aider-chat",), "aider_.py", 15),
    "gptme": Client("gptme", ("gptme",), "gptme_.py"),
    "shell-gpt": Client("shell-gpt", ("shell-gpt", "click"), "shell_gpt.py"),
    "continue-cli": Client("Continue CLI", ("@continuedev/cli",), "continue_cli.py"),
    "opencode": Client("opencode", ("opencode-ai",), "opencode.py"),
    "qwen-code": Client("qwen-code", ("@qwen-code/qwen-code",), "qwen_code.py"),
    "instructor": Client("instructor", ("instructor",), "instructor_.py"),
    "llama-index": Client(
        "LlamaIndex", ("llama-index-llms-openai-like", "llama-index-llms-openai"), "llama_index_.py"
    ),
    "haystack": Client("Haystack", ("haystack-ai",), "haystack_.py"),
    "strands": Client("strands-agents", ("strands-agents[openai]",), "strands_.py"),
    "smolagents": Client("smolagents", ("smolagents[openai]",), "smolagents_.py"),
    "openai-agents-js": Client(
        "openai-agents (Node)", ("@openai/agents", "zod"), "openai_agents.mjs"
    ),
    "langchain-js": Client(
        "@langchain/openai", ("@langchain/openai", "@langchain/core", "zod"), "langchain.mjs"
    ),
    "claude-code": Client(
        "Claude Code",
        ("@anthropic-ai/claude-code@latest",),
        "claude_code.py",
        upstreams=OF_ANTHROPIC,
    ),
    "anthropic-python": Client(
        "anthropic 2 (Python)", ("anthropic>=2,<3",), "anthropic_python.py", upstreams=OF_ANTHROPIC
    ),
    "anthropic-python-0": Client(
        "anthropic 0 (Python)", ("anthropic<1",), "anthropic_python.py", upstreams=OF_ANTHROPIC
    ),
    "anthropic-node": Client(
        "@anthropic-ai/sdk 1",
        ("@anthropic-ai/sdk@1",),
        "anthropic_node.mjs",
        upstreams=OF_ANTHROPIC,
    ),
    "anthropic-node-0": Client(
        "@anthropic-ai/sdk 0",
        ("@anthropic-ai/sdk@0",),
        "anthropic_node.mjs",
        upstreams=OF_ANTHROPIC,
    ),
    "ollama-python": Client(
        "ollama (Python)", ("ollama",), "ollama_python.py", upstreams=OF_ANTHROPIC
    ),
    "ollama-node": Client(
        "ollama (JavaScript)", ("ollama",), "ollama_node.mjs", upstreams=OF_ANTHROPIC
    ),
    "litellm-anthropic": Client(
        "LiteLLM SDK, anthropic/", ("litellm",), "litellm_anthropic_.py", upstreams=OF_ANTHROPIC
    ),
    "langchain-anthropic": Client(
        "langchain-anthropic",
        ("langchain-anthropic",),
        "langchain_anthropic_.py",
        upstreams=OF_ANTHROPIC,
    ),
    "litellm-ollama": Client(
        "LiteLLM SDK, ollama_chat/", ("litellm",), "litellm_ollama_.py", upstreams=OF_ANTHROPIC
    ),
    "langchain-ollama": Client(
        "langchain-ollama", ("langchain-ollama",), "langchain_ollama_.py", upstreams=OF_ANTHROPIC
    ),
    "llama-index-ollama": Client(
        "llama-index-llms-ollama",
        ("llama-index-llms-ollama",),
        "llama_index_ollama_.py",
        upstreams=OF_ANTHROPIC,
    ),
}
