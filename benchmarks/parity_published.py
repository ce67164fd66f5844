"""The published SegAgent evaluation beside ours, on prediction files made of our trajectories.

    segagent evaluate scenes:40:split=val,sentences=2 --all-steps -o OUT
    python benchmarks/parity_published.py CHECKOUT OUT

CHECKOUT is a copy of github.com/aim-uofa/SegAgent, whose evaltools/eval_result_iou.py is run as it is, in a process
group of one on the CPU; none of it is kept here. OUT is a finished evaluation of ours. For each choice of mask: their
cIoU and gIoU, and ours from the same file read back and from the stored trajectories themselves. ``--forget`` takes
that share of the predicted IoUs away first, so that replies name none.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch.distributed

from segagent.core import InputError, Trajectory
from segagent.datasets.published import PublishedEpisode, read_published_predictions, write_published_predictions
from segagent.evaluation.measuring import MeasuredSample, Rules, measure
from segagent.evaluation.metrics import Sums
from segagent.evaluation.results import open_runs, read_samples
from segagent.evaluation.selection import Selection


def measured(episodes: list[PublishedEpisode], select: Selection) -> tuple[float, float]:
    """Our cIoU and gIoU."""
    sums = Sums.total(measure(MeasuredSample(e.trajectory, e.target), Rules("res", 7, select)).sums for e in episodes)
    return sums.value_of("cIoU"), sums.value_of("gIoU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("outs", type=Path, nargs="+")
    parser.add_argument("--forget", type=float, default=0.0)
    args = parser.parse_args()
    sys.path.insert(0, str(args.checkout / "evaltools"))
    from eval_result_iou import evaluate_dataset  # type: ignore[import-not-found]

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as made:
        torch.distributed.init_process_group("gloo", init_method=f"file://{made}/group", rank=0, world_size=1)
        for number, run in enumerate(open_runs(args.outs)):
            episodes = [
                PublishedEpisode(forgetful(Trajectory.from_dict(record), args.forget, rng), record["target"])
                for _, record in read_samples(run)
                if "target" in record
            ]
            written = [e for e in episodes if writable(e, Path(made) / "one.json")]
            file = Path(made) / f"{number}.json"
            write_published_predictions(file, written)
            read = list(read_published_predictions(file))
            lengths = [len(e.trajectory.steps) for e in written]
            print(
                f"{run.config['policy']} + {run.config['tool']}, {run.dataset}: {len(written)} of {len(episodes)} "
                f"episodes have a place in the file, {min(lengths)} to {max(lengths)} steps"
            )
            for word, click, ours in (("published", None, "published"), ("last", -1, "last")):
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    theirs = [float(value) for value in evaluate_dataset(str(file), click)]
                kinds = {"stored": measured(written, ours)}  # type: ignore[arg-type]
                if word == "published":
                    kinds["read, returned"] = measured(read, "returned")
                kinds["read"] = measured(read, ours)  # type: ignore[arg-type]
                print(f"  {word}: theirs cIoU {theirs[0]:.8f} gIoU {theirs[1]:.8f}")
                for kind, found in kinds.items():
                    off = np.abs(np.subtract(theirs, found))
                    print(f"    ours ({kind}) {found[0]:.8f} {found[1]:.8f}, differences {off[0]:.1e} {off[1]:.1e}")
            replies = [entry["outputs"] for one in json.loads(file.read_text()) for entry in one["pred_list"]]
            print(f"  a reply as written: {replies[0]!r}")
        torch.distributed.destroy_process_group()


def forgetful(trajectory: Trajectory, share: float, rng: np.random.Generator) -> Trajectory:
    """The trajectory without some of its replies' predicted IoUs."""
    steps = tuple(
        replace(
            step, predicted_iou=None if rng.random() < share else step.predicted_iou, text="" if share else step.text
        )
        for step in trajectory.steps
    )
    return replace(trajectory, steps=steps)


def writable(episode: PublishedEpisode, scratch: Path) -> bool:
    """Whether the episode has a place in a prediction file: clicks only, from nothing."""
    try:
        write_published_predictions(scratch, [episode])
    except InputError:
        return False
    return True


if __name__ == "__main__":
    main()
