"""The options of ``--serve``, which review and check have, and what is said while it serves."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from segagent.cli.console import one_line, say
from segagent.cli.options import given

if TYPE_CHECKING:
    from segagent.annotation.batch import Run
    from segagent.annotation.team import Assignments


@dataclass(frozen=True)
class ServingOptions:
    """How a run is served to people; see :class:`segagent.server.review.session.Plan`."""

    PANEL: ClassVar[str] = "With --serve"

    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")] = 8322
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who uses the page; left out, each browser asks.")
    ] = None
    host: Annotated[
        str, typer.Option("--host", help="The address to listen at; any but this machine's own needs a token.")
    ] = "127.0.0.1"
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="SEGAGENT_TOKEN",
            help="The secret that opens the page to others, 16 letters and digits or more; made where one is needed.",
            show_default=False,
        ),
    ] = None
    public: Annotated[
        str | None,
        typer.Option("--public", metavar="NAME", help="The name of the server that stands before this one, with TLS."),
    ] = None
    guidelines: Annotated[
        Path | None,
        typer.Option(
            "--guidelines",
            metavar="FILE",
            help="A text with your rules, shown beside objects, or on the page to look at. [default: the run's]",
            show_default=False,
        ),
    ] = None
    assign: Annotated[
        str | None,
        typer.Option(
            "--assign",
            metavar="NAME,NAME|FILE",
            help="Deal the objects out to these people, image by image; or as the file says that segagent split wrote.",
        ),
    ] = None
    tool: Annotated[
        str | None,
        typer.Option("--tool", help="The tool that answers clicks. [default: the run's]", show_default=False),
    ] = None
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="The policy that suggests and goes on. [default: the run's]", show_default=False),
    ] = None

    def refuse(self, but: str = "") -> None:
        """Raise ``InputError`` for an option of these without --serve, ``but`` for one."""
        from segagent.core import InputError

        for name in given(self):
            # The token may stand in the environment for the day that it is needed.
            if name not in ("token", but):
                raise InputError(f"--{name}: goes with --serve, which serves a page to work on")

    def rules(self, run: Run) -> str:
        """The project's labelling rules, the run's where no others are given; empty without any. ``InputError``."""
        from segagent.annotation.batch import guidelines_of
        from segagent.policies.chat import read_guidelines

        return guidelines_of(run) if self.guidelines is None else read_guidelines(self.guidelines)

    def _shares(self, run: Run) -> Assignments | None:
        """Who is to look at what, as --assign says. Raises ``InputError``."""
        from segagent.annotation.team import read_assignments, split_run
        from segagent.annotation.team.splitting import people_named

        if self.assign is None:
            return None
        if Path(self.assign).suffix == ".json" or Path(self.assign).is_file():
            return read_assignments(self.assign)
        return split_run(run, people_named(self.assign))

    def serve(
        self,
        run: Run,
        *,
        data: str | None = None,
        sample: Sequence[str] | None = None,
        drawn: dict[str, Any] | None = None,
    ) -> None:
        """Serve ``run`` until interrupted. Raises ``InputError``."""
        from segagent.server.review.serving import serve_review
        from segagent.server.review.session import Plan

        dealt = self._shares(run)
        plan = Plan(
            by=self.by,
            tool=self.tool,
            policy=self.policy,
            guidelines=self.rules(run) or None,
            shares={} if dealt is None else dealt.objects,
            people=() if dealt is None else dealt.people,
            sample=sample,
            drawn=drawn or {},
            data=data,
        )
        folder = one_line(str(run.folder))

        def ready(url: str, token: str | None) -> None:
            say(
                f"{'review' if sample is None else 'check'}: open {url}/" + ("" if token is None else f"?token={token}")
            )
            if token is not None:
                say("what goes over the network is not encrypted: put a server with TLS before this one, for example")
                say(f"  caddy reverse-proxy --from NAME --to {url.removeprefix('http://')}   # and give --public NAME")
            say(f"all that is done goes into {folder}/people.jsonl at once; stop with Ctrl-C")

        # Ctrl-C is how a server is meant to be stopped.
        with contextlib.suppress(KeyboardInterrupt):
            serve_review(run, plan, host=self.host, port=self.port, token=self.token, public=self.public, ready=ready)
        then = f"export {folder} --to coco -o final.json" if sample is None else f"summary {folder} --accept 0.95"
        say(f"stopped; next: segagent {then}")
