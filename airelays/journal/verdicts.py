"""How a request ended, as a sentence for each word that the log has for it. Layer: I/O."""

from __future__ import annotations

VERDICTS = {
    "ok": "the answer was complete",
    "client_left": "the client closed the connection before its answer was complete",
    "cut_by_upstream": "the upstream stopped in the middle of its answer",
    "failed_upstream": "the upstream did not answer this request",
    "bad_request": "the request was not valid",
    "refused": "the relay refused it",
    "key_ended": "the program's key was revoked, rotated or expired while the request was running",
    "shut_down": "the relay was stopped while the request was running",
    "relay_bug": "a defect in the relay",
}
