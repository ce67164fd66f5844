"""What the embedded model is taught by: the reply, under the right object or under the policy's own guess of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.core import decode_rle
from segagent.learning.policy.train_detector import outline_loss
from segagent.learning.policy.train_states import judge, soft_iou_labels, state_loss
from segagent.learning.rl.replies import Look, Played, Regions, guess, looks_of, regions_of
from segagent.learning.sft.embedded_rows import Row, Rows, reply_batch
from segagent.learning.sft.recipe import Recipe
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import MAX_OBJECTS
from segagent.policies.embedded.reading import see_mask
from segagent.policies.embedded.state_head import BINS
from segagent.policies.embedded.tokens import PADDING

RowsLoss: TypeAlias = Callable[[Sequence[int]], tuple[Tensor, dict[str, float]]]
"""The loss on rows by their numbers, and what was measured."""


def given_loss(network: PolicyNetwork, rows: Rows, recipe: Recipe) -> tuple[nn.Module, RowsLoss]:
    """The state head learns what to write where the target has told which object is meant."""

    def loss(chosen: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        batch = reply_batch([rows.rows[i] for i in chosen], rows.percepts)
        return state_loss(*judge(network.state, batch), batch, outline_weight=recipe.outline_weight)

    return network.state, loss


def own_loss(network: PolicyNetwork, rows: Rows, recipe: Recipe) -> tuple[nn.Module, RowsLoss]:
    """Grounding and state head learn together: the likelihood of the reply as the policy would write it, its own
    guesses mixed, and of the object that is meant. So a state in which it was wrong about the object teaches it that.
    """
    regions = _regions(network, rows)
    words = [network.vocabulary.encode(row.text) for row in rows.rows]

    def loss(chosen: Sequence[int]) -> tuple[Tensor, dict[str, float]]:
        taught = [rows.rows[i] for i in chosen]
        looks = [_look(rows, i, regions) for i in chosen]
        text = _padded([words[i] for i in chosen])
        guessed, said = guess(network, text, looks)
        click = torch.tensor([row.click is not None for row in taught]).float()
        tokens = torch.tensor([_token(row) for row in taught])
        wrote = -(said.sign.gather(1, tokens[:, :1])[:, 0] + 0.4 * _place(said.place, tokens)) * click
        ious = torch.tensor([row.iou for row in taught], dtype=torch.float32)
        judged = -(soft_iou_labels(ious) * said.iou).sum(1).mean()
        fits = torch.zeros(len(taught), MAX_OBJECTS + 1)
        for number, row in enumerate(taught):
            fits[number, 1 : 1 + len(row.fits)] = torch.from_numpy(row.fits)
        meant = guessed.logits[:, : MAX_OBJECTS + 1]
        object_loss = -(fits * meant.log_softmax(1)).sum(1).mean()
        total = wrote.sum() / click.sum().clamp(min=1) + 0.5 * judged + recipe.object_weight * object_loss
        right = fits.gather(1, meant.argmax(1, keepdim=True))[:, 0] > 0
        measured = {"object": float(object_loss.detach()), "right": float(right.float().mean())}
        if recipe.outline_weight:
            kept, wanted, at = [], [], 0
            for row, hypotheses in zip(taught, guessed.hypotheses, strict=True):
                if row.hypothesis in hypotheses:
                    kept.append(at + hypotheses.index(row.hypothesis))
                    wanted.append(row.coverage.astype(np.float32))
                at += len(hypotheses)
            if kept:
                outlines, measured["outline_iou"] = outline_loss(
                    guessed.refined.target[kept], torch.from_numpy(np.stack(wanted))
                )
                total = total + recipe.outline_weight * outlines
        return total, measured

    return Played(network), loss


def _regions(network: PolicyNetwork, rows: Rows) -> Regions:
    """What each row's mask lies on; it does not change while grounding and state head learn."""
    found = [
        regions_of(network, rows.percepts[row.picture], [see_mask(rows.percepts[row.picture], decode_rle(row.mask))])
        for row in rows.rows
    ]
    return Regions(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _look(rows: Rows, number: int, regions: Regions) -> Look:
    row = rows.rows[number]
    percept = rows.percepts[row.picture]
    seen = see_mask(percept, decode_rle(row.mask))
    (look,) = looks_of(percept, [seen], Regions(*(part[number : number + 1] for part in regions)))
    return look


def _padded(numbers: Sequence[Sequence[int]]) -> Tensor:
    longest = max(map(len, numbers))
    return torch.stack([functional.pad(torch.tensor(one), (0, longest - len(one)), value=PADDING) for one in numbers])


def _token(row: Row) -> tuple[int, int]:
    """Sign (0 positive) and place of the row's click; of none, any."""
    if row.click is None:
        return 0, 0
    positive, x, y = row.click
    return int(not positive), y * BINS + x


def _place(places: Tensor, tokens: Tensor) -> Tensor:
    picked: Tensor = places[torch.arange(len(tokens)), tokens[:, 0], tokens[:, 1]]
    return picked
