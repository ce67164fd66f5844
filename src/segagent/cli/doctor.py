"""``segagent doctor``: what a model's coordinates and IoU estimates are worth, before they are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import EXIT_SOME_FAILED, complain, print_object, reporting_errors, say, waiting

if TYPE_CHECKING:
    from segagent.policies.doctor import Diagnosis


@reporting_errors
def doctor(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="hf:... or openai:...", show_default=False)],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the format found to this file, for ?format=FILE.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=6, max=500, help="Pictures to point in.")] = 18,
    masks: Annotated[int, typer.Option("--masks", min=0, max=500, help="Masks to judge.")] = 12,
    as_json: JsonOption = False,
) -> None:
    """Show POLICY pictures with a known answer and say which chat format fits it, or that none does (exit code 1)."""
    import json

    from segagent.core import InputError
    from segagent.imaging import write_bytes
    from segagent.policies import make_policy, with_first_box
    from segagent.policies.chat import ChatPolicy, format_to_dict
    from segagent.policies.doctor import examine

    with waiting("loading the model", quiet=as_json):
        made = with_first_box(make_policy(policy), "none")
    if not isinstance(made, ChatPolicy):
        raise InputError(
            f"policy {policy!r} answers in pixels of the image already; the doctor examines hf: and openai:"
        )
    with waiting("asking", quiet=as_json):
        found = examine(made, num_pictures=pictures, num_masks=masks)
    findings = _findings(found)
    if out is not None and found.format is not None:
        write_bytes(out, (json.dumps(format_to_dict(found.format, findings), indent=1) + "\n").encode())
    if as_json:
        print_object(findings)
    else:
        _summarise(made.format.name, found, out)
    if found.fit is None:
        complain(f"no format fits: {found.reason}")
        raise typer.Exit(EXIT_SOME_FAILED)


def _findings(found: Diagnosis) -> dict[str, Any]:
    fit = found.fit
    return {
        "fits": None if fit is None else fit.convention.words,
        "format_is_right": found.format_is_right,
        "reason": found.reason,
        "asked": found.num_asked,
        "points": found.num_points,
        "valid_actions": round(found.valid_actions, 3),
        "median_error_pixels": None if fit is None else round(fit.median_pixels, 1),
        "median_error_of_diagonal": None if fit is None else round(fit.median_error, 4),
        "iou_answers": found.num_ious,
        "iou_pearson": found.iou_correlation,
        "iou_spearman": found.iou_rank_correlation,
        "iou_means_something": found.iou_means_something,
        "seconds_per_call": round(found.seconds_per_call, 3),
        "tokens_per_call": round(found.tokens_per_call, 1),
        "unread": list(found.unread),
    }


def _summarise(name: str, found: Diagnosis, out: Path | None) -> None:
    say(f"{found.num_points} of {found.num_asked} replies hold one point")
    for text in found.unread:
        say(f"  not: {text[:100]!r}")
    if found.fit is not None:
        fit = found.fit
        verdict = f"format {name!r} is right" if found.format_is_right else f"format {name!r} is wrong"
        say(f"coordinates: {fit.convention.words}; {verdict}")
        say(f"accuracy: half the points within {fit.median_pixels:.1f} pixels ({fit.median_error:.2%} of the diagonal)")
        say(f"valid actions: {found.valid_actions:.0%}")
    if found.iou_rank_correlation is None:
        say(f"IoU estimates: {found.num_ious} readable, none to go by")
    else:
        worth = "they mean something" if found.iou_means_something else "do not trust them; use --candidates 1"
        say(f"IoU estimates: rank correlation with the truth {found.iou_rank_correlation:.2f}; {worth}")
    say(f"cost: {found.seconds_per_call:.2f} s and {found.tokens_per_call:.0f} tokens per call")
    if out is not None and found.format is not None:
        say(f"format written to {out}; use it with ?format={out}")
