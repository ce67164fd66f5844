"""Fit a process reward model with weights of its own to what a policy does.

It reads the sentence with a grounding of its own, which begins as the policy's and learns to tell whether the *mask* is
what is meant: from the policy's own episodes, good masks of other things and corrupted ones. So it may come to disagree
with the policy about the object. How well a mask outlines anything is judged as in the shipped weights.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segagent.core import InputError, SegmentationTool
from segagent.core.settings import claim
from segagent.core.texts import read_json
from segagent.datasets import Dataset, Sample
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.train_quality import correlation, mean_iou, ranking_loss
from segagent.learning.policy.train_states import soft_iou_labels
from segagent.learning.prm.config import PrmConfig
from segagent.learning.prm.rows import JudgedRows, judge_rows, rows_about
from segagent.learning.sft import TrainedModel, write_training_note
from segagent.learning.sft.trained import read_training_note
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.policy import SHIPPED, weights_file
from segagent.policies.embedded.prm import JoinedHead, Prm
from segagent.tools import make_tool

_SETTINGS = "settings.json"
_RESULT = "prm.json"
_BEST = "best.pt"
_LOOKS_BACK = 20
_GROUP = 20
_STREAM = 13

Watch = Callable[[str, int, int, float], None]
"""Told (what is being done, how many done, of how many, loss or nan)."""


class OwnJudge(nn.Module):
    """What learns: the grounding of the process reward model's own, and the head that joins what is known."""

    def __init__(self, network: PolicyNetwork, joined: JoinedHead) -> None:
        super().__init__()
        self.grounding, self.joined = copy.deepcopy(network.grounding), copy.deepcopy(joined)

    def forward(self, rows: JudgedRows) -> Tensor:
        """Logits (n, NUM_IOU)."""
        return judge_rows(self.grounding, self.joined, rows)


def train_own_prm(
    model: str,
    dataset: Dataset,
    out: str | Path,
    config: PrmConfig = PrmConfig(),  # noqa: B008 - frozen
    *,
    resume: bool = True,
    watch: Watch = lambda what, done, total, loss: None,
) -> TrainedModel:
    """The embedded model in the folder ``model`` ("" for the shipped one), with a process reward model fitted to it on
    ``dataset``, into ``out``. What clicks stays as it is.

    Goes on where an earlier training in ``out`` stopped; a finished one is returned as it is. A sample that cannot be
    read is left out and counted. Raises ``InputError`` for a folder begun with other settings, weights that judge no
    outlines, and a data set of which nothing can be judged.
    """
    folder = Path(out)
    base = weights_file(model) if model else SHIPPED
    settings = {"model": model, "dataset": dataset.fingerprint, "config": config.to_dict()}
    claim(folder / _SETTINGS, settings, anew=not resume)
    spec = f"embedded:{folder}"
    if resume and (folder / _RESULT).exists():
        return TrainedModel.recorded(spec, read_json(folder / _RESULT, "remove the folder or choose another"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network, shipped = load_network(base), load_network(SHIPPED)
        if shipped.prm is None or network.sight is None:
            raise InputError(f"{base}: sees with no encoder, so it cannot judge outlines; train it from newer weights")
        before = network.prm or shipped.prm
        network.prm = Prm()
        network.prm.quality.load_state_dict(before.quality.state_dict())
        network.prm.eval()
        rows, left_out = _rows(network, dataset, folder, config, watch, resume=resume)
        taught, apart = _split(rows, config)
        torch.manual_seed(config.seed)
        judge = OwnJudge(network, before.joined)
        measured = {"before": _quality(judge, apart)}
        best = _train(judge, taught, apart, folder, config, watch, resume=resume)
        measured["after"] = _quality(best, apart)
    finally:
        torch.set_num_threads(threads)
    network.prm.joined.load_state_dict(best.joined.state_dict())
    network.prm.grounding = best.grounding
    stage_log = [json.loads(line) for line in (folder / "own_prm.jsonl").read_text().splitlines()]
    losses = [[line["step"], line["loss"]] for line in stage_log if "loss" in line]
    result = {
        "steps": config.steps,
        "examples": len(taught.iou),
        "left_out": left_out,
        "losses": losses,
        "seconds": max((60 * line["minutes"] for line in stage_log), default=0.0),
        "held_out": measured,
    }
    save_network(folder / SHIPPED.name, network.eval(), {"settings": settings, **result})
    note = read_training_note(model) if model and (Path(model) / "training.json").exists() else {"scheme": "embedded"}
    write_training_note(folder, {**note, "prm": {"model": model, "dataset": dataset.spec, **config.to_dict()}})
    (folder / _RESULT).write_text(json.dumps(result) + "\n")
    return TrainedModel.recorded(spec, result)


def _rows(
    network: PolicyNetwork, dataset: Dataset, folder: Path, config: PrmConfig, watch: Watch, *, resume: bool
) -> tuple[JudgedRows, int]:
    """All rows, kept some pictures a file; with ``resume`` what is there is not made again. And how many samples were
    left out."""
    tool = make_tool(config.tool)
    groups = iter(dataset.groups())
    parts: list[JudgedRows] = []
    left_out = done = 0
    kept = folder / "rows"
    kept.mkdir(parents=True, exist_ok=True)
    while some := list(islice(groups, _GROUP)):
        path = kept / f"{done // _GROUP}.pt"
        if not (resume and path.exists()):
            made: list[JudgedRows] = []
            lost = 0
            for number, group in enumerate(some, done):
                watch("looking at masks", number, dataset.num_images, float("nan"))
                for place, sample in enumerate(group.samples()):
                    rng = np.random.default_rng((config.seed, _STREAM, number, place))
                    found = _read(rng, network, tool, sample, number, config)
                    lost += found is None
                    made += [] if found is None else [found]
            partial = path.with_suffix(".partial")
            torch.save({"rows": tuple(_joined(made)) if made else (), "lost": lost}, partial)
            partial.replace(path)
        stored = torch.load(path, weights_only=True)
        left_out += int(stored["lost"])
        parts += [JudgedRows(*stored["rows"])] if stored["rows"] else []
        done += len(some)
    if not parts:
        raise InputError(f"{dataset.spec}: holds no mask that could be judged")
    return _joined(parts), left_out


def _read(
    rng: np.random.Generator,
    network: PolicyNetwork,
    tool: SegmentationTool,
    sample: Sample,
    number: int,
    config: PrmConfig,
) -> JudgedRows | None:
    try:
        return rows_about(rng, network, tool, sample, number, config)
    except InputError:
        return None


def _joined(parts: list[JudgedRows]) -> JudgedRows:
    return JudgedRows(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _split(rows: JudgedRows, config: PrmConfig) -> tuple[JudgedRows, JudgedRows]:
    """What is learnt from and what only measures, by picture; the same where there is but one picture."""
    pictures = sorted(set(rows.picture.tolist()))
    order = np.random.default_rng((config.seed, 8)).permutation(len(pictures))
    num = min(len(pictures) - 1, round(config.held_out * len(pictures)))
    apart = torch.isin(rows.picture, torch.tensor([pictures[int(n)] for n in order[:num]], dtype=torch.long))
    return rows.at(~apart), rows.at(apart if num else ~apart)


def _train(
    judge: OwnJudge, rows: JudgedRows, apart: JudgedRows, folder: Path, config: PrmConfig, watch: Watch, *, resume: bool
) -> OwnJudge:
    """Train; returns the averaged weights that did best on the rows kept apart, those of the beginning among them."""
    budget = StageBudget(minutes=1e9, steps=config.steps, learning_rate=config.learning_rate, warmup_steps=20)
    stage = Stage("own_prm", judge.requires_grad_(True), folder, budget, resume=resume)
    if not stage.step:
        _keep(folder, stage.average, _quality(judge, apart)["loss"])
    every = max(1, config.steps // _LOOKS_BACK)
    for step in stage.batches():
        stage.network.train()
        rng = np.random.default_rng((config.seed, _STREAM, 5, step))
        batch = rows.at(torch.from_numpy(rng.integers(0, len(rows.iou), config.batch_size)))
        loss = _loss(stage.network(batch), batch)
        stage.update(loss)
        if (step + 1) % every == 0 or step + 1 == config.steps:
            assert isinstance(stage.average, OwnJudge)
            now = _quality(stage.average, apart)
            stage.log({"held_out": now, "loss": float(loss.detach())})
            watch("training", step + 1, config.steps, float(loss.detach()))
            if now["loss"] < torch.load(folder / _BEST, weights_only=True)["loss"]:
                _keep(folder, stage.average, now["loss"])
    assert isinstance(stage.average, OwnJudge)
    stage.average.load_state_dict(torch.load(folder / _BEST, weights_only=True)["weights"])
    return stage.average


def _keep(folder: Path, judge: nn.Module, loss: float) -> None:
    path = folder / _BEST
    partial = path.with_suffix(".tmp")
    torch.save({"loss": loss, "weights": judge.state_dict()}, partial)
    partial.replace(path)


def _loss(logits: Tensor, rows: JudgedRows) -> Tensor:
    said = -(soft_iou_labels(rows.iou, 3.0) * logits.log_softmax(1)).sum(1).mean()
    return said + 2 * ranking_loss(mean_iou(logits), rows.iou)


@torch.no_grad()
def _quality(judge: OwnJudge, rows: JudgedRows) -> dict[str, float]:
    """Loss, Pearson's correlation and mean absolute error of the predicted IoU."""
    judge.eval()
    parts = torch.split(torch.arange(len(rows.iou)), 128)
    logits = torch.cat([judge(rows.at(part)) for part in parts])
    means = mean_iou(logits)
    return {
        "loss": round(float(_loss(logits, rows)), 4),
        "r": correlation(means, rows.iou),
        "mae": round(float((means - rows.iou).abs().mean()), 4),
    }
