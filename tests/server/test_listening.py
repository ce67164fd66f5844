"""What a server listens with."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from segagent.server.listening import IDLE, listen


def test_no_part_of_an_answer_waits_for_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio switches Nagle's algorithm off for connections that say that they are TCP, and for those alone."""
    uvicorn = pytest.importorskip("uvicorn")
    found: list[tuple[int, int, int]] = []

    def run(self: Any, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            found.append((accepted.proto, self.config.timeout_graceful_shutdown, self.config.timeout_keep_alive))

    monkeypatch.setattr(uvicorn.Server, "run", run)
    told: list[str] = []
    listen(lambda: None, "127.0.0.1", 0, told.append, grace=9)
    assert found == [(socket.IPPROTO_TCP, 9, IDLE)]  # uvicorn's own 5 s close under programs that ask now and then
    assert told[0].startswith("http://127.0.0.1:")
