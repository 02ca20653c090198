"""The page at `/`: is it up, how do I connect. Static, without scripts, without anything to learn from.

No path, no version, no state of the sign-in, no token: strangers may open it. Layer: app.
"""

from __future__ import annotations

from html import escape

PAGE_FIELDS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; "
        b"form-action 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d8dee4; --back: #fbfbfa;
  --code: #f1f2f0; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa4ae; --line: #30363d;
  --back: #14171a; --code: #1e2328; --good: #4cc38a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 44rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); }
.up { color: var(--good); font-weight: 600; }
.up::before { content: ""; display: inline-block; width: .6rem; height: .6rem; border-radius: 50%;
  background: var(--good); margin-right: .5rem; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem 1rem;
  overflow-x: auto; font: .8125rem/1.55 ui-monospace, SFMono-Regular, Menlo, monospace; margin: .5rem 0; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, monospace; overflow-wrap: anywhere; }
pre code { font: inherit; overflow-wrap: normal; }
.base { display: inline-block; margin: .25rem 0; padding: .35rem .75rem; border: 1px solid var(--line);
  border-radius: .5rem; background: var(--code); font-size: 1rem; user-select: all; }
.whole { white-space: nowrap; }
@media (max-width: 40rem) { main { padding: 1.75rem 1rem 3rem; }
  pre { padding: .7rem .8rem; white-space: pre-wrap; overflow-wrap: anywhere; } }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .9rem; }
"""

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


_ELSEWHERE = (
    "<p>From another machine, use the address that your browser shows, with "
    "<code>/v1</code> behind it.</p>\n"
)


def render_page(
    base_url: str, model: str, reveal: str, *, needs_token: bool, wide: bool = False
) -> bytes:
    """Return the page for clients of `base_url`; `reveal` prints the token, `wide`: other machines may come too."""
    key = f"$({reveal})" if needs_token else "unused"
    blocks = "".join(
        f"<h2>{escape(title)}</h2>\n"
        f"<pre><code>{escape(text.format(base=base_url, key=key, model=model))}</code></pre>\n"
        for title, text in _SNIPPETS
    )
    access = (
        f"Clients need the relay token; <code>{escape(reveal)}</code> prints it on the machine "
        "that runs the relay."
        if needs_token
        else "This relay is open: clients on this machine need no token, any placeholder will do."
    )
    elsewhere = _ELSEWHERE if wide else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>AIRelays</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>AIRelays</h1>
<p class="up">The relay is up.</p>
<p class="soft">Base URL for clients:<br><code class="base">{escape(base_url)}</code></p>
{elsewhere}<p>{access}</p>
{blocks}<footer>Upstream sign-in and relay token are kept apart: this page shows neither.
Details are at
<code class="whole">GET /v1/relay/status</code>, with the token.</footer>
</main>
</body>
</html>
""".encode()
