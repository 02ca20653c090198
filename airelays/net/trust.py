"""Whom the relay believes on TLS: one certificate store and one context, built once and off the start path.

Order, never a union: the file of the settings; SSL_CERT_FILE; the system's store at its well-known
places (a frozen program's OpenSSL carries the paths of the machine that built it); certifi.
Owns: the TLS policy. Refuses to know: hosts, sockets. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from airelays.disk.regular import NotRegular, check_regular, read_regular
from airelays.errors import UpstreamFault
from airelays.settings.record import Record

# Debian and Arch; Fedora and RHEL (two layouts); openSUSE; Alpine, macOS and the BSDs; FreeBSD's port;
# Homebrew; Termux. The first that exists and holds a certificate is taken.
SYSTEM_STORES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/opt/homebrew/etc/openssl@3/cert.pem",
    "/usr/local/etc/openssl@3/cert.pem",
    "/data/data/com.termux/files/usr/etc/tls/cert.pem",
)
_PEM_MARK = b"-----BEGIN"


class Store(Record):
    """Where the trusted certificates come from. `kind`: settings, environment, system or certifi."""

    kind: str
    path: str


class Trust:
    """The certificate store of this process and the client context made from it."""

    def __init__(
        self,
        ca_file: str = "",
        *,
        env: Mapping[str, str] | None = None,
        system_stores: Sequence[str] = SYSTEM_STORES,
    ) -> None:
        self._ca_file = ca_file
        self._env_file = (os.environ if env is None else env).get("SSL_CERT_FILE", "")
        self._system_stores = system_stores
        self._context: ssl.SSLContext | None = None
        self._building: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        """Return the context; the first call builds it in a thread (some 20 ms), later ones are free.

        Raises UpstreamFault (hop "tls") when the chosen file cannot be used.
        """
        if self._context is not None:
            return self._context
        if self._building is None or self._building.done():
            loop = asyncio.get_running_loop()
            self._building = loop.run_in_executor(None, self.context_now)
        return await asyncio.shield(self._building)

    def context_now(self) -> ssl.SSLContext:
        """Return the context, building it in the calling thread when there is none yet."""
        if self._context is None:
            self._context = self._build()
        return self._context

    def store(self) -> Store:
        """Return the store that is or would be used, without reading certificates."""
        if self._ca_file:
            return Store("settings", self._ca_file)
        if self._env_file:
            return Store("environment", self._env_file)
        for path in self._system_stores:
            if _holds_certificates(path):
                return Store("system", path)
        if sys.platform == "win32":
            return Store("system", "Windows certificate store")
        return Store("certifi", "certifi")

    def describe(self) -> dict[str, Any]:
        """Return source, path, date of the store and its age in days; for `doctor` and `version --digests`."""
        store = self.store()
        changed_s: float | None = None
        if store.kind == "certifi":
            changed_s = _certifi_date_s()
        else:
            try:
                changed_s = os.stat(store.path).st_mtime
            except OSError:
                changed_s = None
        facts: dict[str, Any] = {
            "source": store.kind,
            "path": store.path,
            "date": None,
            "age_days": None,
        }
        if changed_s is not None:
            facts["date"] = time.strftime("%Y-%m-%d", time.gmtime(changed_s))
            facts["age_days"] = max(0, int((time.time() - changed_s) // 86400))
        return facts

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # RFC 9525 section 6.3: a name in the subject's CN is not an identity.
        context.hostname_checks_common_name = False
        context.set_alpn_protocols(["http/1.1"])
        store = self.store()
        try:
            if store.kind == "certifi":
                context.load_verify_locations(cadata=bundled_certificates()[1])
            elif store.path == "Windows certificate store":
                context.load_default_certs()
            else:
                check_regular(store.path)
                context.load_verify_locations(cafile=store.path)
        except (OSError, ValueError) as error:
            raise _unusable(store, error) from error
        return context


def _unusable(store: Store, error: Exception) -> UpstreamFault:
    if isinstance(error, FileNotFoundError):
        found = "does not exist"
    elif isinstance(error, PermissionError):
        found = "cannot be read by this user"
    elif isinstance(error, NotRegular):
        found = "is not a regular file"
    else:
        found = "contains no usable PEM certificate"
    place = {"settings": "upstream.ca_file", "environment": "SSL_CERT_FILE"}.get(
        store.kind, "the system's store"
    )
    advice = (
        "set it to a PEM file with the trusted certificates, or unset it to use the system's store"
    )
    return UpstreamFault(
        f"the certificate file of the relay ({place}) {found}; {advice}",
        local=f"the certificate file {store.path} ({place}) {found}; {advice}",
        hop="tls",
        sent=False,
        code="ca_file_unusable",
        type="upstream_error",
        should_retry=False,
    )


def _holds_certificates(path: str) -> bool:
    try:
        return _PEM_MARK in read_regular(path, 65536)
    except OSError:
        return False


def bundled_certificates() -> tuple[str, str]:
    """Return certifi's release and its certificates as PEM, read through its loader: the same in every form.

    Its own `contents()` brings in importlib.resources, and wants a file where the one-file form has none.
    """
    import certifi

    spec = certifi.__spec__
    path = os.path.join(os.path.dirname(certifi.__file__), "cacert.pem")
    data = spec.loader.get_data(path)  # type: ignore[union-attr]  # loaders of files have it
    return str(certifi.__version__), bytes(data).decode("ascii")


def _certifi_date_s() -> float | None:
    import calendar

    import certifi

    parts = getattr(certifi, "__version__", "").split(".")
    try:
        return float(calendar.timegm((int(parts[0]), int(parts[1]), int(parts[2]), 0, 0, 0)))
    except (ValueError, IndexError):
        return None
