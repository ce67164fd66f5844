"""What stands before everything else: no more requests than there is room for, each counted, timed and logged."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Collection

from segagent.server.api.metrics import Metrics
from segagent.server.app import error_object
from segagent.server.guard import App, Message, Receive, Send

LOG = logging.getLogger("segagent.server.requests")
"""One JSON object for each request: method, endpoint, status, seconds, bytes. No pictures, texts, keys or addresses."""
GONE = 499
"""The status that is counted where a client did not wait for the answer."""
RETRY_AFTER = 1


class Desk:
    """ASGI. ``most``: requests with a body that are worked on or wait at one time; above it they are refused.

    ``busy`` says how many there are: those of clients that are gone are counted until their work has ended. ``paths``:
    those that requests are counted under by themselves.
    """

    def __init__(self, app: App, metrics: Metrics, most: int, busy: Callable[[], int], paths: Collection[str]) -> None:
        self._app, self._metrics, self._most, self._busy, self._paths = app, metrics, most, busy, paths
        self._inside = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        began, status, received = time.perf_counter(), GONE, 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        brings = scope["method"] not in ("GET", "HEAD")
        self._inside += brings
        try:
            if brings and max(self._inside - 1, self._busy()) >= self._most:
                await _refuse(watched)
            else:
                await self._app(scope, counted, watched)
        except Exception:
            status = 500
            raise
        finally:
            self._inside -= brings
            seconds = time.perf_counter() - began
            # The pattern, where the path is none of ours by itself: there are few of them, and no picture is named.
            path = scope["path"]
            endpoint = path if path in self._paths else str(getattr(scope.get("route"), "path", "other"))
            self._metrics.took(endpoint, status, seconds)
            told = {"method": scope["method"] if scope["method"].isalpha() else "?", "endpoint": endpoint,
                    "status": status, "seconds": round(seconds, 4), "bytes": received}  # fmt: skip
            LOG.info(json.dumps(told))


async def _refuse(send: Send) -> None:
    body = json.dumps(error_object("too many requests at once; try again", code="busy", ours=True)).encode()
    headers = {
        "content-type": "application/json", "content-length": str(len(body)), "retry-after": str(RETRY_AFTER),
        "cache-control": "no-store", "connection": "close",
    }  # fmt: skip
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 503, "headers": listed})
    await send({"type": "http.response.body", "body": body})
