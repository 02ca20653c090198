"""The keys that releases are signed with: every copy carries those that sign the next one. Layer: commands.

`ALLOWED_SIGNERS` has the format of ssh-keygen(1), "ALLOWED SIGNERS", one line per key:

    releases@airelays namespaces="airelays-release" ssh-ed25519 AAAA... the name of the key

Public keys only. How a key is made, replaced and withdrawn: `airelays docs releases`.
"""

from __future__ import annotations

SIGNER = "releases@airelays"
NAMESPACE = "airelays-release"
ALLOWED_SIGNERS = ""
