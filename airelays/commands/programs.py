"""The commands of the table that are about programs: their keys. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import JSON, Command, Flag

_LIMITS = (
    Flag(
        "--models",
        "Patterns of the models it may use, separated by commas; they count for what an alias stands for.",
        "PATTERN",
        repeats=True,
    ),
    Flag("--upstreams", "Upstreams it may use, separated by commas.", "NAME", repeats=True),
    Flag(
        "--routes",
        "text (default): chat, responses, completions, embeddings, models; read: models and its own use; all: "
        "also files, conversations, images, audio and what the operator can look at.",
        "CLASS",
    ),
    Flag("--requests-per-minute", "Requests in any 60 s.", "NUMBER"),
    Flag("--concurrent", "Requests at a time; further ones wait.", "NUMBER"),
    Flag("--tokens-per-day", "Tokens per UTC day, counted as requests end.", "NUMBER"),
    Flag("--no-tools", "Refuse requests that offer tools."),
)
PROGRAMS = (
    Command(
        "run",
        "Run a command with a key that ends with it, and say what it used.",
        "run:run",
        "The command finds the relay by the environment: OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST and their "
        "keys. Without a running relay, or with --demo or --upstream, one lives inside this process for as long. The "
        "exit code is that of the command.",
        _LIMITS,
        "-- COMMAND [ARGUMENT ...]",
        10_000,
    ),
    Command(
        "key create",
        "Make a named key for a program, with limits of its own, and print it once.",
        "key:run_create",
        "Clients send it where they would send the relay token. A running relay knows it from the next request on. "
        "Only its digest is stored: a key that is lost is rotated.",
        (
            JSON,
            Flag("--expires", "When it ends: 12h, 30d, 8w, or a date (UTC).", "TIME"),
            *_LIMITS,
        ),
        "NAME",
        1,
    ),
    Command(
        "key list",
        "List the named keys: state, last use, today's use, limits.",
        "key:run_list",
        flags=(JSON,),
    ),
    Command(
        "key rotate",
        "Replace the secret of a named key and print the new one once.",
        "key:run_rotate",
        "Name, limits and stored objects stay. Without --grace the old one ends at once.",
        (JSON, Flag("--grace", "How long the old one is still accepted: 90s, 1h, 2d.", "TIME")),
        "NAME",
        1,
    ),
    Command(
        "key revoke",
        "End a named key; its running answers end with an error.",
        "key:run_revoke",
        flags=(JSON,),
        words="NAME",
        most=1,
    ),
)
