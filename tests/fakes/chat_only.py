"""A server that has chat completions and nothing else: in front of one that has more, as a process.

`python -m tests.fakes.chat_only --behind URL --token TOKEN`: prints its base URL as JSON, then serves.
"""

from __future__ import annotations

import argparse
import http.client
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

# Its context. The tools of Claude Code are half of it.
MOST_TOKENS = 60_000
KNOWN = ("/v1/chat/completions", "/v1/models")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind = ""
    token = ""

    def log_message(self, *_: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._pass(b"")

    def do_POST(self) -> None:
        self._pass(self.rfile.read(int(self.headers.get("content-length", 0))))

    def _pass(self, body: bytes) -> None:
        if self.path not in KNOWN:
            self._begin(404, "application/json")
            self._chunk(b'{"detail":"Not Found"}')
            self._chunk(b"")
            return
        size = len(body) // 4
        if size > MOST_TOKENS:
            self._begin(400, "application/json")
            self._chunk(json.dumps({"error": _full(size)}).encode())
            self._chunk(b"")
            return
        place = urlsplit(self.behind)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        fields = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(self.command, self.path, body or None, fields)
            answer = connection.getresponse()
            self._begin(answer.status, answer.getheader("content-type") or "", answer)
            while data := answer.read1(65536):
                self._chunk(data)
            self._chunk(b"")
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            connection.close()

    def _begin(
        self, status: int, kind: str, answer: http.client.HTTPResponse | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Transfer-Encoding", "chunked")
        wait = answer.getheader("retry-after") if answer is not None else None
        if wait:
            self.send_header("Retry-After", wait)
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def _full(size: int) -> dict[str, Any]:
    """Return the error of a context that is full, in OpenAI's words."""
    text = (
        f"This model's maximum context length is {MOST_TOKENS} tokens. "
        f"However, your messages resulted in {size} tokens."
    )
    code = "context_length_exceeded"
    return {"message": text, "type": "invalid_request_error", "param": "messages", "code": code}


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--behind", required=True)
    parser.add_argument("--token", required=True)
    options = parser.parse_args()

    class Handler(_Handler):
        behind, token = options.behind, options.token

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(json.dumps({"base_url": f"http://127.0.0.1:{server.server_address[1]}/v1"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
