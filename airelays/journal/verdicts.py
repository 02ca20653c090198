"""How a request ended, as a sentence for each word that the log has for it. Layer: I/O."""

from __future__ import annotations

VERDICTS = {
    "ok": "the answer was complete",
    "client_left": "the client closed the connection before its answer was complete",
    "cut_by_upstream": "the upstream broke off in the middle of its answer",
    "failed_upstream": "the upstream did not answer this request",
    "bad_request": "the request could not be served as it is",
    "refused": "the gate did not let it in",
    "key_ended": "the named key of the program was revoked, rotated or expired while it ran",
    "shut_down": "the relay was stopped while it ran",
    "relay_bug": "a defect of the relay",
}
