"""``segagent calibrate``: find out what a policy's predicted IoU is worth, and store the correction with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated

import typer

from segagent.cli.common import CrowdsOption, JsonOption, ToolOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, counting, one_line, print_object, reporting_errors, say, warn


@reporting_errors
def calibrate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="embedded:DIR or hf:DIR.", show_default=False)],
    datasets: Annotated[
        list[str], typer.Argument(metavar="DATASET...", help="Validation data, as for 'segagent trajectories'.")
    ],
    *,
    crowds: CrowdsOption = False,
    tool: ToolOption = "embedded",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Clicks per episode.")] = 7,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the episodes.")] = 0,
    evidence_only: Annotated[
        bool,
        typer.Option("--evidence-only", help="Keep the stored fit; store the masks alone, which --accept decides by."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the isotonic calibration of POLICY's predicted IoU on its own episodes and store it in its folder.

    'segagent score' and 'annotate' then also give the calibrated IoU: what such masks turn out to be on average. Up to
    1000 masks are stored beside it, for --accept. Of several data sets every mask counts alike. Masks of objects that
    POLICY has doubts about get a curve of their own, from 100 on.
    """
    from segagent.core import InputError
    from segagent.evaluation.calibration import (
        calibration_file,
        expected_calibration_error,
        load_calibration,
        save_calibration,
        stored_notes,
    )
    from segagent.evaluation.own_states import OwnStates, own_states
    from segagent.policies import make_policy, with_known_format
    from segagent.tools import make_tool

    if calibration_file(policy) is None:
        raise InputError(
            f"policy {policy!r:.200}: a calibration is stored in a model's folder; give embedded:DIR or hf:DIR"
        )
    kept = load_calibration(policy) if evidence_only else None
    if evidence_only and kept is None:
        raise InputError(f"policy {policy!r:.200}: has no calibration to keep; leave --evidence-only out")
    if len(set(datasets)) < len(datasets):
        raise InputError(f"a data set is given twice, whose masks would count twice: {', '.join(datasets)}")
    opened = [open_data(dataset, crowds=crowds) for dataset in datasets]
    annotator, clicked = with_known_format(make_policy(policy)), make_tool(tool)
    states, seen = OwnStates(), 0
    with counting("episodes", sum(one.num_images for one in opened), unit="images", quiet=as_json) as update:
        for one in opened:
            found = own_states(
                annotator,
                clicked,
                one,
                max_steps=steps,
                seed=seed,
                progress=partial(_count, update, seen),
            )
            if not found.predicted:
                raise InputError(f"{one.spec}: no mask with a predicted IoU came out of it; nothing to calibrate on")
            states.add(found, one.spec if len(opened) > 1 else None)
            seen += one.num_images
    fitted = kept or states.calibration()
    corrected = states.corrected(fitted)
    before, after = (expected_calibration_error(values, states.true) for values in (states.predicted, corrected))
    notes = {
        "dataset": ", ".join(one.spec for one in opened),
        "tool": tool,
        "steps": steps,
        "states": len(states.predicted),
        "doubted": sum(states.doubted),
        "seed": seed,
    }
    stored = notes if kept is None else {**stored_notes(policy), "evidence": notes}
    path = save_calibration(policy, fitted, stored, states.evidence())
    after_name = "ece_on_the_fit" if kept is None else "ece_after"
    result = {"calibration": str(path), **notes, "ece_before": round(before, 4), after_name: round(after, 4)}
    if as_json:
        print_object({**result, "failures": [{"sample_id": name, "reason": why} for name, why in states.failed]})
    else:
        for name, why in states.failed:
            warn(f"sample {name} failed: {why}")
        same = ", on the same states" if kept is None else ""
        say(
            f"{len(states.predicted)} states: calibration error {before:.3f}, {after:.3f} after{same}; "
            f"{one_line(str(path))}"
        )
    if states.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _count(update: Callable[[int, str], None], before: int, done: int, total: int) -> None:
    """Pass on how many pictures are done, ``before`` of them of other data sets."""
    update(before + done, "")
