"""Which policy, tool, first action and search a command line asks for: by themselves or by a preset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.console import warn

if TYPE_CHECKING:
    from segagent.core import Policy, SegmentationTool
    from segagent.core.usage import Prices
    from segagent.runs.models import Models
    from segagent.search import SearchConfig

PresetOption = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="A row of the paper, see 'segagent presets'; then give weights."),
]
PolicyWeightsOption = Annotated[
    str | None,
    typer.Option("--policy-weights", metavar="DIR", help="The preset's policy: folder, hub name, or openai:MODEL@URL."),
]
ToolWeightsOption = Annotated[
    str | None, typer.Option("--tool-weights", metavar="PATH", help="The preset's tool: folder, file or hub name.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="Who clicks: embedded, centre, hf:DIR, openai:MODEL@URL. [default: embedded]",
        show_default=False,
    ),
]
ToolOption = Annotated[
    str | None,
    typer.Option(
        "--tool",
        help="What turns clicks into masks: embedded, grabcut, sam:DIR, simpleclick:FILE. [default: embedded]",
        show_default=False,
    ),
]
FirstBoxOption = Annotated[
    str | None,
    typer.Option(
        "--first-box",
        metavar="none|own|POLICY",
        help="First action: a click, a box by the policy, or a box by another model (hf:DIR, openai:MODEL@URL).",
    ),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, max=100, help="Most actions in the episode. [default: 7]")
]
CandidatesOption = Annotated[
    int | None,
    typer.Option(
        "--candidates", min=1, max=64, help="Actions tried per step; above 1 the best-scored is taken. [default: 1]"
    ),
]


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


def choose(
    *,
    preset: str | None,
    policy: str | None,
    policy_weights: str | None,
    tool: str | None,
    tool_weights: str | None,
    first_box: str | None,
    steps: int | None,
    candidates: int | None,
    max_seconds: float | None = None,
    max_calls: int | None = None,
    max_money: float | None = None,
    price: str | None = None,
) -> Choice:
    """The choice that options amount to; what is said by itself goes before the preset.

    Raises ``InputError`` for weights without a preset, a preset without weights, and two answers to one question.
    """
    from segagent.core import InputError
    from segagent.search import SearchConfig

    for name, given, whole in (("policy", policy_weights, policy), ("tool", tool_weights, tool)):
        if given is not None and preset is None:
            raise InputError(f"--{name}-weights belong to a --preset; without one give --{name}")
        if given is not None and whole is not None:
            raise InputError(f"--{name} and --{name}-weights say the same thing twice; give one of them")
        if preset is not None and given is None and whole is None:
            raise InputError(f"the preset {preset!r:.100} has no weights of its own; give --{name}-weights")
    config, box = SearchConfig(), first_box
    if preset is not None:
        from segagent.annotation.presets import load_preset

        row = load_preset(preset)
        told = None if policy is not None else row.gives_way_to(policy_weights or "")
        if told is not None:
            warn(f"the model was trained in format {told.name!r:.80} and is asked in that, not in the preset's")
        policy = policy if policy is not None else row.policy_spec(policy_weights or "")
        tool = tool if tool is not None else row.tool_spec(tool_weights or "")
        config, box = row.search, first_box if first_box is not None else row.first_box
    config = replace(
        config,
        max_steps=config.max_steps if steps is None else steps,
        num_candidates=config.num_candidates if candidates is None else candidates,
        max_seconds=max_seconds,
        max_policy_calls=max_calls,
        max_money=max_money,
        # Without a limit they decide nothing, and may be given later.
        prices=config.prices if max_money is None else parse_prices(price),
    )
    return Choice(policy or "embedded", tool or "embedded", box, first_box not in (None, "none"), config)
