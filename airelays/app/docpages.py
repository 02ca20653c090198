"""The documentation as plain pages: GET /docs and /docs/TOPIC, behind the token like everything else.

Turns the blocks of our own pages into HTML. The text is ours and still escaped throughout; there are no scripts, and
the policy forbids any. Layer: app.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from airelays.app.markdown import INLINE, Block, blocks
from airelays.app.page import DOC_FIELDS
from airelays.app.pages import MOVED, PAGES, page_text, page_title
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.desk import Desk

_HTML = b"text/html; charset=utf-8"
_STYLE = """
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
table { border-collapse: collapse; display: block; overflow-x: auto; margin: .75rem 0; font-size: .93em; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left;
  vertical-align: top; }
ul { padding-left: 1.2rem; } li { margin: .3rem 0; } a { color: inherit; }
h3 { font-size: 1rem; margin: 1.5rem 0 .4rem; }
"""


async def docs(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /docs: which pages there are."""
    try:
        rows = "".join(
            f'<li><a href="/docs/{name}">{escape(page_title(name))}</a></li>\n' for name in PAGES
        )
    except ConfigError as error:
        raise RelayError(str(error), status=503) from error
    await request.reply(
        200,
        _page("Documentation", f"<h1>Documentation</h1>\n<ul>\n{rows}</ul>"),
        DOC_FIELDS,
        _HTML,
    )


async def doc(desk: Desk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /docs/TOPIC: one page."""
    name = MOVED.get(values["topic"], values["topic"])
    if name not in PAGES:
        raise ClientFault(
            f"there is no page {name[:80]}; the pages are {', '.join(PAGES)}",
            status=404,
            code="unknown_route",
        )
    try:
        text = page_text(name)
    except ConfigError as error:
        raise RelayError(str(error), status=503) from error
    body = render_markdown(text) + '<footer><a href="/docs">All pages</a></footer>'
    await request.reply(200, _page(page_title(name), body), DOC_FIELDS, _HTML)


def closed_page(origin: str, reveal: str, docs: str, opener: str) -> bytes:
    """Return what a browser is shown that opens the documentation without the token: how to read it.

    `reveal` is the command that prints the token, `docs` the one that shows the pages, `opener` opens the relay's page.
    """
    return _page(
        "Documentation",
        f"""<h1>Documentation</h1>
<p>These pages require the relay token, which a browser does not send.</p>
<p>Read them in a terminal on the machine that runs the relay:</p>
<pre><code>{escape(docs)}
{escape(docs)} TOPIC</code></pre>
<p>Or open the page of the relay, which has them too:</p>
<pre><code>{escape(opener)}</code></pre>
<p>Or fetch them with the token:</p>
<pre><code>curl -H "Authorization: Bearer $({escape(reveal)})" {escape(origin)}/docs</code></pre>""",
    )


def _page(title: str, body: str) -> bytes:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - AIRelays</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
""".encode()


def render_markdown(text: str) -> str:
    """Return the HTML of one of our pages."""
    return "".join(map(_html_of, blocks(text)))


def _html_of(block: Block) -> str:
    if block.kind == "heading":
        return f"<h{block.level}>{_inline(block.text)}</h{block.level}>\n"
    if block.kind == "code":
        return f"<pre><code>{escape(block.text, quote=False)}</code></pre>\n"
    if block.kind == "table":
        return _table(block)
    if block.kind == "paragraph":
        return f"<p>{_inline(block.text)}</p>\n"
    tag = "ul" if block.kind == "bullets" else "ol"
    items = "".join(f"<li>{_inline(item)}</li>\n" for item in block.items)
    return f"<{tag}>\n{items}</{tag}>\n"


def _table(block: Block) -> str:
    rows = []
    for number, row in enumerate(block.rows):
        tag = "th" if number == 0 else "td"
        rows.append("<tr>" + "".join(f"<{tag}>{_inline(c)}</{tag}>" for c in row) + "</tr>\n")
    return f"<table>\n{''.join(rows)}</table>\n"


def _inline(text: str) -> str:
    parts, at = [], 0
    for match in INLINE.finditer(text):
        parts.append(escape(text[at : match.start()], quote=False))
        code, bold, label, target = match.groups()
        if code is not None:
            parts.append(f"<code>{escape(code, quote=False)}</code>")
        elif bold is not None:
            parts.append(f"<strong>{_inline(bold)}</strong>")
        elif target.startswith(("https://", "/", "#")):
            parts.append(f'<a href="{escape(target)}">{_inline(label)}</a>')
        else:
            parts.append(_inline(label))
        at = match.end()
    return "".join(parts) + escape(text[at:], quote=False)
