"""The exception tree of the relay, and the one place that makes an OpenAI error body.

    RelayError            anything that becomes an HTTP answer
      ClientFault         the request cannot be served as it is (4xx)
      UpstreamFault       the upstream failed (429, 5xx, or its own 4xx)
      RelayBug            a defect of the relay (500); the text never contains internal details
    ConfigError           the program cannot start, or a command cannot do its work (exit 1)
      ConfigErrors        the same, for a config file with several mistakes
      FlagError           a flag or a word of the command line is not accepted (exit 2)

The class is the kind of fault. `status`, `code` and the public sentence are on the instance; a secret never is.
Owns: error texts' shape. Refuses to know: sockets, files, who logs what. Layer: words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def default_type(status: int) -> str:
    """Return the `type` that OpenAI's API gives an error of this HTTP status."""
    if status == 401:
        return "authentication_error"
    if status == 403:
        return "permission_error"
    if status == 429:
        return "rate_limit_error"
    if status == 501:
        return "unsupported_error"
    return "server_error" if status >= 500 else "invalid_request_error"


class RelayError(Exception):
    """An error that becomes an HTTP answer, or the last event of a stream that has begun.

    `retry_after_s` is the true wait; it is sent as whole seconds, rounded up, at least 1.
    `should_retry=False` tells SDKs that trying again cannot help. `upstream` is an error object of the upstream that
    is passed on with all its keys, except that message, type, param and code are ours.
    `local` is the sentence for the log and the terminal of this machine; only there can it contain paths of files.
    """

    default_status = 500

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        type: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
        upstream: Mapping[str, Any] | None = None,
        local: str = "",
    ) -> None:
        super().__init__(message)
        self._local = local
        self.message = message
        self.status = self.default_status if status is None else status
        self.code = code
        self.param = param
        self.type = default_type(self.status) if type is None else type
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.headers = dict(headers or {})
        self.upstream = dict(upstream) if upstream else None

    @property
    def local(self) -> str:
        """The sentence for this machine, with the paths that clients do not see."""
        return self._local or self.message

    def to_object(self) -> dict[str, Any]:
        """Return the OpenAI error object: message, type, param, code, then the upstream's own keys."""
        own = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {**own, **{k: v for k, v in (self.upstream or {}).items() if k not in own}}


class ClientFault(RelayError):
    """The client must change its request. Default 400."""

    default_status = 400


class UpstreamFault(RelayError):
    """The upstream failed. Default 502.

    `hop` says where: "proxy", "dns", "tcp", "tls", "challenge", "sign_in", "upstream" or "stream".
    `sent` is False when no byte of the request can have reached the upstream, so that another attempt cannot do the
    work twice. `tried_twice` is True when the network client has already made that attempt.
    `again` means that the relay has learned from it: the same request can succeed at the same upstream.
    `step_s` is how long the step in `hop` took until it failed, None if it was not measured.
    """

    default_status = 502
    tried_twice = False
    again = False
    step_s: float | None = None

    def __init__(
        self, message: str, *, hop: str = "upstream", sent: bool = True, **rest: Any
    ) -> None:
        super().__init__(message, **rest)
        self.hop = hop
        self.sent = sent


class RelayBug(RelayError):
    """A defect of the relay. The client gets a sentence and the request id, nothing from inside."""

    default_status = 500


class ConfigError(Exception):
    """A command cannot do its work. The text is one sentence for the user; the program exits 1."""


class ConfigErrors(ConfigError):
    """The settings have several mistakes: `problems` has all of them, the text is about the first one."""

    def __init__(self, problems: Sequence[str], advice: str) -> None:
        self.problems = tuple(problems)
        more = len(problems) - 1
        count = f"{more} more mistake{'s' if more > 1 else ''}"
        super().__init__(problems[0] + (f" ({count}: {advice})" if more else ""))


class FlagError(ConfigError):
    """The command does not accept a flag or a word; the program exits with 2, as for every wrong command line."""


def error_body(error: RelayError) -> bytes:
    """Return the JSON body for `error`, ASCII only, ending in a newline."""
    return json.dumps({"error": error.to_object()}).encode() + b"\n"


def forget_frames(error: BaseException | None) -> None:
    """Drop the frames that `error` and its causes came through: as long as they exist, they keep everything of the
    request."""
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one.__traceback__ is not None:
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]
