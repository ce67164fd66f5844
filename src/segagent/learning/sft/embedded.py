"""SFT of the embedded model: its state head learns what to write, everything that sees and reads stays frozen."""

from __future__ import annotations

import hashlib
import json
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
from segagent.learning.policy.train_states import judge, state_loss
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.embedded_rows import Rows, collect_rows, reply_batch
from segagent.learning.sft.recipe import Recipe
from segagent.learning.sft.trained import Fresh, TrainedModel, TrainingWatch
from segagent.policies.embedded.network import load_network, save_network
from segagent.policies.embedded.policy import SHIPPED, weights_file
from segagent.policies.embedded.state_head import StateHead

_RESULT = "sft.json"
_SETTINGS = "settings.json"
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
        total = recipe.num_steps(len(rows.rows))
        budget = StageBudget(
            minutes=1e9,
            steps=total,
            learning_rate=recipe.learning_rate,
            warmup_steps=max(1, round(recipe.warmup * total)),
        )
        network.state.requires_grad_(True)
        stage = Stage("state_head", network.state, out, budget, resume=resume)
        losses = _train(stage, rows, recipe, progress)
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


def _train(stage: Stage, rows: Rows, recipe: Recipe, progress: TrainingWatch) -> list[tuple[int, float]]:
    """Train until the stage's budget is used up; (step, mean loss) about fifty times."""
    network = stage.network
    assert isinstance(network, StateHead)
    network.train()
    total = stage.budget.steps
    every = max(1, total // 50)
    losses: list[tuple[int, float]] = []
    recent: list[float] = []
    for step in stage.batches():
        chosen = _batch_of(step, len(rows.rows), recipe)
        batch = reply_batch([rows.rows[i] for i in chosen], rows.percepts)
        loss, measured = state_loss(*judge(network, batch), batch, outline_weight=recipe.outline_weight)
        stage.update(loss, **measured)
        recent.append(float(loss.detach()))
        if (step + 1) % every == 0 or step + 1 == total:
            losses.append((step + 1, float(np.mean(recent))))
            recent.clear()
            progress("training", step + 1, total, losses[-1][1])
    return losses


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
