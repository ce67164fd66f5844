"""``hf:`` through the real loading code, on random-weight checkpoints of real architectures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_checkpoints import make_llava, make_qwen25, make_qwen_vl

from segagent.conformance.policies import PolicyConformance, observation
from segagent.core import (
    Click,
    Image,
    InvalidAction,
    Observation,
    SpecError,
    Trajectory,
    WeightsError,
    frozen_mask,
    total_usage,
)
from segagent.environment import Episode
from segagent.policies import make_policy
from segagent.policies.chat import FORMATS, ChatPolicy, Fixed, Multiples, ask
from segagent.policies.hf.model import LocalModel
from segagent.search import SearchConfig, rollout, run_search
from segagent.tools.fake import DiscTool

MAKERS = {"qwen2.5": make_qwen25, "llava": make_llava, "qwen-vl": make_qwen_vl}
FORMAT_OF = {"qwen2.5": "qwen2.5", "llava": "paper", "qwen-vl": "segagent-qwen"}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return {name: make(tmp_path_factory.mktemp(name.replace(".", ""))) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def policies(folders: dict[str, Path]) -> dict[str, ChatPolicy]:
    made = {name: make_policy(f"hf:{folder}?max_tokens=12&batch=4") for name, folder in folders.items()}
    return {name: policy for name, policy in made.items() if isinstance(policy, ChatPolicy)}


LOOKS = [
    observation(40 + 30 * n, 90 - 10 * n, text, seed=n) for n, text in enumerate(("the mug", "a <image> trap", "x"))
]


@pytest.mark.parametrize("name", MAKERS)
def test_loads_and_replies(name: str, policies: dict[str, ChatPolicy], folders: dict[str, Path]) -> None:
    policy = policies[name]
    assert policy.format.name == FORMAT_OF[name]
    before = policy.usage
    rows = policy.propose(LOOKS, 3, temperature=1.0, seeds=[1, 2, 3])
    assert [len(row) for row in rows] == [3, 3, 3]
    for row in rows:
        for proposal in row:
            assert isinstance(proposal.action, InvalidAction)
            assert proposal.log_prob is not None
            assert proposal.log_prob < 0
    spent = policy.usage - before
    assert spent.replies == 9
    assert spent.calls == 1
    assert spent.prompt_tokens > 100
    assert policy.name.startswith(f"hf:{folders[name]}?")


@pytest.mark.parametrize("name", MAKERS)
def test_replies_keep_their_tokens_where_they_are_told_to(
    name: str, policies: dict[str, ChatPolicy], folders: dict[str, Path]
) -> None:
    assert all(one.tokens is None for row in policies[name].propose(LOOKS[:1]) for one in row)
    policy = make_policy(f"hf:{folders[name]}?max_tokens=5&keep_tokens=1")
    assert isinstance(policy, ChatPolicy)
    model = policy.model
    assert isinstance(model, LocalModel)
    tokenizer = model.checkpoint.tokenizer
    for look, row in zip(LOOKS, policy.propose(LOOKS, 2, temperature=1.0, seeds=[1, 2, 3]), strict=True):
        for reply in row:
            told = reply.tokens
            assert told is not None
            assert reply.log_prob == pytest.approx(sum(told.log_probs))
            assert tokenizer.decode(list(told.ids), skip_special_tokens=False).startswith(reply.text)
            # Read at once behind the prompt, they are as likely as they were when they were written one by one.
            inputs = model._inputs([ask(policy.format, look)])
            length, ids = inputs["input_ids"].shape[1], torch.tensor([told.ids])
            for part, behind in (("input_ids", ids), ("attention_mask", torch.ones_like(ids))):
                inputs[part] = torch.cat([inputs[part], behind], dim=1)
            if "mm_token_type_ids" in inputs:
                inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(ids)], dim=1)
            with torch.no_grad():
                logits = model.checkpoint.model(**inputs).logits[0, length - 1 : -1]
            log_probs = torch.log_softmax(logits.float(), -1).gather(1, ids.T)[:, 0]
            assert log_probs.tolist() == pytest.approx(told.log_probs, abs=1e-3)
    (record,) = run_search([Episode(LOOKS[0].image, "the mug", "0")], policy, DiscTool(), SearchConfig(max_steps=2))
    assert all(step.tokens is not None for step in record.steps)
    assert Trajectory.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize("config", [SearchConfig(max_steps=2), SearchConfig(max_steps=2, use_prm=False)])
def test_usage_is_in_the_trajectories(policies: dict[str, ChatPolicy], config: SearchConfig) -> None:
    policy = policies["qwen2.5"]
    before = policy.usage
    episodes = [Episode(look.image, "the mug" * (1 + n), str(n)) for n, look in enumerate(LOOKS)]
    trajectories = list(rollout(episodes, policy, DiscTool(), config))
    spent = policy.usage - before
    parts = [trajectory.usage for trajectory in trajectories]
    total = total_usage(parts)
    assert total is not None
    assert total.calls == sum(trajectory.num_policy_calls for trajectory in trajectories)
    assert (total.replies, total.prompt_tokens) == (spent.replies, spent.prompt_tokens)
    assert total.completion_tokens == spent.completion_tokens
    assert total.seconds == pytest.approx(spent.seconds)
    assert parts[2] is not None
    assert parts[0] is not None
    assert parts[2].prompt_tokens != parts[0].prompt_tokens


@pytest.mark.parametrize("name", MAKERS)
def test_conforms(name: str, policies: dict[str, ChatPolicy]) -> None:
    suite = PolicyConformance()
    suite.test_greedy_is_deterministic_and_the_first_of_several(lambda: policies[name])
    suite.test_the_observation_is_left_as_it_was(lambda: policies[name])


@pytest.mark.parametrize("name", MAKERS)
def test_seeds_decide_samples_whatever_the_batch(name: str, policies: dict[str, ChatPolicy]) -> None:
    policy = policies[name]
    together = [[p.text for p in row] for row in policy.propose(LOOKS, 4, temperature=1.0, seeds=[5, 6, 7])]
    alone = [
        [p.text for p in policy.propose([look], 4, temperature=1.0, seeds=[seed])[0]]
        for look, seed in zip(LOOKS, (5, 6, 7), strict=True)
    ]
    assert alone == together
    assert len(set(together[0])) == 4
    fewer = policy.propose(LOOKS[:1], 2, temperature=1.0, seeds=[5])[0]
    assert [p.text for p in fewer] == together[0][:2]


@pytest.mark.parametrize("name", MAKERS)
def test_greedy_is_the_librarys_own(name: str, policies: dict[str, ChatPolicy]) -> None:
    """One prefill shared by several replies gives what ``generate`` gives, log-probability included."""
    policy = policies[name]
    model = policy.model
    assert isinstance(model, LocalModel)
    from segagent.policies.chat import ask

    inputs = model._inputs([ask(policy.format, look) for look in LOOKS])
    settings = transformers.GenerationConfig(
        max_new_tokens=12,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        eos_token_id=sorted(model._end_tokens),
        pad_token_id=model.checkpoint.tokenizer.pad_token_id,
    )
    with torch.no_grad():
        output = model.checkpoint.model.generate(**inputs, generation_config=settings)
    tokens = output.sequences[:, inputs["input_ids"].shape[1] :]
    rows = policy.propose(LOOKS, 3, temperature=0.7, seeds=[1, 2, 3])
    scores = torch.log_softmax(torch.stack(output.logits, 1), -1).gather(2, tokens[..., None])[..., 0]
    for number, row in enumerate(rows):
        ends = [i for i, t in enumerate(tokens[number].tolist()) if t in model._end_tokens]
        stop = ends[0] if ends else tokens.shape[1]
        assert row[0].text == model.checkpoint.tokenizer.decode(tokens[number, :stop])
        assert row[0].log_prob == pytest.approx(float(scores[number, : stop + 1].sum()), abs=1e-3)


@pytest.mark.parametrize("name", MAKERS)
def test_missing_weights_are_not_made_up(name: str, folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[name], tmp_path / "part")
    weights = load_file(tmp_path / "part" / "model.safetensors")
    gone = sorted(weights)[len(weights) // 2]
    del weights[gone]
    save_file(weights, tmp_path / "part" / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=f"these weights are missing: .*{gone.rpartition('.')[0][-12:]}"):
        make_policy(f"hf:{tmp_path / 'part'}")


def test_samples_follow_the_models_distribution() -> None:
    """First tokens of many samples against the softmax they are drawn from."""
    from segagent.policies.hf.decoding import choose

    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(4000, 1)
    chosen, _ = choose(logits, torch.from_numpy(np.random.default_rng(3).random(4000)), 0.5)
    expected = torch.softmax(logits[0] / 0.5, -1).numpy()
    np.testing.assert_allclose(np.bincount(chosen, minlength=4) / 4000, expected, atol=0.03)


def test_resized_picture_is_the_one_the_processor_makes(policies: dict[str, ChatPolicy]) -> None:
    """Coordinates are pixels of our resized picture, so the checkpoint's own processor must leave it as it is."""
    policy = policies["qwen2.5"]
    model = policy.model
    assert isinstance(model, LocalModel)
    assert policy.format.resize == Multiples(28, 3136, 50176)
    from segagent.policies.chat import ask

    for height, width in ((480, 640), (300, 100), (30, 40), (1000, 333)):
        look = Observation(
            Image.of(np.zeros((height, width, 3), np.uint8)), "x", frozen_mask(np.zeros((height, width), np.bool_))
        )
        (grid,) = model._inputs([ask(policy.format, look)])["image_grid_thw"].tolist()
        assert (grid[1] * 14, grid[2] * 14) == policy.format.shown((height, width))


def test_a_processor_that_crops_is_shown_the_whole_picture(policies: dict[str, ChatPolicy]) -> None:
    """LLaVA-1.5's cuts out the middle square; a click is to mean a place in the whole picture."""
    policy = policies["llava"]
    model = policy.model
    assert isinstance(model, LocalModel)
    assert policy.format.resize == Fixed(28, 28)
    from segagent.policies.chat import ask

    pixels = np.zeros((60, 200, 3), np.uint8)
    pixels[:, :20], pixels[:, -20:] = (255, 0, 0), (0, 0, 255)
    look = Observation(Image.of(pixels), "x", frozen_mask(np.zeros((60, 200), np.bool_)))
    (seen,) = model._inputs([ask(policy.format, look)])["pixel_values"]
    red, blue = seen[0].mean(dim=0), seen[2].mean(dim=0)
    assert red[0] > red[14] + 1
    assert blue[-1] > blue[14] + 1
    assert policy.format.parse("Positive point: (990, 500)", 60, 200)[0] == Click(198, 30, True)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapter(folders: dict[str, Path], tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = transformers.AutoModelForImageTextToText.from_pretrained(folders["llava"])
    settings = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    torch.manual_seed(1)
    peft.get_peft_model(base, settings).save_pretrained(tmp_path)
    named = json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(folders["llava"])
    policy = make_policy(f"hf:{tmp_path}?max_tokens=12")
    plain = make_policy(f"hf:{folders['llava']}?max_tokens=12")
    assert [p.log_prob for p in policy.propose(LOOKS[:1])[0]] != [p.log_prob for p in plain.propose(LOOKS[:1])[0]]


def test_format_can_be_overridden(folders: dict[str, Path]) -> None:
    policy = make_policy(f"hf:{folders['llava']}?format=qwen3&max_tokens=4")
    assert isinstance(policy, ChatPolicy)
    assert policy.format == replace(FORMATS["qwen3"], resize=Fixed(28, 28))
    assert policy.propose(LOOKS[:1])[0][0].action == InvalidAction(
        policy.propose(LOOKS[:1])[0][0].text,
        policy.propose(LOOKS[:1])[0][0].action.reason,  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("rest", ["", "x?dtype=int8", "x?batch=0", "x?colour=1", "x?format=nonsense"])
def test_unusable_specifications(rest: str) -> None:
    with pytest.raises(SpecError):
        make_policy(f"hf:{rest}")


def test_weights_that_could_hold_code_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(folders["llava"], folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="safetensors"):
        make_policy(f"hf:{folder}")


def test_unusable_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no vision-language model"):
        make_policy(f"hf:{tmp_path}")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="adapter"):
        make_policy(f"hf:{tmp_path}")
    (tmp_path / "adapter_config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2_5_vl"}))
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError):
        make_policy(f"hf:{tmp_path}")
