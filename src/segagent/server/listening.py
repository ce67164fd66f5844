"""An application on a port of this machine, until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, Literal

from segagent.core import InputError, MissingExtraError

LOOPBACK = "127.0.0.1"
IDLE = 75
"""Seconds for which a connection is kept that nobody asks over. Who asks at the moment in which it is closed gets no
answer, so that is to happen long after people and programs have ceased to ask."""


def listen(
    app: Any,
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    grace: int = 2,
    lifespan: Literal["on", "off"] = "off",
    ending: Sequence[Callable[[], None]] = (),
) -> None:
    """Serve the ASGI application ``app``; port 0 takes a free one. ``ready`` is told the base URL.

    Once it is to stop, requests that are under way have ``grace`` seconds to be answered; new ones are not taken.
    ``lifespan``: whether ``app`` is told when it starts and stops. ``ending``: called when it is to stop, so that what
    would never end by itself does.

    Raises ``InputError`` if the address cannot be used, ``MissingExtraError`` without uvicorn.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("serving needs FastAPI and uvicorn: pip install 'segagent[serve]'") from error
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"{host!r:.100}: no address of this machine; 127.0.0.1 serves this machine alone") from error
    # Told that it is TCP, asyncio sends each part of an answer at once; else each waits some 40 ms for the one before.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            # Who reads the address may ask at once; uvicorn takes a moment to start.
            listener.listen(128)
        except OSError as error:
            raise InputError(
                f"port {port} of {host} cannot be used ({error.strerror}); choose another, or 0 for any"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        ready(f"http://{shown}:{listener.getsockname()[1]}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan=lifespan,
            ws="none",
            timeout_graceful_shutdown=grace,
            timeout_keep_alive=IDLE,
        )

        class Server(uvicorn.Server):
            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                for one in ending:
                    one()
                await super().shutdown(sockets)

        Server(config).run(sockets=[listener])
