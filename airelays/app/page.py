"""The page at `/`: whether the relay is up, how to connect, and, signed in, what is happening in the relay.

One static document for everyone, composed from `assets/`, without a version, a secret or the state of the sign-in.
Its script requests with a token (`guard.pagetokens`) what the page shows of the relay. Layer: app.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from html import escape

from airelays.app.pages import asset_text

# Joined in this order, they are one script.
SCRIPTS = ("core.js", "live.js", "views.js", "reading.js", "page.js")
_PLACE = re.compile(r"\{\{([a-z]+)\}\}")
_COMMON: tuple[tuple[bytes, bytes], ...] = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_CLOSED = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# For the pages below /docs, and for errors that are shown in a browser: no script runs in them.
DOC_FIELDS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'unsafe-inline'; {_CLOSED}".encode(),
    ),
    *_COMMON,
)


def style() -> str:
    """Return the style sheet of the page."""
    return asset_text("page.css")


@lru_cache(maxsize=1)
def script() -> str:
    """Return the script of the page."""
    return '"use strict";\n' + "\n".join(map(asset_text, SCRIPTS))


@lru_cache(maxsize=1)
def page_fields() -> tuple[tuple[bytes, bytes], ...]:
    """Return the header fields of the page: its own style and script by their hashes, its own origin, nothing else."""
    policy = (
        f"default-src 'none'; script-src {_hash(script())}; style-src {_hash(style())}; connect-src 'self'; "
        f"require-trusted-types-for 'script'; trusted-types docs; {_CLOSED}"
    )
    return ((b"content-security-policy", policy.encode()), *_COMMON)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_SNIPPETS: tuple[tuple[str, str], ...] = (
    (
        "Any OpenAI client",
        'export OPENAI_BASE_URL="{base}"\nexport OPENAI_API_KEY="{key}"',
    ),
    (
        "curl",
        'curl {base}/chat/completions \\\n  -H "Authorization: Bearer {key}" \\\n'
        '  -H "Content-Type: application/json" \\\n'
        '  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}\'',
    ),
    (
        "Python",
        "from openai import OpenAI\n\nclient = OpenAI()  # reads the two variables above\n"
        'answer = client.responses.create(model="{model}", input="Hello")\n'
        "print(answer.output_text)",
    ),
    (
        "JavaScript",
        'import OpenAI from "openai";\n\nconst client = new OpenAI();  // reads them too\n'
        "const answer = await client.responses.create({{\n"
        '  model: "{model}",\n  input: "Hello",\n}});\n'
        "console.log(answer.output_text);",
    ),
    (
        "Codex CLI (~/.codex/config.toml)",
        'model_provider = "airelays"\n\n[model_providers.airelays]\nname = "airelays"\n'
        'base_url = "{base}"\nenv_key = "OPENAI_API_KEY"\nwire_api = "responses"',
    ),
)

_ELSEWHERE = "<p>From another machine, use the address that your browser shows, followed by <code>/v1</code>.</p>\n"


def render_page(
    base_url: str,
    model: str,
    reveal: str,
    *,
    opener: str,
    explain: str,
    needs_token: bool,
    wide: bool = False,
) -> bytes:
    """Return the page for clients of `base_url`; `reveal` prints the token, `wide`: other machines may come too.

    `opener` and `explain` are commands as they can be pasted.
    """
    key = f"$({reveal})" if needs_token else "unused"
    blocks = "".join(
        f"<h2>{escape(title)}</h2>\n"
        f'<pre tabindex="0"><code>{escape(text.format(base=base_url, key=key, model=model))}</code></pre>\n'
        for title, text in _SNIPPETS
    )
    access = (
        f"Clients require the relay token; <code>{escape(reveal)}</code> prints it on the machine "
        "that runs the relay."
        if needs_token
        else "This relay is open: clients on this machine don't need a token. If one insists on an API key, use "
        "any text."
    )
    parts = {
        "style": style(),
        "script": script(),
        "mode": "token" if needs_token else "open",
        "open": escape(opener),
        "explain": escape(explain),
        "base": escape(base_url),
        "elsewhere": _ELSEWHERE if wide else "",
        "access": access,
        "snippets": blocks,
    }
    return _PLACE.sub(lambda place: parts[place[1]], asset_text("page.html")).encode()
