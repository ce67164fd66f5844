"""The embedded model taught by its own guesses: what is meant is learnt too, and the best weights are kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from segagent.core import InputError
from segagent.learning.policy.loop import StageBudget
from segagent.learning.sft import Recipe, default_recipe, embedded, load_annotator_set, train_policy_on
from segagent.learning.sft.embedded import _split
from segagent.learning.sft.embedded_losses import own_loss
from segagent.learning.sft.embedded_rows import Row, Rows, collect_rows, fitting
from segagent.policies.embedded.network import PolicyNetwork, load_network
from segagent.policies.embedded.policy import SHIPPED


def recipe(**changes: object) -> Recipe:
    return default_recipe("embedded", batch_size=4, learning_rate=0.002, object_weight=1.0, **changes)


@pytest.fixture(scope="module")
def network() -> PolicyNetwork:
    return load_network(SHIPPED)


@pytest.fixture(scope="module")
def rows(network: PolicyNetwork, d_0: Path) -> Rows:
    return collect_rows(network, [load_annotator_set(d_0)], lambda *_: None)


def test_a_state_on_the_wrong_object_teaches_which_is_meant(network: PolicyNetwork, rows: Rows) -> None:
    row = next(r for r in rows.rows if len(r.fits) > 1)
    other = (row.hypothesis + 1) % len(row.fits)
    fits = np.zeros_like(row.fits)
    fits[other] = 1
    wrong = Rows([replace(row, fits=fits, hypothesis=other)], rows.percepts, 0)
    learning, loss = own_loss(load_network(SHIPPED), wrong, recipe())
    learning.requires_grad_(True)
    optimizer = torch.optim.SGD(learning.parameters(), lr=0.02)
    _, before = loss([0])
    for _ in range(8):
        optimizer.zero_grad()
        value, measured = loss([0])
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimizer.step()
    assert measured["object"] < before["object"] - 0.5


def test_an_object_that_two_outlines_fit_is_softly_either(rows: Rows) -> None:
    percept = rows.percepts[0]
    solid = (percept.coverage[0] > 0.5).float()
    twice = replace(percept, coverage=torch.stack((solid, solid, torch.zeros_like(solid))))
    np.testing.assert_allclose(fitting(twice, solid.numpy()), [0.5, 0.5, 0], atol=1e-6)
    assert fitting(twice, np.zeros_like(solid.numpy())) is None


def test_grounding_and_state_head_learn_and_what_sees_does_not(
    network: PolicyNetwork, d_0: Path, tmp_path: Path
) -> None:
    trained = train_policy_on("embedded", [load_annotator_set(d_0)], tmp_path, recipe(steps=3))
    before, after = network.state_dict(), load_network(tmp_path / SHIPPED.name).state_dict()
    assert not any(name.startswith("prm.") for name in after)
    changed = {name.split(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert changed == {"grounding", "state"}
    assert trained.steps == 3


def test_pictures_are_kept_apart_as_a_whole() -> None:
    made = [Row(n % 5, "it", np.ones(1, np.float32), 0, {}, 0.5, None, np.zeros((1, 1), np.float16)) for n in range(20)]  # type: ignore[arg-type, typeddict-item]
    taught, apart = _split(Rows(made, [], 0), recipe(held_out=0.4))
    assert sorted(taught + apart) == list(range(20))
    assert len({n % 5 for n in apart}) == 2
    assert not {n % 5 for n in apart} & {n % 5 for n in taught}
    assert _split(Rows(made, [], 0), recipe()) == (list(range(20)), [])


def test_the_weights_that_do_best_on_pictures_kept_apart_are_the_result(
    d_0: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = [load_annotator_set(d_0)]
    monkeypatch.setattr(embedded, "StageBudget", partial(StageBudget, checkpoint_minutes=0.0))
    seen = []
    keep = embedded._keep_best

    def watched(stage: object, loss: object, held_out: object, step: int, settings: object) -> None:
        keep(stage, loss, held_out, step, settings)  # type: ignore[arg-type]
        seen.append(torch.load(tmp_path / "whole" / "best.pt", weights_only=True)["loss"])

    settings = recipe(steps=4, held_out=0.3)
    with monkeypatch.context() as patched:
        patched.setattr(embedded, "_keep_best", watched)
        train_policy_on("embedded", sets, tmp_path / "whole", settings, fresh=True)
    assert len(seen) == 4
    assert seen == sorted(seen, reverse=True)

    class StopError(Exception):
        pass

    def stop(what: str, done: int, total: int, loss: float) -> None:
        if what == "training" and done == 3:
            raise StopError

    with pytest.raises(StopError):
        train_policy_on("embedded", sets, tmp_path / "cut", settings, fresh=True, progress=stop)
    train_policy_on("embedded", sets, tmp_path / "cut", settings, fresh=True)
    whole, cut = ((tmp_path / name / SHIPPED.name).read_bytes() for name in ("whole", "cut"))
    assert whole == cut


def test_other_policies_are_told_that_they_know_no_such_setting(d_0: Path, tmp_path: Path) -> None:
    for setting in ({"object_weight": 0.5}, {"held_out": 0.1}):
        with pytest.raises(InputError, match="settings of the embedded model"):
            train_policy_on(f"hf:{tmp_path}", [load_annotator_set(d_0)], tmp_path, Recipe(**setting))


def test_recipes_of_before_say_the_same() -> None:
    plain = default_recipe("embedded")
    assert not {"object_weight", "held_out"} & set(plain.to_dict())
    assert recipe(held_out=0.1).to_dict()["held_out"] == 0.1
