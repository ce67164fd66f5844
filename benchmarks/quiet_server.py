"""Loopback HTTP servers in a thread: for tests, and for what benchmarks compare with."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections open, tells nothing of requests, and has short ways to read and answer one."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """What the client sent."""
        return self.rfile.read(int(self.headers["content-length"]))

    def answer(
        self, status: int, content: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        """A whole answer, of the length that it has or, to deceive, of another; HEAD is told the length alone."""
        self.send_response(status)
        told = {"content-length": str(len(content) if length is None else length), **(headers or {})}
        for name, value in told.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


class QuietServer(ThreadingHTTPServer):
    """On a free port of 127.0.0.1, as a context manager in a thread of its own. A client that ends in the middle of a
    request is no fault of the server's: nothing of it goes to standard error, where tests read what a command says.
    """

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        """Without a path: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Dropped connections are passed over; everything else is told as the standard library does."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)


@contextmanager
def app_served(app: Any, *, port: int = 0) -> Iterator[str]:
    """An ASGI application in a thread of this process: its base URL, while the block runs."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
