import json
from functools import partial

import numpy as np
import pytest
import torch

from segagent.core import Click, InputError, Observation, decode_rle
from segagent.datasets import open_dataset
from segagent.environment import Episode
from segagent.learning.policy.loop import StageBudget
from segagent.learning.sft import default_recipe, embedded, load_annotator_set, train_policy_on
from segagent.learning.sft.embedded import _batch_of
from segagent.learning.sft.embedded_rows import collect_rows
from segagent.policies import make_policy
from segagent.policies.embedded.detector import GRID
from segagent.policies.embedded.network import load_network
from segagent.policies.embedded.policy import SHIPPED
from segagent.policies.embedded.state_head import BINS, Refined, StateHead
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool


class InterruptedHereError(Exception):
    pass


def recipe(**changes):
    return default_recipe("embedded", **{"batch_size": 4, "learning_rate": 0.002, "steps": 12, **changes})


def weights(out):
    return load_network(out / SHIPPED.name).state_dict()


def test_rows_say_what_the_examples_say(d_0):
    one = load_annotator_set(d_0)
    rows, percepts, left_out = collect_rows(load_network(SHIPPED), [one], lambda *_: None)
    assert len(rows) + left_out == len(one.examples)
    assert len(rows) > len(one.examples) // 2
    assert len(percepts) == 4
    by_mask = {(e.mask["counts"], e.current_iou): e for e in one.examples}
    for row in rows:
        example = by_mask[row.mask["counts"], row.iou]
        if row.click is None:
            assert not isinstance(example.action, Click)
            continue
        positive, x, y = row.click
        assert 0 <= x < BINS
        assert 0 <= y < BINS
        assert any(
            (e.action.positive, e.action.x * BINS // 256, e.action.y * BINS // 256) == (positive, x, y)
            for e in one.examples
            if isinstance(e.action, Click) and e.mask == row.mask
        )


def test_training_lowers_the_loss_touches_the_heads_only_and_makes_a_policy(d_0, tmp_path):
    out = tmp_path / "model"
    one = load_annotator_set(d_0)
    trained = train_policy_on("embedded", [one], out, recipe(steps=40), fresh=True)
    assert trained.spec == f"embedded:{out}"
    assert trained.losses[-1][0] == 40
    assert trained.examples + trained.left_out == len(one.examples)
    first, last = (np.mean([loss for _, loss in part]) for part in (trained.losses[:8], trained.losses[-8:]))
    assert last < first - 0.3
    before, after = load_network(SHIPPED).state_dict(), weights(out)
    # A process reward model learnt from another state head is left out: it is trained last.
    assert not any(name.startswith("prm.") for name in after)
    kept = [name for name in before if not name.startswith("prm.")]
    changed = {name.split(".")[0] for name in kept if not torch.equal(before[name], after[name])}
    assert changed - {"reward"} == {"state"}  # A fresh reward head may equal the shipped one, which is neutral.
    policy = make_policy(trained.spec)
    assert policy.name == trained.spec
    sample = next(iter(one.dataset))
    (trajectory,) = run_search(
        [Episode(sample.load_image(), sample.text)], policy, make_tool("grabcut"), SearchConfig(max_steps=2)
    )
    assert all(isinstance(step.action, Click) for step in trajectory.steps)


def test_an_interrupted_training_ends_with_the_same_weights(d_0, tmp_path, monkeypatch):
    sets = [load_annotator_set(d_0)]
    train_policy_on("embedded", sets, tmp_path / "whole", recipe(), fresh=True)
    # A checkpoint after every step instead of every two minutes.
    monkeypatch.setattr(embedded, "StageBudget", partial(StageBudget, checkpoint_minutes=0.0))

    def stop(what, done, total, loss):
        if what == "training" and done == 5:
            raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        train_policy_on("embedded", sets, tmp_path / "cut", recipe(), fresh=True, progress=stop)
    seen = []
    train_policy_on(
        "embedded", sets, tmp_path / "cut", recipe(), fresh=True, progress=lambda w, d, t, x: seen.append((w, d))
    )
    assert ("training", 4) not in seen
    assert ("training", 12) in seen
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_finished_training_is_not_done_again_and_not_mistaken_for_another(d_0, tmp_path):
    sets = [load_annotator_set(d_0)]
    first = train_policy_on("embedded", sets, tmp_path, recipe(steps=2), fresh=True)
    seen = []
    again = train_policy_on("embedded", sets, tmp_path, recipe(steps=2), fresh=True, progress=lambda *a: seen.append(a))
    assert again == first
    assert not seen
    with pytest.raises(InputError, match=r"other settings.*recipe\.steps 2, now 3 \(--steps\)"):
        train_policy_on("embedded", sets, tmp_path, recipe(steps=3), fresh=True)


def test_a_checkpoint_of_other_examples_is_not_gone_on_from(d_0, tmp_path):
    one = load_annotator_set(d_0)

    def stop(what, done, total, loss):
        raise InterruptedHereError

    with pytest.raises(InterruptedHereError):
        train_policy_on("embedded", [one], tmp_path, recipe(steps=2), fresh=True, progress=stop)
    other = type(one)(one.dataset, list(one.examples)[::-1])  # as many, in another order
    with pytest.raises(InputError, match=r"other settings .*the training examples have changed"):
        train_policy_on("embedded", [other], tmp_path, recipe(steps=2), fresh=True)


def test_a_bare_head_has_to_learn_where_to_click(d_0, tmp_path):
    depths = torch.rand(1, 2, BINS, BINS, generator=torch.Generator().manual_seed(0)) * 9
    nothing = Refined(torch.zeros(1, GRID, GRID), torch.zeros(1, 2, GRID, GRID), torch.zeros(1, 64))
    place = {
        prior: StateHead(depth_prior=prior).decide(nothing, torch.zeros(1, GRID, GRID), depths).place
        for prior in (True, False)
    }
    assert torch.equal(place[True].flatten(2).argmax(2), depths.flatten(2).argmax(2))  # The annotator's rule.
    assert not place[False].any()
    for fresh, low, high in ((True, 0.9, 1.1), ("bare", 0.0, 0.1)):
        out = tmp_path / str(fresh)
        train_policy_on("embedded", [load_annotator_set(d_0)], out, recipe(steps=1), fresh=fresh)
        assert low <= float(weights(out)["state.depth_weights"][0, 0].abs()) <= high
    with pytest.raises(InputError, match="other settings"):
        train_policy_on("embedded", [load_annotator_set(d_0)], tmp_path / "bare", recipe(steps=1), fresh=True)


def test_only_the_embedded_model_starts_fresh(d_0, tmp_path):
    with pytest.raises(InputError, match="cannot start fresh"):
        train_policy_on(f"hf:{tmp_path}", [load_annotator_set(d_0)], tmp_path, recipe(), fresh=True)


def test_each_epoch_takes_every_row_once():
    settings = recipe(batch_size=4)
    taken = [i for step in range(5) for i in _batch_of(step, 10, settings)]
    assert sorted(taken[:10]) == sorted(taken[10:20]) == list(range(10))
    assert taken[:10] != taken[10:20]


def test_a_data_set_that_changed_is_refused(d_0, tmp_path):
    lines = d_0.read_text().splitlines()
    header = json.loads(lines[0])
    del header["crc"]  # Lines without one are those of earlier versions.
    header["notes"]["dataset"] = "scenes:7:seed=31,split=train,sentences=1"
    path = tmp_path / "moved.jsonl"
    path.write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
    with pytest.raises(InputError, match="has changed"):
        load_annotator_set(path)


@pytest.mark.slow
def test_a_mask_that_was_overfitted_is_judged_as_taught(d_0, tmp_path):
    """The predicted IoU comes out of the same reply that search reads: teach six states, ask for them again."""
    one = load_annotator_set(d_0)
    few = type(one)(one.dataset, [e for e in one.examples if e.image == one.examples[0].image][:6])
    trained = train_policy_on("embedded", [few], tmp_path, recipe(steps=80, batch_size=6, learning_rate=0.004))
    policy = make_policy(trained.spec)
    image = open_dataset(one.dataset.spec).load_image(few.examples[0].image)
    asked = [Observation(image, e.text, decode_rle(e.mask)) for e in few.examples]
    said = [replies[0].predicted_iou for replies in policy.propose(asked)]
    errors = [abs(a - e.current_iou) for a, e in zip(said, few.examples, strict=True)]
    assert np.mean(errors) < 0.12
