"""Is the promise of --accept kept? Real against expected precision of the accepted masks of a finished run.

    python benchmarks/bench_accept.py RUN [--bars 0.8,0.9] [--targets 0.9,0.95] [--num-checked 50] [--samples 20]

RUN is the folder of an ``annotate`` run on a data set with masks, to which ``annotate`` never looks. First with the
evidence kept with the run, then with samples of masks "checked" with the true masks: by verdict, as a person who looks
would do. Of the samples, means over those that accept anything, and how often the real precision of the masks outside
the sample lies within the interval and reaches the target.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from segagent.annotation.batch import Decision, Run, decide, open_run
from segagent.annotation.batch.sampling import sample_to_check
from segagent.core import iou


def true_ious(run: Run) -> dict[str, float]:
    """The true IoU of each object's answer."""
    answers = {record.object_id: record.trajectory for record in run.objects()}
    found = {}
    for group in run.dataset().groups():
        for sample in group.samples():
            answer = answers.get(sample.sample_id)
            if answer is not None:
                found[sample.sample_id] = iou(answer.mask_at(answer.returned), *sample.load_target())
    return found


def real(decision: Decision, truth: dict[str, float], checked: set[str]) -> float | None:
    """The share of good masks among the accepted ones that nobody checked."""
    good = [truth[name] >= decision.iou_bar for name in decision.accepted if name not in checked]
    return float(np.mean(good)) if good else None


def main() -> None:
    """Print one line of JSON per setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--bars", default="0.8,0.9")
    parser.add_argument("--targets", default="0.9,0.95")
    parser.add_argument("--num-checked", type=int, default=50)
    parser.add_argument("--samples", type=int, default=20)
    arguments = parser.parse_args()
    run = open_run(arguments.run)
    truth = true_ious(run)
    settings = [(float(b), float(t)) for b in arguments.bars.split(",") for t in arguments.targets.split(",")]
    print(json.dumps({"objects": len(truth), "mean_iou": round(float(np.mean(list(truth.values()))), 3)}))
    for bar, target in settings:
        one = decide(run, target, bar)
        print(
            json.dumps(
                {
                    "evidence": "kept",
                    "bar": bar,
                    "target": target,
                    "threshold": one.threshold,
                    "accepted": len(one.accepted),
                    "to_see": one.num_to_see,
                    "expected": str(one.precision),
                    "real": round(real(one, truth, set()) or 0.0, 3),
                    "expected_bad": round(one.expected_bad, 1),
                    "real_bad": sum(truth[name] < bar for name in one.accepted),
                    "expected_iou": round(one.expected_iou or 0.0, 3),
                    "real_iou": round(float(np.mean([truth[name] for name in one.accepted] or [0.0])), 3),
                    "best_possible": _oracle(run, truth, bar, target),
                }
            )
        )
    for bar, target in settings:
        print(json.dumps(_sampled(run, truth, bar, target, arguments.num_checked, arguments.samples)))


def _sampled(run: Run, truth: dict[str, float], bar: float, target: float, num: int, samples: int) -> dict[str, object]:
    rows: list[tuple[float, float, float, bool, bool]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(samples):
            drawn = sample_to_check(run, num, seed)
            path = Path(folder) / f"{seed}.json"
            words = [{"object_id": name, "verdict": "ok" if truth[name] >= bar else "wrong"} for name in drawn]
            path.write_text(json.dumps(words))
            one = decide(run, target, bar, path)
            share = real(one, truth, set(drawn))
            if share is not None and one.precision is not None:
                inside = one.precision.low <= share <= one.precision.high
                rows.append((one.precision.value, share, len(one.accepted), inside, share >= target))
    means = np.mean(rows, axis=0).round(3).tolist() if rows else [None] * 5
    names = ("expected", "real", "accepted", "inside", "reaches")
    return {
        "evidence": f"{num} checked",
        "bar": bar,
        "target": target,
        "samples": samples,
        "accepting": len(rows),
        **dict(zip(names, means, strict=True)),
        "worst_real": round(min(row[1] for row in rows), 3) if rows else None,
    }


def _oracle(run: Run, truth: dict[str, float], bar: float, target: float) -> int:
    """How many masks could be accepted from some predicted IoU on if the truth were known."""
    masks = [(r.predicted_iou, truth[r.object_id] >= bar) for r in run.objects() if r.outcome != "not_found"]
    best = 0
    for line in {predicted for predicted, _ in masks if predicted is not None}:
        good = [ok for predicted, ok in masks if predicted is not None and predicted >= line]
        best = max(best, len(good) if np.mean(good) >= target else 0)
    return best


if __name__ == "__main__":
    main()
