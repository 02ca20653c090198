"""AIRelays: a local OpenAI-compatible relay for one person's own upstream login.

Public as Python: `__version__` and `airelays.cli.main`. Everything else is internal.
"""

from __future__ import annotations

__version__ = "1.0.0"
