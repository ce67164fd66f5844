"""A model hub on loopback, as far as its client asks: model information, and files by commit."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quiet_server import QuietServer


class FakeHub:
    """Serves ``models``: a folder for each name. ``commits``: what it says their newest commit is, 40 digits.

    ``fetched``: the files that were sent, as NAME/FILE; ``asked``: every path.
    """

    def __init__(self, models: dict[str, Path], gated: frozenset[str] = frozenset()) -> None:
        self.commits = {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in models}
        self.fetched: list[str] = []
        self.asked: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(body=True)

            def do_HEAD(self) -> None:
                self._answer(body=False)

            def _answer(self, *, body: bool) -> None:
                path = urlsplit(self.path).path
                hub.asked.append(path)
                if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                    self._info(found[1], found[2] or "main")
                elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
                    files = [
                        {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
                        for path in self._files(found[1])
                    ]
                    self._send(200, {"Content-Type": "application/json"}, json.dumps(files).encode())
                elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                    self._file(*found.groups(), body=body)
                else:
                    self._send(404, {}, b"")

            def _info(self, name: str, revision: str) -> None:
                if name not in models:
                    self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
                elif revision != "main" and not re.fullmatch("[0-9a-f]{40}", revision):
                    self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
                else:
                    siblings = [{"rfilename": path.name, "size": path.stat().st_size} for path in self._files(name)]
                    siblings.append({"rfilename": "original.pt", "size": 10**12})
                    told = {
                        "id": name,
                        "sha": hub.commits[name] if revision == "main" else revision,
                        "siblings": siblings,
                        "cardData": {"license": "apache-2.0"},
                    }
                    self._send(200, {"Content-Type": "application/json"}, json.dumps(told).encode())

            def _files(self, name: str) -> list[Path]:
                return [path for path in sorted(models[name].iterdir()) if path.is_file()]

            def _file(self, name: str, revision: str, file: str, *, body: bool) -> None:
                if name in gated:  # Everybody may see what there is.
                    self._send(403, {"X-Error-Code": "GatedRepo"}, b"")
                    return
                path = models.get(name, Path("/nowhere")) / file
                if not path.is_file():
                    self._send(404, {"X-Error-Code": "EntryNotFound"}, b"")
                    return
                content = path.read_bytes()
                if body:
                    hub.fetched.append(f"{name}/{file}")
                headers = {
                    "X-Repo-Commit": hub.commits[name] if revision == "main" else revision,
                    "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                }
                self._send(200, headers, content, body=body)

            def _send(self, status: int, headers: dict[str, str], content: bytes, *, body: bool = True) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if body and self.command != "HEAD":
                    self.wfile.write(content)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = QuietServer(Handler)
        self.url = self._server.url
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeHub:
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
