"""The web application: ``/v1/chat/completions``, ``/v1/models`` and ``/health`` around one policy."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from segagent.core import MissingExtraError, Policy, Proposal
from segagent.policies.chat import FORMATS, format_to_dict
from segagent.server.listening import LOOPBACK, listen
from segagent.server.requests import BadRequestError, ChatRequest, ServerLimits, read_request

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response


def create_app(policy: Policy, limits: ServerLimits | None = None) -> FastAPI:
    """The application. The policy is asked by one request at a time; requests are read and checked side by side."""
    try:
        from fastapi import FastAPI
        from fastapi.responses import JSONResponse
        from starlette.concurrency import run_in_threadpool
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise MissingExtraError("serving a policy needs FastAPI and uvicorn: pip install 'segagent[serve]'") from error
    bounds = limits or ServerLimits()
    turn = threading.Lock()
    numbers = itertools.count(1)
    app = FastAPI(title="segagent", docs_url=None, redoc_url=None, openapi_url=None)
    # A web page opened on this machine must not reach the server under another host's name.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost", "testserver"])

    def answer(body: bytes) -> dict[str, Any]:
        request = read_request(body, bounds)
        with turn:
            proposals = _propose(policy, request)
        return _completion(policy, request, proposals, next(numbers))

    async def complete(request: Request) -> Response:
        try:
            body = await _body(request, bounds)
            return JSONResponse(await run_in_threadpool(answer, body))
        except BadRequestError as error:
            return JSONResponse(_error(str(error), error.parameter), status_code=error.status)

    async def models(request: Request) -> Response:
        del request
        # Whatever a client calls the model, this is what it is asked in here.
        spoken = format_to_dict(FORMATS["segagent"])
        model = {"id": policy.name, "object": "model", "owned_by": "segagent", "segagent_format": spoken}
        return JSONResponse({"object": "list", "data": [model]})

    async def health(request: Request) -> Response:
        del request
        return JSONResponse({"status": "ok"})

    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/v1/chat/completions", complete, "POST"),
        ("/v1/models", models, "GET"),
        ("/health", health, "GET"),
    ]
    for path, endpoint, method in routes:
        app.router.add_route(path, endpoint, methods=[method])
    return app


def serve(app: FastAPI, port: int, ready: Callable[[str], None]) -> None:
    """Serve on the loopback interface until interrupted; port 0 takes a free one. ``ready`` is told the base URL.

    Raises ``InputError`` if the port is taken.
    """
    listen(app, LOOPBACK, port, lambda url: ready(f"{url}/v1"))


async def _body(request: Request, limits: ServerLimits) -> bytes:
    """The request's body, refused as soon as it is known to be too large."""
    too_large = BadRequestError(f"the request is larger than {limits.max_body} bytes", status=413)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_body:
        raise too_large
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limits.max_body:
            raise too_large
    return bytes(received)


def _propose(policy: Policy, request: ChatRequest) -> list[Proposal]:
    """The replies asked for; sampled ones leave out the greedy reply that a policy puts first."""
    if request.temperature == 0:
        return policy.propose([request.observation])[0] * request.num_replies
    seeds = None if request.seed is None else [request.seed]
    return policy.propose([request.observation], request.num_replies + 1, temperature=request.temperature, seeds=seeds)[
        0
    ][1:]


def _completion(policy: Policy, request: ChatRequest, proposals: list[Proposal], number: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": policy.name,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": _text(request, proposal)},
                "finish_reason": "stop",
                "logprobs": None
                if proposal.log_prob is None
                else {"content": [{"token": "", "logprob": proposal.log_prob, "bytes": None, "top_logprobs": []}]},
            }
            for index, proposal in enumerate(proposals)
        ],
    }


def _text(request: ChatRequest, proposal: Proposal) -> str:
    """The policy's own words where the format ``segagent`` reads its action in them, else that action in its words."""
    fmt = FORMATS["segagent"]
    height, width = request.observation.mask.shape
    if fmt.parse(proposal.text, height, width) == (proposal.action, proposal.predicted_iou):
        return proposal.text
    return fmt.render(proposal.action, height, width, proposal.predicted_iou)


def _error(message: str, parameter: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": parameter or None, "code": None}}
