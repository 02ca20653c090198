"""The documentation pages inside the program: which there are, and their text; the parts of the page at `/`.

Read through the loader of the package, so that it is the same in a folder, a wheel, the one-file form and
an executable. Layer: I/O.
"""

from __future__ import annotations

import os
from functools import lru_cache

import airelays
from airelays.errors import ConfigError

# In reading order. A page is a file of that name in `airelays/docs/`; a test compares the two.
PAGES = (
    "getting-started",
    "configuration",
    "security",
    "keys",
    "usage",
    "page",
    "api",
    "clients",
    "quirks",
    "claude-code",
    "ollama",
    "upstreams",
    "files",
    "conversations",
    "logs",
    "metrics",
    "errors",
    "troubleshooting",
    "performance",
    "growing",
    "demo",
    "architecture",
    "threat-model",
    "releases",
    "disclaimer",
    "licenses",
)
# Pages of earlier releases, and where their subject is now.
MOVED = {"hardening": "threat-model"}


def page_text(name: str) -> str:
    """Return the Markdown of the page `name`, which must be one of PAGES."""
    return _carried(f"docs/{name}.md", f"page {name}")


@lru_cache(maxsize=16)
def asset_text(name: str) -> str:
    """Return the text of a part of the page at `/`."""
    return _carried(f"app/assets/{name}", name)


def _carried(name: str, what: str) -> str:
    path = os.path.join(os.path.dirname(airelays.__file__), *name.split("/"))
    spec = airelays.__spec__
    loader = spec.loader if spec is not None else None
    try:
        # Every loader that can carry data files has `get_data` (importlib.abc.ResourceLoader).
        data = loader.get_data(path)  # type: ignore[union-attr]
    except OSError as error:
        raise ConfigError(f"{what} is missing from this copy of the program") from error
    return bytes(data).decode()


def page_title(name: str) -> str:
    """Return the first line of the page `name`, without the mark of a heading."""
    return page_text(name).partition("\n")[0].lstrip("# ")


def keep_code() -> None:
    """Let the one-file form keep what it has compiled for the next start; other forms need nothing."""
    spec = airelays.__spec__
    keep = getattr(spec.loader, "keep", None) if spec is not None else None
    if keep is not None:
        keep()
