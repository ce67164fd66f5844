"""The page about the experiment: Markdown made of ``results.json`` and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from segagent.reproduce.findings import FEWEST, percent
from segagent.reproduce.gains.tables import findings
from segagent.reproduce.sections import markdown_table


def make_page(results: Mapping[str, Any]) -> str:
    """The page."""
    return "\n".join(_lines(results)).rstrip() + "\n"


def _lines(results: Mapping[str, Any]) -> Iterator[str]:
    config, tables = results["config"], results["tables"]
    yield from ("# Gains of self-training, of the process reward model and of search", "")
    if config["quick"]:
        yield from ("**A quick run: far too few scenes and steps to tell anything.**", "")
    seeds = ", ".join(map(str, results["seeds"]))
    yield (
        f"Made by `{results['command']}`. D_0: the simulated annotator on {config['d_0_scenes']} *simple* scenes. "
        f"StaR+, GRPO and the process reward models learn on {config['hard_scenes']} *hard* ones, and hard ones test: "
        f"{config['test_scenes']} scenes, training seeds {seeds}, {config['max_steps']} clicks, "
        f"K = {config['candidates']}. The state head starts bare (`--fresh-bare`), and the grounding learns with it "
        f"(`object_weight` {config['object_weight']}), so what is meant is the policy's own guess throughout. All "
        "trainings keep the weights with the lowest loss on the pictures they do not learn from."
    )
    yield ""
    number = tables["compared"].get("number", 0)
    yield (
        f"Square brackets: 95 % bootstrap intervals, images resampled as a whole, differences paired by image. "
        f"{number} findings with an interval are told; a verdict is by the interval that is corrected for that number "
        f"(Bonferroni). With fewer than {FEWEST} episodes nothing is said."
    )
    yield ""
    rows = [[one.claim, one.paper or "-", one.ours, f"**{one.verdict}**"] for one in findings(results)]
    yield from markdown_table(("finding, mini-HRES", "paper", "here", "verdict"), rows)
    rows = [
        [name, percent(row["mIoU"]), percent(row["cIoU"]), f"{row['calls']:.1f}"]
        for name, row in tables["rows"].items()
    ]
    yield from markdown_table(("mini-HRES", "mIoU", "cIoU", "model calls"), rows)
    yield (
        'Rows with "true" or "best state" are bounds: what the true IoU would choose. Between such a row and the '
        "row with the predicted IoU lies what a better process reward model could gain; above it, only a policy whose "
        "candidates are better."
    )
    yield ""
    rows = [
        [name, percent(row["mIoU"]), percent(row["cIoU"])]
        for name, row in (tables["simple"] | tables["references"]).items()
    ]
    yield from markdown_table(("other rows (simple scenes; without any click; the annotator)", "mIoU", "cIoU"), rows)
    hits = ", ".join(f"{model} {100 * hit:.0f} %" for model, hit in tables["hits"].items())
    yield f"First click on the object, hard scenes: {hits}."
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    settings = ", ".join(f"{name} {value}" for name, value in config.items())
    yield f"With {versions}. Settings: {settings}."
