"""SFT of the embedded model: its state head learns what to write and, where the recipe says so, its grounding what is
meant; everything that sees stays frozen.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from segagent.core import InputError
from segagent.core.settings import claim, require_same
from segagent.core.texts import read_json
from segagent.cpu import precision
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.rl.replies import Played
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.embedded_losses import RowsLoss, given_loss, own_loss
from segagent.learning.sft.embedded_rows import Rows, collect_rows
from segagent.learning.sft.recipe import Recipe
from segagent.learning.sft.trained import Fresh, TrainedModel, TrainingWatch
from segagent.policies.embedded.network import load_network, save_network
from segagent.policies.embedded.policy import SHIPPED, weights_file
from segagent.policies.embedded.state_head import StateHead

_RESULT = "sft.json"
_SETTINGS = "settings.json"
_BEST = "best.pt"
_LOOKS_BACK = 20
"""How often the loss on the pictures that are kept apart is measured."""
_MOST_HELD_OUT = 240
_GROUNDING_RATE = 0.05
"""Share of the learning rate that the grounding learns at: unlike a fresh state head it has learnt much already."""
_OPTIONS = {
    "base": "--policy",
    "fresh": "--fresh",
    **{f"recipe.{n}": f"--{n.replace('_', '-')}" for n in ("epochs", "steps", "batch_size", "learning_rate", "seed")},
}


def train_embedded(
    rest: str,
    sets: Sequence[TrainingSet],
    out: Path,
    recipe: Recipe,
    *,
    fresh: Fresh,
    resume: bool,
    progress: TrainingWatch,
) -> TrainedModel:
    """Fine-tune the shipped model (``rest`` empty) or the one in the folder ``rest``; see ``train_policy_on``.

    Writes ``policy.safetensors``, ``policy.json``, a checkpoint, a JSONL log and ``sft.json``. The learnt weights are
    exponential averages. Results depend on the seed and the examples alone, not on interruptions.
    """
    base = weights_file(rest) if rest else SHIPPED
    settings: dict[str, object] = {"base": rest, "fresh": fresh, "recipe": recipe.to_dict(), "examples": _digest(sets)}
    finished = _finished(out, settings) if resume else None
    if finished is not None:
        return finished
    claim(out / _SETTINGS, settings, _OPTIONS, anew=not resume)
    began = time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # Small convolutions: more threads cost more than they give.
    try:
        network = load_network(base)
        rows = collect_rows(network, sets, progress)
        if not rows.rows:
            raise InputError("none of the examples' objects is found by the model's detector; nothing can be learnt")
        torch.manual_seed(recipe.seed)
        if fresh:
            network.state, network.prm = StateHead(depth_prior=fresh != "bare"), None
        if recipe.object_weight:
            network.prm = None  # It judges by what the grounding was; it is trained last.
        learning, loss = (own_loss if recipe.object_weight else given_loss)(network, rows, recipe)
        taught, held_out = _split(rows, recipe)
        total = recipe.num_steps(len(taught))
        budget = StageBudget(
            minutes=1e9,
            steps=total,
            learning_rate=recipe.learning_rate,
            warmup_steps=max(1, round(recipe.warmup * total)),
        )
        learning.requires_grad_(True)
        name, slower = (
            ("replies", (network.grounding, _GROUNDING_RATE)) if recipe.object_weight else ("state_head", None)
        )
        stage = Stage(name, learning, out, budget, resume=resume, slower=slower)
        if not resume:
            (out / _BEST).unlink(missing_ok=True)
        losses = _train(stage, loss, taught, held_out, recipe, progress)
        if held_out:
            stage.average.load_state_dict(torch.load(out / _BEST, weights_only=True)["weights"])
        if isinstance(stage.average, Played):
            stage.average.put_into(network)
        else:
            assert isinstance(stage.average, StateHead)
            network.state = stage.average
    finally:
        torch.set_num_threads(threads)
    result = {
        "steps": total,
        "examples": len(rows.rows),
        "left_out": rows.left_out,
        "losses": losses,
        "seconds": round(time.perf_counter() - began, 1),
        "precision": precision(),  # Of this session; the log tells it of every line. It decides no resumption.
    }
    save_network(out / SHIPPED.name, network.eval(), {"settings": settings, **result})
    (out / _RESULT).write_text(json.dumps({"settings": settings, **result}) + "\n")
    seconds = float(str(result["seconds"]))
    return TrainedModel(f"embedded:{out}", total, len(rows.rows), tuple(losses), seconds, rows.left_out)


def _split(rows: Rows, recipe: Recipe) -> tuple[list[int], list[int]]:
    """Numbers of the rows that are learnt from and of those that are kept apart, by picture; some of many of these."""
    pictures = sorted({row.picture for row in rows.rows})
    rng = np.random.default_rng((recipe.seed, 8))
    num_apart = min(len(pictures) - 1, math.ceil(recipe.held_out * len(pictures)))
    apart = {pictures[int(n)] for n in rng.permutation(len(pictures))[:num_apart]}
    taught = [number for number, row in enumerate(rows.rows) if row.picture not in apart]
    held_out = [number for number, row in enumerate(rows.rows) if row.picture in apart]
    some = rng.permutation(len(held_out))[:_MOST_HELD_OUT]
    return taught, sorted(held_out[int(n)] for n in some)


def _train(
    stage: Stage, loss_of: RowsLoss, taught: list[int], held_out: list[int], recipe: Recipe, progress: TrainingWatch
) -> list[tuple[int, float]]:
    """Train until the stage's budget is used up; (step, mean loss) about fifty times."""
    total = stage.budget.steps
    every, looks_back = max(1, total // 50), max(1, total // _LOOKS_BACK)
    losses: list[tuple[int, float]] = []
    recent: list[float] = []
    stage.network.train()
    for step in stage.batches():
        loss, measured = loss_of([taught[n] for n in _batch_of(step, len(taught), recipe)])
        stage.update(loss, **measured)
        recent.append(float(loss.detach()))
        if (step + 1) % every == 0 or step + 1 == total:
            losses.append((step + 1, float(np.mean(recent))))
            recent.clear()
            progress("training", step + 1, total, losses[-1][1])
        if held_out and ((step + 1) % looks_back == 0 or step + 1 == total):
            _keep_best(stage, loss_of, held_out, step + 1, recipe)
    return losses


@torch.no_grad()
def _keep_best(stage: Stage, loss_of: RowsLoss, held_out: list[int], step: int, recipe: Recipe) -> None:
    """Keep the averaged weights if none before had a lower loss on the rows that are kept apart."""
    # The loss is that of the weights in training, so the averaged ones take their place for as long.
    now = copy.deepcopy(stage.network.state_dict())
    stage.network.load_state_dict(stage.average.state_dict())
    stage.network.eval()
    size = recipe.batch_size
    parts = [held_out[start : start + size] for start in range(0, len(held_out), size)]
    measured = sum(float(loss_of(part)[0]) * len(part) for part in parts) / len(held_out)
    stage.network.load_state_dict(now)
    stage.network.train()
    stage.log({"held_out": round(measured, 4)})
    path = stage.folder / _BEST
    # What an interrupted training had measured later than its checkpoint is measured again, and is the same.
    if not path.exists() or measured < torch.load(path, weights_only=True)["loss"]:
        partial = path.with_suffix(".tmp")
        torch.save({"step": step, "loss": measured, "weights": stage.average.state_dict()}, partial)
        partial.replace(path)


def _batch_of(step: int, num_rows: int, recipe: Recipe) -> list[int]:
    """Which rows make batch number ``step``: each epoch is one shuffle, whole batches running over its end."""
    size = recipe.batch_size
    numbers = range(step * size, (step + 1) * size)
    epochs = {n // num_rows for n in numbers}
    orders = {epoch: np.random.default_rng((recipe.seed, 7, epoch)).permutation(num_rows) for epoch in epochs}
    return [int(orders[n // num_rows][n % num_rows]) for n in numbers]


def _digest(sets: Sequence[TrainingSet]) -> str:
    """Names the examples: other ones, or in another order, are another training."""
    digest = hashlib.blake2b(digest_size=12)
    for one in sets:
        for e in one.examples:
            digest.update(repr((e.sample_id, e.mask["counts"], e.current_iou, e.action)).encode())
    return digest.hexdigest()


def _finished(out: Path, settings: dict[str, object]) -> TrainedModel | None:
    """The result of a training that ended in ``out``; None if none did. Raises ``InputError`` for another one's."""
    path = out / _RESULT
    if not path.exists() or not (out / SHIPPED.name).exists():
        return None
    result = read_json(path, "remove the folder or choose another")
    try:
        before, model = dict(result["settings"]), TrainedModel.recorded(f"embedded:{out}", result)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({type(error).__name__}); remove the folder or choose another") from error
    require_same(out, before, settings, _OPTIONS)
    return model
