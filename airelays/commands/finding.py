"""Looks for model servers at their usual ports of this machine; only when asked. Layer: commands."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from airelays.errors import UpstreamFault
from airelays.net.client import Client
from airelays.upstream.compatible.entries import model_entries

# Name in the config file, the server, its usual port.
USUAL = (
    ("ollama", "Ollama", 11434),
    ("lmstudio", "LM Studio", 1234),
    ("llamacpp", "llama.cpp", 8080),
    ("vllm", "vLLM", 8000),
    ("sglang", "SGLang", 30000),
    ("jan", "Jan", 1337),
)
LOOK_S = 2.0
MAX_BYTES = 1024 * 1024


class Found(NamedTuple):
    """What answers at a port. `models` are the names it lists; `needs_key` that it lists them only with a key."""

    name: str
    server: str
    base_url: str
    models: tuple[str, ...] = ()
    needs_key: bool = False

    def as_text(self) -> str:
        """Return one line on it."""
        if self.needs_key:
            said = (
                "requires a key or is not a model server; if it requires a key, set api_key_env or "
            )
            "api_key_file"
        elif self.models:
            more = f" and {len(self.models) - 1} more" if len(self.models) > 1 else ""
            said = f"lists {self.models[0][:80]}{more}"
        else:
            said = "does not list any models yet"
        return f"{self.base_url} ({self.server}'s port) {said}"


def look_around(ports: tuple[tuple[str, str, int], ...] = USUAL) -> list[Found]:
    """Return what answers like a model server, in the order of `ports`; relays are left out. Takes up to 2 s."""
    return asyncio.run(_look_around(ports))


async def _look_around(ports: tuple[tuple[str, str, int], ...]) -> list[Found]:
    looked = await asyncio.gather(*(_look(name, server, port) for name, server, port in ports))
    return [one for one in looked if one is not None]


async def _look(name: str, server: str, port: int) -> Found | None:
    place = f"http://127.0.0.1:{port}"
    client = Client([place], connect_s=LOOK_S, head_s=LOOK_S, gap_s=LOOK_S, offline=True)
    try:
        async with asyncio.timeout(LOOK_S):
            status, listed = await _get(client, f"{place}/v1/models")
            if status not in (200, 401, 403):
                return None
            _, health = await _get(client, f"{place}/healthz")
    except (TimeoutError, UpstreamFault):
        return None
    finally:
        await client.close()
    if isinstance(health, dict) and health.get("app_name") == "AIRelays":
        return None
    found = Found(name, server, f"{place}/v1")
    if status != 200:
        return found._replace(needs_key=True)
    if not isinstance(listed, dict) or not isinstance(listed.get("data"), list):
        return None
    return found._replace(models=tuple(entry["slug"] for entry in model_entries(listed)))


async def _get(client: Client, url: str) -> tuple[int, Any]:
    response = await client.request(method="GET", url=url)
    body = await response.read(MAX_BYTES, within_s=LOOK_S)
    try:
        return response.status, json.loads(body)
    except (ValueError, RecursionError):
        return response.status, None
