"""The page about the miniature experiment: Markdown made of ``results.json`` and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segagent.reproduce import sections
from segagent.reproduce.findings import FAILS, FEWEST, HOLDS, OPEN, TOO_FEW, findings
from segagent.reproduce.sections import markdown_table


def make_page(results: Mapping[str, Any], *, plots: str = "plots") -> str:
    """The page. ``plots`` is the folder of the pictures as seen from the page; "" for a page without."""
    parts = (
        _beginning,
        _verdicts,
        sections.complexity,
        sections.steps,
        sections.search,
        sections.undo,
        sections.filtering,
        sections.variants,
        sections.references,
        _made,
    )
    lines = [line for part in parts for line in part(results)]
    text = "\n".join(lines)
    for name in ("complexity", "steps", "search", "undo", "reliability"):
        link = f"![{name}]({plots}/{name}.png)\n\n" if plots and name in results.get("plots", ()) else ""
        text = text.replace(f"@plot {name}@\n", link)
    return text.rstrip() + "\n"


def _beginning(results: Mapping[str, Any]) -> Iterator[str]:
    config, counts = results["config"], results["counts"]
    yield "# The paper's experiments in miniature"
    yield ""
    if config["quick"]:
        yield "**A quick run: far too few scenes and steps to tell anything. It only shows that everything works.**"
        yield ""
    seeds = ", ".join(map(str, results["seeds"]))
    yield (
        f"Made by `{results['command']}`; every figure and every verdict below is computed from its `results.json`. "
        "Generated scenes stand for photographs, the embedded model's frozen perception and grounding with an "
        "untrained state head stand for a pretrained multimodal model, and the small embedded tool for SAM or "
        "SimpleClick. That head clicks by the annotator's rule before it has learnt anything (`--fresh` in "
        "[train.md](train.md)), and its model outlines objects without a click, so both have less to learn than a "
        "multimodal model would. What holds here is the mechanism, not the paper's level."
    )
    yield ""
    yield (
        f"- **mini-RES**: {counts['test']['mini-RES']} simple test scenes; **mini-HRES**: "
        f"{counts['test']['mini-HRES']} hard ones (thin, holed, cluttered). One sentence per scene. Nothing was "
        "trained or tuned on them; the calibration was fitted on scenes of the val split."
    )
    d_0 = counts["d_0"]
    yield (
        f"- **D_0**: {d_0['trajectories']} trajectories of the simulated annotator on {d_0['images']} training scenes "
        f"({config['train_complexity']}). Training seeds: {seeds}. Where there are several, tables pool them and "
        "give the range over seeds in round brackets."
    )
    yield (
        "- Square brackets: 95 % bootstrap intervals, images resampled as a whole; differences are paired by image. "
        "They speak of other scenes, not of other trainings."
    )
    yield (
        "- A finding **holds** where the whole interval lies beyond the bar, **does not hold** where all of it lies "
        "short of it, and is **within the interval** where the experiment is too small to tell. With fewer than "
        f"{FEWEST} scenes nothing is said."
    )
    yield ""
    rows = [
        [name, str(model["steps"]), str(model["examples"]), f"{model['seconds'] / 60:.1f}"]
        for name, model in results["models"].items()
    ]
    yield from markdown_table(("model (first seed)", "optimizer steps", "examples", "minutes"), rows)


def _verdicts(results: Mapping[str, Any]) -> Iterator[str]:
    found = findings(results)
    kinds = (HOLDS, OPEN, FAILS, TOO_FEW)
    counted = {kind: sum(one.verdict == kind for one in found) for kind in kinds}
    yield "## Which findings hold"
    yield ""
    yield ", ".join(f"{kind}: {number}" for kind, number in counted.items() if number) + "."
    yield ""
    rows = [[one.claim, one.paper or "-", one.ours, f"**{one.verdict}**"] for one in found]
    yield from markdown_table(("finding", "paper", "here", "verdict"), rows)


def _made(results: Mapping[str, Any]) -> Iterator[str]:
    yield from ("## How it was made", "")
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    yield f"`{results['command']}` with {versions}. Settings:"
    yield ""
    settings = ", ".join(f"{name} {value}" for name, value in results["config"].items())
    yield f"{settings}."
