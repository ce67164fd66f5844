"""Does an audit find spoiled masks, and does a refine mend them and leave the clean ones alone?

    segagent corrupt scenes:150:split=test,seed=7 -o spoiled --per-image 4
    python benchmarks/bench_repair.py spoiled -o measured --json repair.json

Audits and refines the spoiled data set by the functions of the commands, into ``measured/audit`` and
``measured/refine`` (interrupted, the same command goes on), and compares both with the truth beside the data set.
Intervals are 95 % bootstrap by image.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from repair_metrics import NAMED, Mended, RepairMetrics, repair_metrics
from segagent.annotation.batch import (
    ERROR_LABELS,
    Run,
    RunConfig,
    audit_score,
    likely_error,
    make_models,
    open_run,
    run_job,
)
from segagent.core import iou
from segagent.cpu import cpu_words
from segagent.datasets import open_dataset
from segagent.datasets.corrupted import Truth, read_truth


def measure(audited: Run, refined: Run, truths: Mapping[str, Truth], name: str = "") -> list[Mended]:
    """What became of each object of both runs; ``name`` stands before the images'."""
    answers = {record.object_id: record for record in refined.objects()}
    masks = []
    for record in audited.objects():
        if record.object_id not in answers:
            continue
        true, answer = truths[record.object_id], answers[record.object_id]
        expected = audited.calibrated(record.given_iou, record.doubts)
        after = iou(answer.mask, true.mask, true.ignore)
        label, image = likely_error(record, expected).label, name + record.image
        score, repaired = audit_score(record) or 0.0, answer.outcome == "repaired"
        masks.append(Mended(image, true.kind, expected or 0.0, score, label, true.iou, after, repaired))
    return masks


def tell(found: RepairMetrics) -> None:
    """Everything as Markdown."""
    print(f"AUROC of spoiled: by expected IoU {found.auroc}, by the audit's score {found.auroc_score}.")
    print(f"Likely error right: {found.accuracy}.\n")
    print("| masks | n | AUROC | IoU before | after | gain | replaced | by worse |")
    print("|---|---|---|---|---|---|---|---|")
    for group, count in found.count.items():
        score = found.auroc_score if group == "spoiled" else found.aurocs.get(group, "")
        before, after, gain = found.before[group], found.after[group], found.gain[group]
        shown = f"{before.value:.3f}" if group == "clean" else str(before)
        replaced = f"{found.repaired[group]} | {found.worsened[group]}"
        print(f"| {group} | {count} | {score} | {shown} | {after} | {gain} | {replaced} |")
    print("\n| spoiled by | " + " | ".join(ERROR_LABELS) + " | right |\n|---|" + "---|" * (len(ERROR_LABELS) + 1))
    for kind, counts in found.confusion.items():
        cells = [
            f"**{counts.get(label, 0)}**" if label == NAMED[kind] else counts.get(label, 0) for label in ERROR_LABELS
        ]
        right = counts.get(NAMED[kind], 0) / sum(counts.values())
        print(f"| {kind} | " + " | ".join(map(str, cells)) + f" | {right:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spoiled", type=Path, help="a folder made by segagent corrupt")
    parser.add_argument("-o", "--out", type=Path, required=True, help="the runs")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--below", type=float, default=RunConfig("refine").below)
    parser.add_argument("--margin", type=float, default=RunConfig("refine").margin)
    parser.add_argument("--sure", type=float, default=RunConfig("refine").sure)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(cpu_words())
    dataset = open_dataset(str(options.spoiled))
    models = partial(make_models, options.policy, options.tool, "none")
    configs = [RunConfig("audit"), RunConfig("refine", below=options.below, margin=options.margin, sure=options.sure)]
    for config in configs:
        done = run_job(dataset, models, options.out / config.job, config, workers=options.workers)
        cost = open_run(options.out / config.job).costs()
        print(
            f"{config.job}: {sum(done.outcomes.values())} objects, {len(done.failures)} failed, "
            f"{cost['seconds']:.0f} s, {cost['policy_calls']:.0f} policy calls, {cost['tool_calls']:.0f} tool calls"
        )
    audited, refined = (open_run(options.out / config.job) for config in configs)
    found = repair_metrics(measure(audited, refined, read_truth(options.spoiled)))
    tell(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found.to_dict(), indent=1) + "\n")


if __name__ == "__main__":
    main()
