"""Options of commands that accept masks of a run at a target precision, and what they say about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from segagent.cli.console import say, warn

if TYPE_CHECKING:
    from segagent.annotation.batch import Decision, Run


@dataclass(frozen=True)
class AcceptOptions:
    """Which masks of a run are accepted; see :func:`segagent.annotation.batch.decide`. ``InputError``."""

    PANEL: ClassVar[str] = "Options"

    accept: Annotated[
        float | None,
        typer.Option(
            "--accept",
            metavar="SHARE",
            help="Accept masks such that this share of them is expected to be good, e.g. 0.95.",
        ),
    ] = None
    accept_iou: Annotated[
        float, typer.Option("--accept-iou", metavar="IOU", help="A mask is good from this true IoU on.")
    ] = 0.9
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="CHECKED",
            help="Masks of the run that you have checked: from 'segagent check', or COCO.",
        ),
    ] = None

    def __post_init__(self) -> None:
        from segagent.core import InputError

        if self.accept is None and self.calibrate is not None:
            raise InputError("--calibrate goes with --accept: it changes which masks are accepted")

    def decide(self, run: Run) -> Decision | None:
        """What is accepted of ``run``; None without ``--accept``."""
        from segagent.annotation.batch import decide

        return None if self.accept is None else decide(run, self.accept, self.accept_iou, self.calibrate)


def tell_decision(decision: Decision) -> None:
    """Say what is accepted, how good that is expected to be, and what is left for a person; with its warnings."""
    for warning in decision.warnings:
        warn(warning)
    num_objects = len(decision.accepted) + decision.num_to_see
    figures = []
    if decision.precision is not None:
        one = decision.precision
        figures.append(f"expected precision {one.value:.2f} [{one.low:.2f}, {one.high:.2f}]")
    if decision.expected_iou is not None:
        figures.append(f"expected IoU {decision.expected_iou:.3f}")
    if decision.accepted:
        figures.append(f"{decision.expected_bad:.1f} expected below the bar")
    say(
        f"at --accept {decision.target_precision:g} (IoU >= {decision.iou_bar:.2f}): "
        + ", ".join([f"{len(decision.accepted)} of {num_objects} objects accepted", *figures])
        + f"; {decision.num_to_see} for a person to see"
    )
    if decision.threshold is not None:
        checked = f"; {decision.num_checked} masks checked by a person" if decision.num_checked else ""
        say(f"accepted from a predicted IoU of {decision.threshold:g} on{checked}")
