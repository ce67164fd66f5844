"""The backend's routes, as ``label-studio-ml`` publishes them; beside those of ``/v1``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response

from segagent.server.ascii import Ascii
from segagent.server.label_studio.backend import Backend, EventTold, PredictAsked, SetupAsked
from segagent.server.worker import Patience

Done = Callable[[Request, Callable[[Patience], dict[str, Any]]], Awaitable[dict[str, Any]]]
"""Has a job done for a request, in a thread, as long as its client waits."""


def add_label_studio(app: FastAPI, backend: Backend, done: Done, refused: dict[int | str, dict[str, Any]]) -> None:
    """Have ``app`` answer Label Studio. ``refused``: what refusals look like, for the interface's document."""

    @app.get("/", include_in_schema=False)  # And /health, which is there already: only its status is looked at.
    def get_up() -> Response:
        return Ascii({"status": "UP", "model_class": "segagent"})

    @app.get("/versions", responses=refused)
    def get_versions() -> Response:
        """Label Studio: who answers."""
        return Ascii({"versions": [backend.version]})

    @app.post("/setup", responses=refused)
    async def post_setup(request: Request, asked: SetupAsked) -> Response:
        """Label Studio: a project is connected."""
        return Ascii(await done(request, lambda _: backend.setup(asked)))

    @app.post("/predict", responses=refused)
    async def post_predict(request: Request, asked: PredictAsked) -> Response:
        """Label Studio: predictions for tasks, or the mask after what a person has pointed at."""
        return Ascii(await done(request, lambda patience: backend.predict(asked, patience)))

    @app.post("/webhook", responses=refused, status_code=201)
    async def post_webhook(request: Request, told: EventTold) -> Response:
        """Label Studio: somebody has submitted, changed or deleted an annotation."""
        return Ascii(await done(request, lambda _: backend.event(told)), status_code=201)
