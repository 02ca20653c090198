"""Files: secrets, locks, the token, documentation pages, the store and the journal. Layer: I/O."""

from __future__ import annotations
