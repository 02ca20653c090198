"""How a command reaches the running relay: the file that it wrote, the proof that it is that relay, then requests.

No request is sent to a process that has not proved that it knows the secret in the file. Layer: app.
"""

from __future__ import annotations

import json
import os
from typing import Any

from airelays.credentials.as_owner import check_readable
from airelays.credentials.lock import is_held
from airelays.errors import ConfigError, FlagError, UpstreamFault
from airelays.host.running import Running, path_of, read_running
from airelays.model import Fields

PROOF_S = 2.0
ANSWER_S = 10.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
NOT_OFFERED = "unsupported_for_upstream"
# The routes for a relay that was given by its URL, with the token of its clients.
_BY_URL = {
    "/status": "/relay/status",
    "/models": "/models",
    "/usage": "/subscription/status",
    "/book": "/relay/usage",
    "/resets": "/relay/accounts/resets",
    "/resets/redeem": "/relay/accounts/resets/redeem",
}


class NotOffered(ConfigError):
    """The relay's upstream does not offer this."""


class Contact:
    """A running relay. `base_url` is for clients; `running` is its file, None if it was given by its URL."""

    def __init__(self, base_url: str, fields: Fields, asked: str, running: Running | None) -> None:
        self.base_url = base_url
        self.running = running
        self._fields = fields
        self._asked = asked

    def ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        within_s: float = ANSWER_S,
    ) -> dict[str, Any]:
        """Return the relay's answer. Raises ConfigError with the relay's error, or the reason why there is no
        answer."""
        plain, _, query = path.partition("?")
        if self.running is None:
            if plain not in _BY_URL:
                raise ConfigError(
                    "this works only without --url, as the relay's user on the relay's machine, because it needs "
                    "the relay's data folder"
                )
            plain = _BY_URL[plain]
        url = self._asked + plain + ("?" + query if query else "")
        try:
            status, raw = _exchange(method, url, self._fields, body, within_s)
        except UpstreamFault as fault:
            raise ConfigError(f"the relay did not answer: {fault.local}") from fault
        return _answer(status, raw)

    def lease_at(self) -> tuple[str, Fields]:
        """Return where a key is leased at the relay that left the file, and what proves that we may."""
        return self._asked + "/lease", self._fields


def _answer(status: int, raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(
            f"this is not an AIRelays relay: it answered with status {status} and without JSON"
        )
    if status == 200:
        return found
    error = found.get("error")
    said = error.get("message") if isinstance(error, dict) else None
    kind = (
        NotOffered if isinstance(error, dict) and error.get("code") == NOT_OFFERED else ConfigError
    )
    raise kind(str(said or f"the relay answered with status {status}")[:2000])


def find(data_dir: str) -> Contact | None:
    """Return the relay that runs on `data_dir`, None when none does.

    Takes 2 s at most. Raises ConfigError if this cannot be determined, or if the file is not that relay's.
    """
    check_readable(data_dir)
    lock = os.path.join(data_dir, "relay.lock")
    held = is_held(lock)
    if held is False:
        return None  # its file, if there is one, is of a relay that was killed
    running = read_running(data_dir)
    if running is None:
        if held is None:
            return None
        raise ConfigError(
            f"a relay uses {data_dir}, but there is no {os.path.basename(path_of(data_dir))}: the relay is "
            "starting or stopping, is an earlier version, or could not write the file; try again, or add --url "
            "http://127.0.0.1:PORT/v1"
        )
    problem = _disproved(running)
    if not problem:
        from airelays.guard.control import SECRET_FIELD

        fields = ((SECRET_FIELD, running.secret.encode()),)
        asked = f"http://127.0.0.1:{running.control_port}"
        return Contact(running.base_urls[0], fields, asked, running)
    if held is None:
        return None
    raise ConfigError(
        f"{path_of(data_dir)} contains port {running.control_port} of 127.0.0.1, but {problem}; restart the "
        "relay, or run this command where the relay runs, for example in its container"
    )


def at_url(url: str, token: bytes | None) -> Contact:
    """Return the relay at the base URL `url`, asked with the relay token."""
    from airelays.net.address import split_url

    try:
        split_url(url)
    except ConfigError as error:
        raise FlagError(
            "the value of --url is not a URL that can be used; give the relay's base URL, for "
            "example http://127.0.0.1:8080/v1"
        ) from error
    base = url.strip().rstrip("/")
    base = base if base.endswith("/v1") else base + "/v1"
    fields: Fields = ((b"authorization", b"Bearer " + token),) if token else ()
    return Contact(base, fields, base, None)


def _disproved(running: Running) -> str:
    """Return what is wrong with the process at the port of the file; "" when it has proved to be that relay."""
    from airelays.guard.control import is_proof

    nonce = os.urandom(32).hex()
    url = f"http://127.0.0.1:{running.control_port}/prove?{nonce}"
    try:
        status, raw = _exchange("GET", url, (), None, PROOF_S)
    except UpstreamFault:
        return "nothing answers there"
    try:
        proof = json.loads(raw).get("proof")
    except (ValueError, AttributeError):
        proof = None
    good = status == 200 and isinstance(proof, str)
    if good and is_proof(proof, running.secret, nonce, running.started):
        return ""
    return "another program answers there"


def _exchange(
    method: str, url: str, fields: Fields, body: dict[str, Any] | None, within_s: float
) -> tuple[int, bytes]:
    """Send one request. The network is loaded only here: most commands find that no relay runs."""
    import asyncio

    return asyncio.run(_send(method, url, fields, body, within_s))


async def _send(
    method: str, url: str, fields: Fields, body: dict[str, Any] | None, within_s: float
) -> tuple[int, bytes]:
    """Send one request. Raises UpstreamFault, also when the whole takes longer than `within_s`."""
    import asyncio

    from airelays.net.client import Client

    client = Client([url], connect_s=within_s, head_s=within_s)
    raw = b"" if body is None else json.dumps(body).encode()
    kind: Fields = ((b"content-type", b"application/json"),) if raw else ()
    try:
        async with asyncio.timeout(within_s):
            response = await client.request(
                method=method, url=url, fields=(*fields, *kind), body=raw
            )
            return response.status, await response.read(MAX_ANSWER_BYTES)
    except TimeoutError:
        raise UpstreamFault(f"no answer within {within_s:g} s", hop="tcp") from None
    finally:
        await client.close()
