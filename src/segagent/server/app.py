"""The web application: ``/v1/chat/completions``, ``/v1/models`` and ``/health`` around one policy."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from segagent.core import MissingExtraError, Policy, Proposal, concurrency_of, total_usage
from segagent.policies.chat import FORMATS, format_to_dict
from segagent.server.listening import LOOPBACK, listen
from segagent.server.requests import BadRequestError, ChatRequest, ServerLimits, read_request
from segagent.server.shared_policy import MOST_THREADS, shared_policy
from segagent.server.worker import Patience, Worker

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response


Asker: TypeAlias = "Callable[[Request, Callable[[Policy], dict[str, Any]]], Awaitable[dict[str, Any]]]"
"""Has something done with the policy for a request, where it may take its time."""


def create_app(policy: Policy, limits: ServerLimits | None = None) -> FastAPI:
    """The application. What several requests ask of the policy at once goes into one call of it."""
    try:
        from fastapi import FastAPI
        from starlette.concurrency import run_in_threadpool
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise MissingExtraError("serving a policy needs FastAPI and uvicorn: pip install 'segagent[serve]'") from error
    shared = shared_policy(policy, Worker("policy", min(concurrency_of(policy), MOST_THREADS)), Patience())
    app = FastAPI(title="segagent", docs_url=None, redoc_url=None, openapi_url=None)
    # A web page opened on this machine must not reach the server under another host's name.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost", "testserver"])

    async def ask(request: Request, job: Callable[[Policy], dict[str, Any]]) -> dict[str, Any]:
        del request
        return await run_in_threadpool(job, shared)

    add_chat(app, policy.name, ask, limits or ServerLimits())
    return app


def add_chat(app: FastAPI, name: str, ask: Asker, bounds: ServerLimits) -> None:
    """Have ``app`` answer ``/v1/chat/completions``, ``/v1/models`` and ``/health`` for the policy called ``name``."""
    from starlette.responses import JSONResponse

    numbers = itertools.count(1)

    async def complete(request: Request) -> Response:
        try:
            body = await _body(request, bounds)

            def answer(policy: Policy) -> dict[str, Any]:
                asked = read_request(body, bounds)
                return _completion(policy, asked, _propose(policy, asked), next(numbers))

            return JSONResponse(await ask(request, answer))
        except BadRequestError as error:
            return JSONResponse(error_object(str(error), error.parameter), status_code=error.status)

    async def models(request: Request) -> Response:
        del request
        # Whatever a client calls the model, this is what it is asked in here.
        spoken = format_to_dict(FORMATS["segagent"])
        model = {"id": name, "object": "model", "owned_by": "segagent", "segagent_format": spoken}
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
                "logprobs": _log_probs(request, proposal),
            }
            for index, proposal in enumerate(proposals)
        ],
        **_usage(proposals),
    }


def _log_probs(request: ChatRequest, proposal: Proposal) -> dict[str, Any] | None:
    """Of each token where the policy keeps them and its own words are sent, else of the whole; None where unknown."""
    if proposal.log_prob is None:
        return None
    told = proposal.tokens if _text(request, proposal) == proposal.text else None
    if told is None:
        each = [("", proposal.log_prob)]
    else:
        names = [f"token_id:{one}" for one in told.ids] or list(told.texts)
        each = list(zip(names or [""] * len(told.log_probs), told.log_probs, strict=True))
    return {"content": [{"token": name, "logprob": value, "bytes": None, "top_logprobs": []} for name, value in each]}


def _text(request: ChatRequest, proposal: Proposal) -> str:
    """The policy's own words where the format ``segagent`` reads its action in them, else that action in its words."""
    fmt = FORMATS["segagent"]
    height, width = request.observation.mask.shape
    if fmt.parse(proposal.text, height, width) == (proposal.action, proposal.predicted_iou):
        return proposal.text
    return fmt.render(proposal.action, height, width, proposal.predicted_iou)


def _usage(proposals: list[Proposal]) -> dict[str, Any]:
    """What the replies cost, where the policy tells."""
    spent = total_usage(proposal.usage for proposal in proposals)
    if spent is None:
        return {}
    total = spent.prompt_tokens + spent.completion_tokens
    told = {"prompt_tokens": spent.prompt_tokens, "completion_tokens": spent.completion_tokens, "total_tokens": total}
    return {"usage": told}


def error_object(message: str, parameter: str = "", *, code: str | None = None, ours: bool = False) -> dict[str, Any]:
    """The body of a refusal, as OpenAI's interface has it. ``ours``: the fault is the server's."""
    kind = "server_error" if ours else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": parameter or None, "code": code}}
