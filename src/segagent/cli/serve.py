"""``segagent serve-policy``: a policy behind the OpenAI chat-completions protocol, on this machine only."""

from __future__ import annotations

from typing import Annotated

import typer

from segagent.cli.console import reporting_errors, say


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
