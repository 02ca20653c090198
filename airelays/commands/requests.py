"""The commands of the table that are about requests that have ended. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import JSON, Command, Flag

REQUESTS = (
    Command(
        "logs",
        "List the latest requests, or follow them live.",
        "logs:run",
        "Also shows where the traffic log is. Times are local. A retention that you set here is saved "
        "next to the log and overrides the config file, even for a running relay. With --follow --json, "
        "prints the records themselves, one per line.",
        (
            JSON,
            Flag("--follow", "Show requests as they end, until you press Ctrl-C.", short="-f"),
            Flag(
                "--lines",
                "Number of requests to list, or to start with. Default 10.",
                "NUMBER",
                "-n",
            ),
            Flag("--failed", "Show only requests that were refused or failed."),
            Flag(
                "--session",
                "Show only requests of this session, by the hash in the log or by the client's session id.",
                "ID",
            ),
            Flag(
                "--retention-days", "Save: days to keep log files; 0 sets no age limit.", "NUMBER"
            ),
            Flag("--max-total-mb", "Save: maximum size of all log files, in MiB.", "NUMBER"),
            Flag("--max-file-mb", "Save: maximum size of one log file, in MiB.", "NUMBER"),
            Flag("--reset", "Remove the saved retention, so that the config file applies again."),
        ),
    ),
    Command(
        "logs prune",
        "Delete the log files that the retention no longer keeps.",
        "logs:run_prune",
        flags=(JSON, Flag("--dry-run", "Only show what would be deleted.")),
    ),
    Command(
        "explain",
        "Show one request as a timeline, with where and why it ended.",
        "explain:run",
        "Without an id, explains the last request that ended. Every response, including a refusal, has "
        "its id in the x-request-id header. The first six digits are enough.",
        (
            JSON,
            Flag("--failed", "Explain the last request that was refused or failed."),
            Flag(
                "--session",
                "List the requests of a session instead, by the hash in the log or by the client's session id.",
                "ID",
            ),
        ),
        "[REQUEST_ID]",
        1,
    ),
)
