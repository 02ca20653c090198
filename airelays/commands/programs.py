"""The commands of the table that are about programs: their keys. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import JSON, Command, Flag

_LIMITS = (
    Flag(
        "--models",
        "Models that the key can use, as patterns separated by commas. An alias is checked by the model it "
        "stands for.",
        "PATTERN",
        repeats=True,
    ),
    Flag(
        "--upstreams", "Upstreams that the key can use, separated by commas.", "NAME", repeats=True
    ),
    Flag(
        "--routes",
        "Routes that the key can use. text (default): chat, responses, completions, embeddings and models. "
        "read: models and its own usage. all: text, plus files, conversations, images, audio and read access "
        "to the operator's routes.",
        "CLASS",
    ),
    Flag("--requests-per-minute", "Maximum number of requests in any 60 s.", "NUMBER"),
    Flag(
        "--concurrent", "Maximum number of requests at the same time; further ones wait.", "NUMBER"
    ),
    Flag(
        "--tokens-per-day",
        "Maximum number of tokens per UTC day, counted when requests end.",
        "NUMBER",
    ),
    Flag("--no-tools", "Refuse requests that offer tools."),
)
PROGRAMS = (
    Command(
        "run",
        "Run a command with a temporary key, and show what it used.",
        "run:run",
        "Sets OPENAI_BASE_URL, ANTHROPIC_BASE_URL, OLLAMA_HOST and their keys in the environment of the command. The "
        "key stops working when the command ends. If no relay is running, or with --demo or --upstream, this process "
        "is the relay until then. The exit code is that of the command.",
        _LIMITS,
        "-- COMMAND [ARGUMENT ...]",
        10_000,
    ),
    Command(
        "key create",
        "Create a named key for a program, with its own limits, and print it once.",
        "key:run_create",
        "Clients send it in place of the relay token. A running relay accepts it from the next request on. "
        "Only its digest is stored. If you lose the key, rotate it.",
        (
            JSON,
            Flag("--expires", "When the key expires: 12h, 30d, 8w, or a date (UTC).", "TIME"),
            *_LIMITS,
        ),
        "NAME",
        1,
    ),
    Command(
        "key list",
        "List the named keys with their state, last use, today's usage and limits.",
        "key:run_list",
        flags=(JSON,),
    ),
    Command(
        "key rotate",
        "Replace the secret of a named key and print the new one once.",
        "key:run_rotate",
        "The key keeps its name, limits and objects. Without --grace, the old secret stops working at once.",
        (JSON, Flag("--grace", "How long to keep accepting the old secret: 90s, 1h, 2d.", "TIME")),
        "NAME",
        1,
    ),
    Command(
        "key revoke",
        "Revoke a named key. Its running requests end with an error.",
        "key:run_revoke",
        flags=(JSON,),
        words="NAME",
        most=1,
    ),
)
