"""``--serve``: a run opened, and served until it is interrupted."""

from __future__ import annotations

from collections.abc import Callable

from segagent.annotation.batch import Run
from segagent.core import MissingExtraError
from segagent.server.listening import listen
from segagent.server.review.session import Plan, ReviewSession


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
        from segagent.server.guard import access_for
        from segagent.server.review.app import create_review_app
    except ImportError as error:
        raise MissingExtraError(
            "a page to work on needs FastAPI and uvicorn: pip install 'segagent[serve]'; without --serve the review "
            "is a page to look at"
        ) from error
    access = access_for(host, token, public)
    session = ReviewSession(run, plan)
    try:
        listen(create_review_app(session, access), host, port, lambda url: ready(url, access.token))
    finally:
        session.close()
