"""What `doctor` asks of compatible upstreams: is there a key, does the server answer, what does it list.

Layer: commands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from airelays.commands.doctor.checks import Check
from airelays.errors import ConfigError, UpstreamFault
from airelays.settings.values import Settings, UpstreamSettings
from airelays.upstream.compatible import Compatible

__all__ = ["compatible_checks"]


async def compatible_checks(settings: Settings) -> AsyncIterator[Check]:
    """Check the main upstream if it is a compatible server, and each of `[upstreams]`."""
    main = settings.main_upstream
    for one in (main, *settings.upstreams):
        if one.kind == "compatible":
            yield await _check(one)


async def _check(settings: UpstreamSettings) -> Check:
    name = f"upstream {settings.name}"
    try:
        upstream = Compatible(settings)
    except ConfigError as error:
        return Check(name, "fail", str(error))
    try:
        models = await upstream.models()
    except UpstreamFault as fault:
        where = {"sign_in": "the key", "dns": "the name", "tcp": "the address", "tls": "TLS"}
        hint = where.get(fault.hop, "the server")
        return Check(name, "fail", fault.local, (f"check {hint} of {settings.name}",))
    finally:
        await upstream.close()
    if not models:
        text = f"{settings.base_url} answers, and lists no model; name the model yourself"
        return Check(name, "warn", text)
    text = f"{settings.base_url} lists {len(models)} models, {models[0]['slug']} first"
    return Check(name, "pass", text, data={"model_count": len(models)})
