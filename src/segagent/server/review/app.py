"""The web application: the page, and ``/api/v1`` beneath it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from segagent.core import InputError, SegAgentError
from segagent.server.ascii import Ascii
from segagent.server.guard import Access, Door, Guard
from segagent.server.review import wire
from segagent.server.review.deeds import ConflictError, add, do, suggest
from segagent.server.review.session import NotHereError, ReviewSession
from segagent.server.review.views import done_view, image_view, object_view, objects_view, session_view

STATIC = Path(__file__).with_name("static")
API = "/api/v1"
DOOR = Door(max_body=1 << 20, private="/api/", cookie="segagent-review")
_MAX_WAITING = 64
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
"""Of the page's files. What a machine's own tables say of .js is not always what a browser takes for a module."""
_MONTH = 30 * 24 * 3600


def create_review_app(session: ReviewSession, access: Access = Access()) -> FastAPI:  # noqa: B008 - frozen
    """The application around ``session``. Its interface is told at ``/api/v1/openapi.json``."""
    app = FastAPI(
        title="segagent review", version="1", docs_url=None, redoc_url=None, openapi_url=f"{API}/openapi.json",
        default_response_class=Ascii,
    )  # fmt: skip
    app.add_middleware(Guard, access=access, door=DOOR)
    # Threads of their own for what waits for the models or the disk, so that reading never waits for them.
    waiting = partial(to_thread.run_sync, limiter=CapacityLimiter(_MAX_WAITING))
    refused: dict[int | str, dict[str, Any]] = {code: {"model": wire.Refused} for code in (400, 404, 409, 422, 424)}

    @app.get(f"{API}/session", responses={200: {"model": wire.SessionTold}})
    def get_session() -> Response:
        """What is served."""
        return Ascii(session_view(session))

    @app.get(f"{API}/objects", responses={200: {"model": wire.ObjectsTold}})
    def get_objects() -> Response:
        """The work list, worst first."""
        return Ascii(objects_view(session))

    @app.get(f"{API}/objects/{{index}}", responses={200: {"model": wire.ObjectTold}, **refused})
    def get_object(index: wire.Index) -> Response:
        """One object. Its picture is made ready for clicks, so asking for the next ones beforehand makes them quick."""
        served = session.object(index)
        session.hands.prefetch(served.image)
        return Ascii(object_view(session, served))

    @app.post(f"{API}/objects/{{index}}/events", responses={200: {"model": wire.DoneTold}, **refused})
    async def post_event(index: wire.Index, asked: Annotated[wire.EventAsked, Body()]) -> Response:
        """Something is done to an object; the answer comes when it is on the disk."""
        return Ascii(done_view(await waiting(do, session, index, asked)))

    @app.post(f"{API}/objects/{{index}}/suggestion", responses={200: {"model": wire.SuggestionTold}, **refused})
    async def post_suggestion(index: wire.Index) -> Response:
        """What the policy would do next."""
        action, predicted = await waiting(suggest, session, index)
        return Ascii({"action": action, "predicted_iou": predicted})

    @app.get(f"{API}/images/{{key}}", responses={200: {"model": wire.ImageTold}, **refused})
    def get_image(key: str) -> Response:
        """An image with all its objects."""
        return Ascii(image_view(session, key))

    @app.get(
        f"{API}/images/{{key}}/picture",
        response_class=Response,
        responses={200: {"content": {"image/jpeg": {}}}, **refused},
    )
    def get_picture(key: str) -> Response:
        """The picture itself."""
        content = session.pictures.file(session.image(key))
        return Response(
            content, media_type="image/jpeg", headers={"cache-control": f"private, max-age={_MONTH}, immutable"}
        )

    @app.post(f"{API}/images/{{key}}/objects", responses={200: {"model": wire.DoneTold}, **refused})
    async def post_object(key: str, asked: wire.AddedAsked) -> Response:
        """A new object on an image."""
        return Ascii(done_view(await waiting(add, session, session.image(key), asked)))

    @app.get(f"{API}/events", responses={200: {"model": wire.EventsTold}, **refused})
    def get_events(after: Annotated[int, Query(ge=0, le=wire.LARGEST)] = 0) -> Response:
        """What was done since an event."""
        number, events = session.since(after)
        names = ("number", "index", "kind", "by")
        return Ascii({"number": number, "events": [dict(zip(names, one, strict=True)) for one in events]})

    files = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES} if STATIC.is_dir() else {}

    @app.get("/", include_in_schema=False)
    @app.get("/static/{name}", include_in_schema=False)
    def page(name: str = "index.html") -> Response:
        if name not in files:
            raise HTTPException(404, "the page has no such file")
        path = files[name]
        return FileResponse(path, media_type=_TYPES[path.suffix], headers={"cache-control": "no-cache"})

    _answer_errors(app)
    return app


def _answer_errors(app: FastAPI) -> None:
    """Every refusal is ``{"error": words}``."""

    def refuse(status: int, words: str) -> Response:
        return Ascii({"error": words}, status_code=status, headers={"cache-control": "no-store"})

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return refuse(422, f"{where}: {first['msg']}" if where else str(first["msg"]))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        del request
        return refuse(error.status_code, str(error.detail))

    @app.exception_handler(NotHereError)
    def not_here(request: Request, error: NotHereError) -> Response:
        del request
        return refuse(404, str(error))

    @app.exception_handler(ConflictError)
    def conflict(request: Request, error: ConflictError) -> Response:
        del request
        return refuse(409, str(error))

    @app.exception_handler(InputError)
    def bad_input(request: Request, error: InputError) -> Response:
        del request
        return refuse(400, str(error))

    @app.exception_handler(SegAgentError)
    def other(request: Request, error: SegAgentError) -> Response:
        # A model that is not there, or has no answer: the server is as it should be.
        del request
        return refuse(424, str(error))
