"""The service that the demo's automation asks about licences: real HTTP on loopback, and a key that it insists on.

    echo KEY | python3 server.py        prints one line, `http://127.0.0.1:PORT`, and serves until it is stopped

`GET /v1/licences/NAME` answers with JSON to whoever sends `authorization: Bearer KEY`, and 401 to anybody else.
`GET /echo` sends that header back, as careless services do: the kernel has to take the key out of the answer.
The key comes on standard input, so that it stands in no process list.
"""

from __future__ import annotations

import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LICENCES: dict[str, tuple[str, int]] = {
    "Apache-2.0": ("permissive", 2004),
    "Artistic": ("permissive", 1991),
    "BSD": ("permissive", 1990),
    "CC0-1.0": ("public domain", 2009),
    "GFDL-1.2": ("copyleft, for documents", 2002),
    "GFDL-1.3": ("copyleft, for documents", 2008),
    "GPL-1": ("strong copyleft", 1989),
    "GPL-2": ("strong copyleft", 1991),
    "GPL-3": ("strong copyleft", 2007),
    "LGPL-2": ("weak copyleft", 1991),
    "LGPL-2.1": ("weak copyleft", 1999),
    "LGPL-3": ("weak copyleft", 2007),
    "MPL-1.1": ("weak copyleft", 1999),
    "MPL-2.0": ("weak copyleft", 2012),
}


class Service(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    key = ""

    def do_GET(self) -> None:
        """Answers one request."""
        sent = self.headers.get("authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {self.key}".encode()):
            self._answer(401, {"error": "send authorization: Bearer KEY"})
        elif self.path == "/echo":
            self._answer(200, {"authorization": sent})
        elif self.path.startswith("/v1/licences/"):
            kind, year = LICENCES.get(self.path.rpartition("/")[2], ("not known here", None))
            self._answer(200, {"kind": kind, "year": year})
        else:
            self._answer(404, {"error": "no such thing"})

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing: a log line would be one more place for the key to turn up."""


def main() -> None:
    """Serves on a free port until stopped."""
    Service.key = sys.stdin.readline().strip()
    if not Service.key:
        sys.exit("server.py: no key on standard input; try: echo KEY | python3 server.py")
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
