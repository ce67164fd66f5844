"""The web application: ``/v1`` and ``/metrics`` around the models of one room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from segagent.annotation.batch import Models
from segagent.annotation.batch.models import MakeModels
from segagent.core import InputError, Policy, SegAgentError
from segagent.core.versions import __version__
from segagent.server.api import wire
from segagent.server.api.desk import GONE, Desk
from segagent.server.api.files import Files
from segagent.server.api.limits import Limits
from segagent.server.api.metrics import KIND, Metrics
from segagent.server.api.pictures import KINDS, PictureGoneError, Pictures, UnknownKindError
from segagent.server.api.room import Room
from segagent.server.api.work import Work
from segagent.server.app import add_chat, error_object
from segagent.server.ascii import Ascii
from segagent.server.guard import Access, Door, Guard
from segagent.server.label_studio.backend import Backend
from segagent.server.label_studio.corrections import Corrections
from segagent.server.label_studio.pictures import Allowed, FetchError, Source
from segagent.server.label_studio.routes import add_label_studio
from segagent.server.mcp.inputs import Inputs
from segagent.server.requests import ServerLimits
from segagent.server.runs.keeping import NoRunError, RunBusyError, Runs
from segagent.server.runs.routes import add_runs
from segagent.server.worker import OverdueError, Patience
from segagent.server.xanylabeling import Remote, add_xanylabeling

_T = TypeVar("_T")

_THREADS = 16
"""Requests that are worked on at one time; each may hold a decoded picture of its own."""
_CODES = {400: "bad_request", 401: "no_token", 403: "forbidden", 404: "not_found", 405: "wrong_method",
          408: "too_slow", 413: "too_large", 415: "wrong_type"}  # fmt: skip
_FILES = (*KINDS, "application/octet-stream")
_SEND = {"requestBody": {"required": True, "content": {
    kind: {"schema": {"type": "string", "format": "binary"}} for kind in _FILES
}}}  # fmt: skip


class ClientGoneError(Exception):
    """Nobody waits for the answer."""


def create_api(
    models: Models,
    access: Access = Access(),  # noqa: B008 - frozen
    limits: Limits = Limits(),  # noqa: B008 - frozen
    files: Files = Files(),  # noqa: B008 - frozen
    make: MakeModels | None = None,
) -> FastAPI:
    """The application around ``models``. Its interface is told at ``/v1/openapi.json``.

    ``make`` makes the models anew, for the processes of runs. ``app.state.kept`` is to be closed one by one when it has
    ended, ``app.state.ending`` to be called when it is to. Raises ``InputError`` for a policy and a tool that do not go
    together, and for folders that cannot be used.
    """
    work = Work(Room(models), Pictures(limits.pictures, limits.max_pixels))
    jobs, metrics = Jobs(limits), Metrics()
    app = FastAPI(
        title="segagent", version=__version__, docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json",
        default_response_class=Ascii,
    )  # fmt: skip
    refused: dict[int | str, dict[str, Any]] = {
        code: {"model": wire.Refused} for code in (400, 401, 403, 404, 408, 409, 413, 415, 422, 424, 503, 504)
    }

    @app.post("/v1/pictures", responses={200: {"model": wire.PictureTold}, **refused}, openapi_extra=_SEND)
    async def post_picture(request: Request) -> Response:
        """Send a picture, PNG, JPEG or WebP as it is on the disk, and use its name from then on."""
        content = await request.body()
        return Ascii(await jobs.done(request, lambda _: work.picture(content)))

    @app.get("/v1/pictures/{picture}", responses={200: {"model": wire.PictureTold}, **refused})
    def get_picture(picture: wire.PicturePath) -> Response:
        """Whether a picture is kept. 404 with the code ``picture_gone``: send it again."""
        return Ascii(work.known(picture))

    @app.post("/v1/segment", responses={200: {"model": wire.SegmentTold}, **refused})
    async def post_segment(request: Request, asked: wire.SegmentAsked) -> Response:
        """The tool's mask after clicks, a box, or both."""
        return Ascii(await jobs.done(request, lambda patience: work.segment(asked, patience)))

    @app.post("/v1/annotate", responses={200: {"model": wire.AnnotateTold}, **refused})
    async def post_annotate(request: Request, asked: wire.AnnotateAsked) -> Response:
        """From words to a mask."""
        return Ascii(await jobs.done(request, lambda patience: work.annotate(asked, patience)))

    @app.post("/v1/refine", responses={200: {"model": wire.AnnotateTold}, **refused})
    async def post_refine(request: Request, asked: wire.RefineAsked) -> Response:
        """A mask made better, never worse by the policy's own score."""
        return Ascii(await jobs.done(request, lambda patience: work.refine(asked, patience)))

    @app.post("/v1/score", responses={200: {"model": wire.ScoreTold}, **refused})
    async def post_score(request: Request, asked: wire.ScoreAsked) -> Response:
        """How good a mask is, and what is likely to be wrong with it."""
        return Ascii(await jobs.done(request, lambda patience: work.score(asked, patience)))

    @app.get("/metrics", include_in_schema=False)
    def get_metrics() -> Response:
        return Response(metrics.text(_now(work, jobs)), media_type=KIND)

    inputs = None if files.root is None else Inputs.below(files.root, ServerLimits(limits.max_body, limits.max_pixels))
    source = Source(Allowed(files.studio, files.key, files.hosts, inputs, limits.max_body))
    kept = None if files.corrections is None else Corrections(files.corrections, source.read, limits.max_pixels)
    runs = None if files.runs is None else Runs(files.runs, inputs, partial(_for_run, work.room), make)
    app.state.kept = [one for one in (kept, runs) if one is not None]
    app.state.ending = [] if runs is None else [runs.ending]
    add_runs(app, runs, jobs.done, refused)
    add_label_studio(app, Backend(work, source, kept), jobs.done, refused)
    add_xanylabeling(app, Remote(work), jobs.done, refused)

    async def ask(request: Request, job: Callable[[Policy], dict[str, Any]]) -> dict[str, Any]:
        return await jobs.done(request, lambda patience: job(work.room.models(patience).policy))

    add_chat(app, models.policy.name, ask, ServerLimits(limits.max_body, limits.max_pixels))
    _answer_errors(app)
    door = Door(limits.max_body, ("application/json", *_FILES), "/v1/", refusal=_refusal)
    app.add_middleware(Guard, access=access, door=door)
    paths = {path for route in app.routes if "{" not in (path := getattr(route, "path", "{"))}
    app.add_middleware(Desk, metrics=metrics, most=limits.waiting, busy=lambda: jobs.busy, paths=paths)
    return app


def _for_run(room: Room, patience: Patience, started: bool) -> Models:
    return room.models(patience, started=started)


class Jobs:
    """Has requests worked on in threads, as long as somebody waits for the answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._threads = ThreadPoolExecutor(min(_THREADS, limits.waiting), "request")
        self.busy = 0
        """Jobs that are worked on or wait, those included that nobody waits for any more."""

    async def done(self, request: Request, job: Callable[[Patience], _T]) -> _T:
        """What ``job`` gives; it is told how long it has. The request's body must have been read.

        Raises ``OverdueError``, ``ClientGoneError``, and what ``job`` raises.
        """
        patience = Patience(self._limits.seconds)

        def begun() -> _T:
            patience.check()
            return job(patience)

        self.busy += 1
        doing = asyncio.get_running_loop().run_in_executor(self._threads, begun)
        doing.add_done_callback(self._ended)
        leaving = asyncio.create_task(_left(request))
        try:
            either: set[asyncio.Future[Any]] = {doing, leaving}
            await asyncio.wait(either, timeout=patience.left, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            if leaving.done():
                raise ClientGoneError
            raise OverdueError(f"there was no answer within {patience.seconds:g} seconds")
        finally:
            patience.gone = True  # Also where the server itself breaks this off.
            leaving.cancel()

    def _ended(self, doing: asyncio.Future[Any]) -> None:
        self.busy -= 1
        if not doing.cancelled():
            doing.exception()  # Looked at: nobody may be left who would.


async def _left(request: Request) -> None:
    """Wait until the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _now(work: Work, jobs: Jobs) -> dict[str, tuple[str, str, float]]:
    """Figures for :meth:`Metrics.text`."""
    workers = work.room.workers
    told: dict[str, tuple[str, str, float]] = {
        "segagent_requests_in_flight": ("gauge", "Requests that are worked on or wait.", jobs.busy),
        "segagent_pictures": ("gauge", "Pictures that are kept.", len(work.pictures)),
        "segagent_pictures_bytes": ("gauge", "What they take, decoded.", work.pictures.num_bytes),
    }
    for model, worker in workers.items():
        told[f'segagent_queue{{model="{model}"}}'] = "gauge", "Questions that wait for a model.", worker.waiting
    for model, worker in workers.items():
        told[f'segagent_model_calls_total{{model="{model}"}}'] = "counter", "Calls of a model.", worker.calls
    for model, worker in workers.items():
        name = f'segagent_model_questions_total{{model="{model}"}}'
        told[name] = "counter", "Questions in these calls.", worker.questions
    return told


def _refusal(status: int, words: str) -> dict[str, Any]:
    return error_object(words, code=_CODES.get(status, "refused"))


def _answer_errors(app: FastAPI) -> None:
    """Every refusal is an error object with a code."""

    def refuse(status: int, words: str, code: str, parameter: str = "") -> Response:
        told = error_object(words, parameter, code=code, ours=status in (424, 500, 504))
        return Ascii(told, status_code=status, headers={"cache-control": "no-store"})

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("body", "path"))
        message = str(first["msg"]).removeprefix("Value error, ")
        return refuse(422, f"{where}: {message}" if where else message, "bad_request", where)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        del request
        return refuse(error.status_code, str(error.detail), _CODES.get(error.status_code, "refused"))

    known: list[tuple[type[Exception], int, str]] = [
        (PictureGoneError, 404, "picture_gone"),
        (UnknownKindError, 415, "wrong_type"),
        (InputError, 422, "bad_input"),
        (OverdueError, 504, "timeout"),
        (FetchError, 424, "picture_failed"),
        (NoRunError, 404, "no_run"),
        (RunBusyError, 409, "conflict"),
        # A model that has no answer: the server is as it should be.
        (SegAgentError, 424, "model_failed"),
    ]
    for kind, status, code in known:

        def told(request: Request, error: Exception, status: int = status, code: str = code) -> Response:
            del request
            return refuse(status, str(error), code)

        app.add_exception_handler(kind, told)

    @app.exception_handler(ClientGoneError)
    def gone(request: Request, error: ClientGoneError) -> Response:
        del request, error
        return Response(status_code=GONE)
