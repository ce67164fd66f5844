"""The routes of ``/v1/runs``, progress as server-sent events among them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from segagent.server.ascii import Ascii
from segagent.server.runs import wire
from segagent.server.runs.keeping import NoRunError, Runs
from segagent.server.worker import Patience

Done = Callable[[Request, Callable[[Patience], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Has a job done for a request, in a thread, as long as its client waits."""

_LOOK_SECONDS = 0.2
_ALIVE_SECONDS = 15.0
"""So often a stream says something although nothing has changed: what is silent is taken for dead."""


def add_runs(app: FastAPI, runs: Runs | None, done: Done, refused: dict[int | str, dict[str, Any]]) -> None:
    """Have ``app`` carry out runs; without any, say how to get them. ``refused``: for the interface's document."""

    def there() -> Runs:
        if runs is None:
            raise NoRunError("this server keeps no runs; start it with --runs DIR")
        return runs

    told = {200: {"model": wire.RunTold}, **refused}

    @app.post("/v1/runs", status_code=201, responses={201: {"model": wire.RunTold}, **refused})
    async def post_run(request: Request, asked: wire.RunAsked) -> Response:
        """Begin a run over a data set; runs are worked on one after the other."""
        return Ascii(await done(request, lambda _: there().start(asked)), status_code=201)

    @app.get("/v1/runs", responses={200: {"model": wire.RunsTold}, **refused})
    def get_runs() -> Response:
        """All runs."""
        return Ascii({"runs": there().all()})

    @app.get("/v1/runs/{run}", responses=told)
    def get_run(run: wire.RunPath) -> Response:
        """How a run stands."""
        return Ascii(there().told(run))

    @app.post("/v1/runs/{run}/stop", responses=told)
    async def post_stop(request: Request, run: wire.RunPath, asked: wire.Nothing) -> Response:
        """Have a run end soon; what is done stays."""
        del asked
        return Ascii(await done(request, lambda _: there().stop(run)))

    @app.post("/v1/runs/{run}/resume", responses=told)
    async def post_resume(request: Request, run: wire.RunPath, asked: wire.ResumeAsked) -> Response:
        """Go on with a run where it stopped, also under a server that was started anew."""
        return Ascii(await done(request, lambda _: there().resume(run, asked)))

    @app.get("/v1/runs/{run}/summary", responses={200: {"model": wire.SummaryTold}, **refused})
    def get_summary(run: wire.RunPath) -> Response:
        """What came of a run that has ended."""
        return Ascii(there().summary(run))

    @app.get("/v1/runs/{run}/results", responses={200: {"model": wire.ResultsTold}, **refused})
    def get_results(
        run: wire.RunPath,
        after: Annotated[int, Query(ge=0, le=2**31)] = 0,
        limit: Annotated[int, Query(ge=1, le=wire.MAX_RESULTS)] = 100,
    ) -> Response:
        """What came of its objects so far."""
        return Ascii(there().results(run, after, limit))

    @app.get("/v1/runs/{run}/events", responses={200: {"content": {"text/event-stream": {}}}, **refused})
    async def get_events(run: wire.RunPath) -> Response:
        """How a run stands whenever that changes, as server-sent events 'run', until it has ended."""
        first = await run_in_threadpool(there().news, run)
        stream = _events(there(), run, first)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _events(runs: Runs, run: str, news: tuple[int, dict[str, Any]]) -> AsyncIterator[bytes]:
    shown, silent = -1, 0.0
    while True:
        number, told = news
        if number != shown:
            shown, silent = number, 0.0
            yield f"event: run\nid: {number}\ndata: {json.dumps(told)}\n\n".encode("ascii")
        if told["state"] not in ("waiting", "running") or runs.closed:
            return
        if silent >= _ALIVE_SECONDS:
            silent = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(_LOOK_SECONDS)
        silent += _LOOK_SECONDS
        news = await run_in_threadpool(runs.news, run)
