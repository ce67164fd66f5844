"""Run by a launcher as one of several processes: trains the examples (START OUT FORMAT)."""

import os
import sys
from pathlib import Path

import torch
from sft_examples import training_set

from segagent.learning.sft import Recipe, train_policy_on

if __name__ == "__main__":
    start, out, fmt = sys.argv[1:]
    torch.set_num_threads(1)
    recipe = Recipe(
        steps=4,
        batch_size=4,
        micro_batch=1,
        learning_rate=1e-3,
        dtype="float32",
        format=fmt,
        gradient_checkpointing=False,
    )
    told: list[int] = []
    sets = [training_set()]
    model = train_policy_on(start, sets, Path(out), recipe, progress=lambda what, done, *_: told.append(done))
    again = train_policy_on(start, sets, Path(out), recipe)
    assert again == model, (again, model)
    # One write: what two processes print at once must not end up within a line.
    os.write(1, f"told {told}\n".encode())
