"""``--serve``: a run opened, and served until it is interrupted."""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable

from segagent.annotation.batch import Run
from segagent.core import InputError, MissingExtraError
from segagent.server.listening import LOOPBACK, listen
from segagent.server.review.session import Plan, ReviewSession

_OWN = (LOOPBACK, "localhost", "::1")
_LEAST_TOKEN = 16
_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{_LEAST_TOKEN},200}}")


def serve_review(
    run: Run,
    plan: Plan,
    *,
    host: str,
    port: int,
    token: str | None,
    public: str | None,
    ready: Callable[[str, str | None], None],
) -> None:
    """Serve ``run``; ``ready`` is told the base URL and the token, if one is needed.

    Args:
        run: whose record nobody else may be writing.
        plan: see :class:`Plan`.
        host: the address to listen at. Any but the loopback interface's needs a token; one is made where none is given.
        port: 0 takes a free one.
        token: the secret that every request must bring.
        public: a name by which people reach the server through another one, which adds TLS; needs a token too.
        ready: see above.

    Raises ``InputError`` and ``MissingExtraError``.
    """
    try:
        from segagent.server.review.app import create_review_app
        from segagent.server.review.guard import Access
    except ImportError as error:
        raise MissingExtraError(
            "a page to work on needs FastAPI and uvicorn: pip install 'segagent[serve]'; without --serve the review "
            "is a page to look at"
        ) from error
    open_to_others = host not in _OWN or public is not None
    if token is not None and not _TOKEN.fullmatch(token):
        raise InputError(f"--token: expected at least {_LEAST_TOKEN} letters, digits, - and _")
    if token is None and open_to_others:
        token = secrets.token_urlsafe(24)
    names = (
        {name for name in (host, public, socket.gethostname(), socket.getfqdn()) if name} if open_to_others else set()
    )
    session = ReviewSession(run, plan)
    try:
        app = create_review_app(session, Access(token, tuple(sorted(name.lower() for name in names))))
        listen(app, host, port, lambda url: ready(url, token))
    finally:
        session.close()
