"""Which policy, tool, first action and search a command line asks for: by themselves or by a preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from segagent.cli.console import note, warn

if TYPE_CHECKING:
    from segagent.core import Policy, SegmentationTool
    from segagent.core.usage import Prices
    from segagent.runs.models import Models
    from segagent.search import SearchConfig


@dataclass(frozen=True, slots=True)
class Choice:
    """What was asked for. ``first_box`` None leaves it to the policy's specification; ``box_asked``: by an option."""

    policy: str
    tool: str
    first_box: str | None
    box_asked: bool
    search: SearchConfig

    @property
    def specs(self) -> tuple[str, ...]:
        """Of the models: who clicks, who gives the first box where that is another one, and the tool."""
        others = () if self.first_box in (None, "none", "own") else (str(self.first_box),)
        return (self.policy, *others, self.tool)

    def fetch(self) -> None:
        """Fetch the weights that are named with a revision of the hub and are not here, saying so first on stderr."""
        from urllib.parse import parse_qs

        from segagent.core.hub import fetch

        for spec in self.specs:
            target, _, options = spec.partition(":")[2].partition("?")
            revision = parse_qs(options).get("revision", [""])[0]
            if revision and not spec.startswith("openai:") and not Path(target).is_dir():
                fetch(target, revision, note)

    def make_policy(self, *, started: bool) -> Policy:
        """The policy. ``started``: the episode begins with a mask or box that was given, so none is asked for."""
        from segagent.policies import make_policy, with_first_box, with_known_format

        policy = with_known_format(make_policy(self.policy))
        if started:
            return with_first_box(policy, "none")
        return policy if self.first_box is None else with_first_box(policy, self.first_box)

    def make_models(self, *, started: bool) -> Models:
        """What plays an evaluation; see :meth:`make_policy`. In a worker, where ``partial`` of this is sent to."""
        from segagent.runs.models import Models

        return Models(self.make_policy(started=started), self.make_tool())

    def make_tool(self) -> SegmentationTool:
        """The tool."""
        from segagent.tools import make_tool

        return make_tool(self.tool)


def parse_prices(text: str | None) -> Prices:
    """``IN,OUT`` or ``IN,OUT,CACHED`` as prices, no text as none. Raises ``InputError`` for anything else."""
    from segagent.core import InputError
    from segagent.core.usage import Prices

    if text is None:
        return Prices()
    try:
        read, written, *cached = (float(part) for part in text.split(","))
        if len(cached) > 1:
            raise ValueError("too many numbers")
        return Prices(read, written, *cached)
    except ValueError as error:
        raise InputError(
            f"--price {text!r:.80}: expected two numbers IN,OUT of at least 0, for example 0.5,1.5; a third is the "
            "price of tokens read from the server's cache"
        ) from error


@dataclass(frozen=True)
class ModelOptions:
    """Who clicks, what with and how long; what is said by itself goes before the preset."""

    PANEL: ClassVar[str] = "Models and steps"

    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            help="Who clicks: embedded, centre, hf:DIR, vllm:DIR, openai:MODEL@URL. [default: embedded]",
            show_default=False,
        ),
    ] = None
    tool: Annotated[
        str | None,
        typer.Option(
            "--tool",
            help="What turns clicks into masks: embedded, grabcut, sam:DIR, simpleclick:FILE. [default: embedded]",
            show_default=False,
        ),
    ] = None
    preset: Annotated[
        str | None,
        typer.Option("--preset", metavar="NAME", help="Both and more by one word, see 'segagent presets'."),
    ] = None
    policy_weights: Annotated[
        str | None,
        typer.Option(
            "--policy-weights",
            metavar="DIR",
            help="In place of the preset's policy: folder, hub name, or openai:MODEL@URL.",
        ),
    ] = None
    tool_weights: Annotated[
        str | None,
        typer.Option("--tool-weights", metavar="PATH", help="In place of the preset's tool: folder, file or hub name."),
    ] = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch no weights; they must be on this machine (as HF_HUB_OFFLINE=1).")
    ] = False
    first_box: Annotated[
        str | None,
        typer.Option(
            "--first-box",
            metavar="none|own|POLICY",
            help="First action: a click, a box by the policy, or a box by another model (hf:DIR, openai:MODEL@URL).",
        ),
    ] = None
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=100, help="Most actions in the episode. [default: 7]")
    ] = None
    candidates: Annotated[
        int | None,
        typer.Option(
            "--candidates", min=1, max=64, help="Actions tried per step; above 1 the best-scored is taken. [default: 1]"
        ),
    ] = None
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=0.0, help="Of candidates that are sampled; above 1 more daring. [default: 1]"
        ),
    ] = None
    diversity: Annotated[
        float | None,
        typer.Option(
            "--diversity",
            min=0.0,
            max=1.0,
            help="embedded: candidates are about distinct objects first, then places so far apart, as a share of the "
            "picture (0.06). [default: all sampled]",
        ),
    ] = None
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", help="Most seconds per object; checked between steps.")
    ] = None
    max_calls: Annotated[
        int | None, typer.Option("--max-calls", min=1, help="Most states that the policy is asked about, per object.")
    ] = None
    max_money: Annotated[
        float | None, typer.Option("--max-money", help="Most money per object; needs --price, and a policy that tells.")
    ] = None

    def choose(self, price: str | None = None) -> Choice:
        """The choice that the options amount to; ``price`` as ``--price`` has it.

        Raises ``InputError`` for weights without a preset, a preset that has no weights where none are given, and two
        answers to one question.
        """
        from segagent.core import InputError
        from segagent.search import SearchConfig

        for name, given, whole in (
            ("policy", self.policy_weights, self.policy),
            ("tool", self.tool_weights, self.tool),
        ):
            if given is not None and self.preset is None:
                raise InputError(f"--{name}-weights belong to a --preset; without one give --{name}")
            if given is not None and whole is not None:
                raise InputError(f"--{name} and --{name}-weights say the same thing twice; give one of them")
        if self.offline:
            from segagent.core.hub import go_offline

            go_offline()
        policy, tool, config, box = self.policy, self.tool, SearchConfig(), self.first_box
        if self.preset is not None:
            from segagent.annotation.presets import load_preset

            row = load_preset(self.preset)
            told = None if policy is not None else row.gives_way_to(self.policy_weights)
            if told is not None:
                warn(f"the model was trained in format {told.name!r:.80} and is asked in that, not in the preset's")
            policy = policy if policy is not None else row.policy_spec(self.policy_weights)
            tool = tool if tool is not None else row.tool_spec(self.tool_weights)
            config, box = row.search, self.first_box if self.first_box is not None else row.first_box
        config = replace(
            config,
            max_steps=config.max_steps if self.steps is None else self.steps,
            num_candidates=config.num_candidates if self.candidates is None else self.candidates,
            temperature=config.temperature if self.temperature is None else self.temperature,
            diversity=self.diversity,
            max_seconds=self.max_seconds,
            # The preset's goes with its own steps and candidates.
            max_policy_calls=(
                config.max_policy_calls
                if self.max_calls is None and self.steps is None and self.candidates is None
                else self.max_calls
            ),
            max_money=self.max_money,
            # Without a limit they decide nothing, and may be given later.
            prices=config.prices if self.max_money is None else parse_prices(price),
        )
        return Choice(policy or "embedded", tool or "embedded", box, self.first_box not in (None, "none"), config)
