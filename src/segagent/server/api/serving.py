"""``segagent serve``: the application, at an address, until it is interrupted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from segagent.annotation.batch import Models
from segagent.annotation.batch.models import MakeModels
from segagent.core import MissingExtraError
from segagent.server.api.files import Files
from segagent.server.api.limits import Limits
from segagent.server.listening import listen


def serve_api(
    models: Models,
    *,
    host: str,
    port: int,
    token: str | None,
    public: str | None,
    limits: Limits,
    files: Files,
    make: MakeModels,
    log: bool,
    ready: Callable[[str, str | None], None],
) -> None:
    """Serve ``models``; ``ready`` is told the base URL and the token, if one is needed.

    Args:
        models: they are used in threads of the server's.
        host: the address to listen at. Any but the loopback interface's needs a token; one is made where none is given.
        port: 0 takes a free one.
        token: the secret that every request must bring.
        public: a name by which people reach the server through another one, which adds TLS; needs a token too.
        limits: see :class:`Limits`.
        files: see :class:`Files`.
        make: makes the models anew, for the processes of runs.
        log: whether each request is told on stderr.
        ready: see above.

    Raises ``InputError`` and ``MissingExtraError``.
    """
    try:
        from segagent.server.api.app import create_api
        from segagent.server.api.desk import LOG
        from segagent.server.guard import access_for
    except ImportError as error:
        raise MissingExtraError("serving needs FastAPI and uvicorn: pip install 'segagent[serve]'") from error
    access = access_for(host, token, public)
    if log:
        LOG.setLevel(logging.INFO)
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter('{"time": "%(asctime)s", "request": %(message)s}'))
        LOG.addHandler(handler)
        LOG.propagate = False
    app = create_api(models, access, limits, files, make)
    try:
        listen(
            app, host, port, lambda url: ready(url, access.token), grace=max(1, round(limits.seconds)),
            ending=app.state.ending,
        )  # fmt: skip
    finally:
        for one in app.state.kept:
            one.close()
