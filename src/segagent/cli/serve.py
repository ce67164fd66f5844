"""``segagent serve`` and ``serve-policy``: annotation, or a policy alone, for other programs."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.console import reporting_errors, say, waiting

STUDIO = "Label Studio"


@reporting_errors
def serve(
    *,
    policy: Annotated[
        str,
        typer.Option("--policy", help="Who clicks and scores: embedded, centre, hf:DIR, vllm:DIR, openai:MODEL@URL."),
    ] = "embedded",
    tool: Annotated[
        str, typer.Option("--tool", help="What turns clicks into masks: embedded, grabcut, sam:DIR, simpleclick:FILE.")
    ] = "embedded",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8321,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="SEGAGENT_TOKEN",
            help="The secret that requests must bring, 16 letters and digits or more; made where one is needed.",
            show_default=False,
        ),
    ] = None,
    public: Annotated[
        str | None,
        typer.Option("--public", metavar="NAME", help="The name of the server that stands before this one, with TLS."),
    ] = None,
    queue: Annotated[
        int, typer.Option("--queue", min=1, max=1024, help="Requests at one time; more are told to try again.")
    ] = 64,
    timeout: Annotated[int, typer.Option("--timeout", min=1, max=86_400, help="Most seconds for one request.")] = 120,
    megabytes: Annotated[
        int,
        typer.Option(
            "--pictures", min=16, max=1_000_000, metavar="MB", help="Memory for pictures that clients have sent."
        ),
    ] = 512,
    log: Annotated[bool, typer.Option("--log", help="Tell each request on stderr, a JSON object a line.")] = False,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="Files that requests name are read below this folder alone."),
    ] = None,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", metavar="DIR", help="Carry out runs over data sets for clients, into folders here."),
    ] = None,
    label_studio: Annotated[
        str | None,
        typer.Option(
            "--label-studio",
            metavar="URL",
            help="Label Studio's address, to read the pictures of its tasks; its access token in LABEL_STUDIO_API_KEY.",
            rich_help_panel=STUDIO,
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="NAME",
            help="Another server that pictures may be fetched from, NAME:PORT where its addresses have a port.",
            show_default=False,
            rich_help_panel=STUDIO,
        ),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="DIR",
            help="Keep what people submit there, as a data set.",
            rich_help_panel=STUDIO,
        ),
    ] = None,
) -> None:
    """Serve clicks, annotation and scores over HTTP; stop with Ctrl-C.

    POST /v1/pictures, /v1/segment, /v1/annotate, /v1/refine, /v1/score and /v1/chat/completions; GET /metrics. Programs
    read the whole interface at /v1/openapi.json. Label Studio takes the address as that of a model:
    docs/integrations/label-studio.md.
    """
    from segagent.annotation.batch import make_models
    from segagent.server.api.files import Files
    from segagent.server.api.limits import Limits
    from segagent.server.api.serving import serve_api

    def ready(url: str, secret: str | None) -> None:
        say(f"serving {policy} with the tool {tool} at {url}/v1")
        say(f"interface: {url}/v1/openapi.json")
        if secret is not None:
            say(f"requests must bring the header 'Authorization: Bearer {secret}'")
            say("what goes over the network is not encrypted: put a server with TLS before this one, and give --public")

    with waiting("loading the models", quiet=False):
        models = make_models(policy, tool)
    key = os.environ.get("LABEL_STUDIO_API_KEY") if label_studio is not None else None
    files = Files(root, label_studio, key, tuple(allow_host or ()), corrections, runs)
    limits = Limits(waiting=queue, seconds=timeout, pictures=megabytes << 20)
    # Ctrl-C is how a server is meant to be stopped.
    with contextlib.suppress(KeyboardInterrupt):
        serve_api(
            models,
            host=host,
            port=port,
            token=token,
            public=public,
            limits=limits,
            files=files,
            make=partial(make_models, policy, tool),
            log=log,
            ready=ready,
        )
    say("stopped")


@reporting_errors
def serve_policy(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Who answers.")] = "embedded",
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = 8321,
) -> None:
    """Serve POLICY to programs on this machine; stop with Ctrl-C. Use it as 'openai:segagent@URL'."""
    from segagent.policies import make_policy, with_known_format
    from segagent.server.app import create_app, serve

    def ready(url: str) -> None:
        say(f"serving {policy} at {url}")
        say(f"use it as --policy 'openai:segagent@{url}'")

    serve(create_app(with_known_format(make_policy(policy))), port, ready)
