"""``segagent mcp``: the annotator as tools of the Model Context Protocol, on this machine only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import SeedOption
from segagent.cli.console import reporting_errors, say
from segagent.cli.models import ModelOptions
from segagent.cli.options import takes


@reporting_errors
@takes(ModelOptions, "max_money")
def mcp(
    *,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Files are read from below this folder alone.")
    ] = Path("."),
    record: Annotated[
        Path | None,
        typer.Option("--record", metavar="DIR", help="Keep every episode here, in journals.", show_default=False),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Serve on 127.0.0.1 instead of stdin and stdout; stop with Ctrl-C.")
    ] = False,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="With --http; 0 takes a free one. [default: 8322]")
    ] = None,
    models: ModelOptions,
    seed: SeedOption = 0,
) -> None:
    """Serve the tools annotate, click, undo, refine, score and audit to a program that speaks MCP.

    It starts the command itself and speaks to it over stdin and stdout: docs/integrations/mcp.md has its configuration.
    """
    from segagent.core import InputError

    if port is not None and not http:
        raise InputError("--port: goes with --http; without it the command speaks over stdin and stdout")
    from segagent.annotation.batch import make_models
    from segagent.server.mcp.app import create_server, serve_http, serve_stdio
    from segagent.server.mcp.episodes import Episodes
    from segagent.server.mcp.inputs import Inputs
    from segagent.server.mcp.records import EpisodeRecords

    choice = models.choose()
    inputs = Inputs.below(root)
    choice.fetch()
    made = make_models(choice.policy, choice.tool, choice.first_box)
    episodes = Episodes(made, choice.search, None if record is None else EpisodeRecords(record), seed)
    try:
        server = create_server(episodes, inputs)
        if http:
            serve_http(server, inputs, 8322 if port is None else port, lambda url: say(f"serving MCP at {url}"))
        else:
            serve_stdio(server)
    finally:
        episodes.close()
