"""Fine-tuning of tiny random-weight checkpoints through the real library, and what becomes of the result."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from sft_examples import EXAMPLES, observation_of, short_format, training_set
from tiny_checkpoints import make_convnext_llava, make_llava, make_qwen3, make_qwen25

from segagent.core import Image, InputError, MissingExtraError, Observation, SpecError, WeightsError, empty_mask
from segagent.environment import Episode
from segagent.learning.examples import Example
from segagent.learning.sft import Recipe, TrainedModel, default_recipe, load_recipe, train_policy_on
from segagent.learning.sft.hf import recipe_name
from segagent.learning.sft.hf.model import forget_read_names, is_vision
from segagent.learning.sft.hf.order import training_order
from segagent.policies import make_policy
from segagent.policies.chat import ChatPolicy, ask
from segagent.policies.hf.model import LocalModel
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool

# The library that adds adapters still asks models by a name that they call old.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

MAKERS = {"llava": make_llava, "qwen2.5": make_qwen25, "qwen3": make_qwen3}
FAMILIES = ["llava", "qwen2.5", pytest.param("qwen3", marks=pytest.mark.slow)]
Trained = dict[str, TrainedModel]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return {name: make(tmp_path_factory.mktemp(name.replace(".", ""))) for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> str:
    return short_format(tmp_path_factory.mktemp("format"))


def recipe(short: str, **changes: Any) -> Recipe:
    settings = {"steps": 120, "batch_size": 5, "micro_batch": 5, "learning_rate": 1e-2, "dtype": "float32"}
    return Recipe(**(settings | {"format": short, "gradient_checkpointing": False} | changes))


@pytest.fixture(scope="module")
def trained(folders: dict[str, Path], short: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Each checkpoint fully trained on the examples."""

    class OnDemand(Trained):
        def __missing__(self, name: str) -> TrainedModel:
            out = tmp_path_factory.mktemp("full")
            self[name] = train_policy_on(f"hf:{folders[name]}", [training_set()], out, recipe(short))
            return self[name]

    return OnDemand()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def folder_of(model: TrainedModel) -> Path:
    return Path(model.spec.removeprefix("hf:"))


def chat_policy(spec: str) -> ChatPolicy:
    policy = make_policy(spec)
    assert isinstance(policy, ChatPolicy)
    return policy


def check_answers(spec: str, examples: tuple[Example, ...]) -> None:
    policy = chat_policy(f"{spec}?max_tokens=40")
    rows = policy.propose([observation_of(one) for one in examples])
    for one, (proposal,) in zip(examples, rows, strict=True):
        if one.action is None:
            assert proposal.text.startswith(f"Current IoU: {round(100 * one.current_iou)}%.")
        else:
            image = observation_of(one).image
            rendered = policy.format.render(one.action, image.height, image.width, one.current_iou)
            assert proposal.text == rendered
            assert proposal.predicted_iou == pytest.approx(one.current_iou, abs=0.006)


@pytest.mark.parametrize("name", ["llava", "qwen2.5"])
def test_what_zero_3_read_is_saved_under_names_that_can_be_read(
    name: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.conversion_mapping import get_model_conversion_mapping

    model = transformers.AutoModelForImageTextToText.from_pretrained(folders[name])
    model._weight_conversions = get_model_conversion_mapping(model)  # What DeepSpeed's way of reading leaves.
    monkeypatch.setattr("segagent.learning.sft.hf.model.is_deepspeed_zero3_enabled", lambda: True)
    forget_read_names(model)
    model.save_pretrained(tmp_path)
    assert weights_of(tmp_path).keys() == weights_of(folders[name]).keys()


def test_a_convnext_tower_stays_as_it_is_and_the_projector_learns(short: str, tmp_path: Path) -> None:
    """The paper's LLaVA as far as the library has it: all language weights, then an adapter on top."""
    pytest.importorskip("timm")
    start = make_convnext_llava(tmp_path / "start")
    model = train_policy_on(f"hf:{start}", [training_set()], tmp_path / "full", recipe(short, steps=40))
    assert model.losses[-1][1] < model.losses[0][1] - 1
    before, after = weights_of(start), weights_of(folder_of(model))
    assert before.keys() == after.keys()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any("multi_modal_projector" in name for name in changed)
    assert any("language_model" in name for name in changed)
    assert not any(is_vision(name) for name in changed)
    assert sum(is_vision(name) for name in after) > 20
    settings = recipe(short, steps=2, lora_rank=2, lora_projector=True)
    adapter = train_policy_on(model.spec, [training_set()], tmp_path / "lora", settings)
    ((proposal,),) = chat_policy(f"{adapter.spec}?max_tokens=8").propose([observation_of(EXAMPLES[0])])
    assert proposal.text


@pytest.mark.parametrize("name", FAMILIES)
def test_overfitted_model_answers_what_it_was_taught(name: str, trained: Trained) -> None:
    model = trained[name]
    assert model.steps == 120
    assert model.examples == len(EXAMPLES)
    assert model.losses[0][1] > 5
    assert model.losses[-1][1] < 0.1
    assert [step for step, _ in model.losses] == list(range(1, 121))
    check_answers(model.spec, EXAMPLES)


@pytest.mark.parametrize("name", FAMILIES)
def test_vision_stays_and_all_else_learns(name: str, trained: Trained, folders: dict[str, Path]) -> None:
    before, after = weights_of(folders[name]), weights_of(folder_of(trained[name]))
    assert before.keys() == after.keys()
    vision = {key for key in before if is_vision(key)}
    assert len(vision) > 10
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert not vision & changed
    assert any("merger" in key or "projector" in key for key in changed)
    assert any("language_model" in key or "layers.0.self_attn" in key for key in changed)


@pytest.mark.parametrize("name", FAMILIES)
def test_folder_holds_all_that_is_needed(name: str, trained: Trained, folders: dict[str, Path]) -> None:
    folder = folder_of(trained[name])
    files = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja", "recipe.toml"} <= files
    assert not {path.suffix for path in folder.rglob("*")} & {".bin", ".pt", ".pth", ".pkl"}
    assert not (folder / "checkpoints").exists()
    then, now = (json.loads((one / "config.json").read_text()) for one in (folders[name], folder))
    for half in ("text_config", "vision_config"):
        now[half].pop("dtype")  # Written by the library where it was left out.
    assert then == now
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == list(trained[name].losses)
    assert chat_policy(trained[name].spec).format.name == "short"
    assert chat_policy(f"{trained[name].spec}?format=qwen3").format.name == "qwen3"


def test_a_finished_training_is_returned_as_it_is(trained: Trained, folders: dict[str, Path], short: str) -> None:
    folder = folder_of(trained["llava"])
    before = (folder / "model.safetensors").stat().st_mtime_ns
    again = train_policy_on(f"hf:{folders['llava']}", [training_set()], folder, recipe(short))
    assert again == replace(trained["llava"], spec=again.spec)
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"other settings.*learning_rate 0.01, now 0.02"):
        train_policy_on(f"hf:{folders['llava']}", [training_set()], folder, recipe(short, learning_rate=0.02))
    with pytest.raises(InputError, match=r"other settings.*data"):
        train_policy_on(f"hf:{folders['llava']}", [training_set(*EXAMPLES[:3])], folder, recipe(short))


# Each example with the reply of the next: an adapter cannot make a base write tokens that it never wrote.
RETAUGHT = tuple(
    replace(one, action=other.action, current_iou=other.current_iou)
    for one, other in zip(EXAMPLES[:3], (EXAMPLES[1], EXAMPLES[2], EXAMPLES[0]), strict=True)
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llava", *list(MAKERS)[1:]])
def test_lora_on_a_trained_model(name: str, trained: Trained, short: str, tmp_path: Path) -> None:
    base = folder_of(trained[name])
    before = weights_of(base)
    changes = recipe(short, lora_rank=8, lora_alpha=16, steps=80, batch_size=3, micro_batch=3, format="")
    model = train_policy_on(f"hf:{base}", [training_set(*RETAUGHT)], tmp_path / "lora", changes)
    assert model.losses[0][1] > 0.3
    assert model.losses[-1][1] < model.losses[0][1] / 5
    after = weights_of(base)
    assert all(torch.equal(before[key], after[key]) for key in before)
    adapter = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    assert not any(is_vision(key) or "merger" in key or "projector" in key for key in adapter)
    assert len(adapter) == 2 * 7 * 2  # Two matrices each for seven linear layers in two blocks.
    assert not (tmp_path / "lora" / "model.safetensors").exists()
    check_answers(model.spec, RETAUGHT)
    settings = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(base)


@pytest.mark.slow
def test_an_adapter_is_trained_on_or_merged(trained: Trained, short: str, tmp_path: Path) -> None:
    """What self-training does with a LoRA model: the recipe it was trained with is its default one."""
    base = folder_of(trained["llava"])
    first = recipe(short, lora_rank=4, steps=20, batch_size=3, micro_batch=3)
    one = train_policy_on(f"hf:{base}", [training_set(*RETAUGHT)], tmp_path / "one", first)
    follow = default_recipe(one.spec)
    assert follow == replace(first, format="")
    two = train_policy_on(one.spec, [training_set(*RETAUGHT)], tmp_path / "two", follow)
    assert two.losses[0][1] < one.losses[0][1] / 2
    assert json.loads((tmp_path / "two" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert chat_policy(two.spec).format.name == "short"
    merged = train_policy_on(one.spec, [training_set(*RETAUGHT)], tmp_path / "three", replace(follow, lora_rank=0))
    assert merged.losses[0][1] == pytest.approx(two.losses[0][1], rel=1e-3)
    assert (tmp_path / "three" / "model.safetensors").is_file()
    with pytest.raises(InputError, match="rank 4"):
        train_policy_on(one.spec, [training_set(*RETAUGHT)], tmp_path / "four", replace(follow, lora_rank=8))


class FaultError(Exception):
    pass


def stop_at(step: int) -> Callable[[str, int, int, float], None]:
    def progress(what: str, done: int, total: int, loss: float) -> None:
        assert what == "training"
        assert total == 30
        assert loss > 0
        if done == step:
            raise FaultError

    return progress


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, pytest.param(4, marks=pytest.mark.slow)])
def test_interrupted_and_resumed_is_as_if_never_stopped(
    rank: int, folders: dict[str, Path], trained: Trained, short: str, tmp_path: Path
) -> None:
    start = f"hf:{folders['qwen2.5']}" if rank == 0 else trained["qwen2.5"].spec
    settings = recipe(short, steps=30, lora_rank=rank, batch_size=4, micro_batch=2, weight_decay=0.01)
    whole = train_policy_on(start, [training_set()], tmp_path / "whole", settings)
    for step in (3, 12, 25):
        with pytest.raises(FaultError):
            train_policy_on(start, [training_set()], tmp_path / "parts", settings, progress=stop_at(step))
        log = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
        assert len(log) == step
    # A checkpoint that was not written to its end is passed over.
    torn = tmp_path / "parts" / "checkpoints" / "checkpoint-29"
    torn.mkdir()
    (torn / "trainer_state.json").write_text("{")
    parts = train_policy_on(start, [training_set()], tmp_path / "parts", settings)
    assert parts.steps == 30
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)
    file = "adapter_model.safetensors" if rank else "model.safetensors"
    expected = load_file(tmp_path / "whole" / file)
    for key, value in load_file(tmp_path / "parts" / file).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)


def test_without_resume_it_begins_anew(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    start, sets = f"hf:{folders['llava']}", [training_set()]
    first = train_policy_on(start, sets, tmp_path, recipe(short, steps=3))
    other = train_policy_on(start, sets, tmp_path, recipe(short, steps=4, lora_rank=2), resume=False)
    assert (first.steps, other.steps) == (3, 4)
    assert not (tmp_path / "model.safetensors").exists()
    assert (tmp_path / "adapter_model.safetensors").exists()


@pytest.mark.slow
def test_micro_batches_are_one_batch(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    """The loss is the mean over all taught tokens of a batch, however it is cut up."""
    start, sets = f"hf:{folders['qwen3']}", [training_set()]
    settings = recipe(short, steps=4, batch_size=4, learning_rate=1e-3)
    runs = [
        train_policy_on(start, sets, tmp_path / str(size), replace(settings, micro_batch=size)) for size in (1, 2, 4)
    ]
    for run in runs[1:]:
        np.testing.assert_allclose(run.losses, runs[0].losses, rtol=1e-4)


@pytest.mark.slow
def test_mixed_precision_with_checkpointed_activations(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    for rank in (0, 4):
        settings = recipe(short, steps=20, dtype="bfloat16", gradient_checkpointing=True, lora_rank=rank)
        out = tmp_path / str(rank)
        model = train_policy_on(f"hf:{folders['qwen2.5']}", [training_set()], out, settings)
        assert model.losses[-1][1] < model.losses[0][1]
        if rank == 0:
            before, after = weights_of(folders["qwen2.5"]), weights_of(out)
            assert {value.dtype for value in after.values()} == {torch.bfloat16}
            assert all(torch.equal(after[key], before[key].bfloat16()) for key in before if is_vision(key))
            assert model.losses[-1][1] < 3
            assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"


@pytest.mark.parametrize("rank", [0, 2])
def test_a_recipe_in_bfloat16_on_a_cpu_without_it(
    rank: int, folders: dict[str, Path], short: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is computed with in float32, as the log says; what is written is what the recipe says."""
    monkeypatch.setenv("SEGAGENT_PRECISION", "float32")
    settings = recipe(short, steps=1, dtype="bfloat16", lora_rank=rank)
    start = f"hf:{folders['qwen2.5']}?device=cpu"
    model = train_policy_on(start, [training_set()], tmp_path, settings)
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line)["precision"] == "float32"
    if rank == 0:
        assert {value.dtype for value in weights_of(tmp_path).values()} == {torch.bfloat16}
    # Nothing in the folder forbids another kind of machine.
    monkeypatch.setenv("SEGAGENT_PRECISION", "bfloat16")
    assert train_policy_on(start, [training_set()], tmp_path, settings) == model


@pytest.mark.parametrize("rank", [0, 2])
def test_inference_shrinks_pictures_as_training_did(
    rank: int, folders: dict[str, Path], short: str, tmp_path: Path
) -> None:
    settings = recipe(short, steps=1, max_length=60, lora_rank=rank)
    model = train_policy_on(f"hf:{folders['qwen2.5']}", [training_set(EXAMPLES[4])], tmp_path, settings)
    policy = chat_policy(f"{model.spec}?max_tokens=2")
    assert isinstance(policy.model, LocalModel)
    large = Observation(Image.of(np.zeros((400, 300, 3), np.uint8)), "x", empty_mask(400, 300))
    (grid,) = policy.model._inputs([ask(policy.format, large)])["image_grid_thw"].tolist()
    assert 20 < grid[1] * grid[2] / 4 <= 30


LONG = replace(EXAMPLES[0], sample_id="long", text="the lamp beside the " * 10)


def test_an_example_that_is_too_long_is_left_out_and_counted(
    folders: dict[str, Path], short: str, tmp_path: Path
) -> None:
    """It adds nothing: the training is the one in which a short example has its place and is not taught."""
    start, settings = f"hf:{folders['llava']}", recipe(short, steps=4, batch_size=2, micro_batch=1, max_length=150)
    model = train_policy_on(start, [training_set(LONG, *EXAMPLES)], tmp_path, settings)
    assert (model.examples, model.left_out) == (len(EXAMPLES), 1)
    assert all(np.isfinite(loss) for _, loss in model.losses)
    assert train_policy_on(start, [training_set(LONG, *EXAMPLES)], tmp_path, settings) == model
    with pytest.raises(InputError, match=r"all 1 examples are longer than max_length 150"):
        train_policy_on(start, [training_set(LONG)], tmp_path / "none", settings)


def test_a_batch_of_nothing_but_long_examples_changes_no_weight(
    folders: dict[str, Path], short: str, tmp_path: Path
) -> None:
    settings = recipe(short, steps=1, batch_size=1, micro_batch=1, max_length=150, warmup=0.0)
    sets = [training_set(LONG, EXAMPLES[0])]
    seed = next(seed for seed in range(9) if training_order(sets, 1, seed).tolist() == [[0, 0]])
    model = train_policy_on(f"hf:{folders['llava']}", sets, tmp_path, replace(settings, seed=seed))
    assert model.losses == ((1, 0.0),)
    before, after = weights_of(folders["llava"]), weights_of(tmp_path)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_max_length_can_be_raised_on_the_way(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    start, settings = f"hf:{folders['qwen2.5']}", recipe(short, steps=8, batch_size=2, micro_batch=1, max_length=60)
    sets = [training_set(LONG, *EXAMPLES)]

    def stop(what: str, done: int, total: int, loss: float) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_policy_on(start, sets, tmp_path, settings, progress=stop)
    with pytest.raises(InputError, match=r"max_length 60, now 50"):
        train_policy_on(start, sets, tmp_path, replace(settings, max_length=50))
    seen: list[int] = []
    raised = replace(settings, max_length=600)
    model = train_policy_on(start, sets, tmp_path, raised, progress=lambda w, done, *_: seen.append(done))
    assert seen[0] > 1  # Gone on with.
    assert (model.examples, model.left_out) == (len(EXAMPLES) + 1, 0)
    # Pictures are as large as they were when it began.
    policy = chat_policy(f"{model.spec}?max_tokens=2")
    assert isinstance(policy.model, LocalModel)
    large = Observation(Image.of(np.zeros((400, 300, 3), np.uint8)), "x", empty_mask(400, 300))
    (grid,) = policy.model._inputs([ask(policy.format, large)])["image_grid_thw"].tolist()
    assert grid[1] * grid[2] / 4 <= 30


@pytest.mark.slow
def test_two_processes_are_one_training(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    start = f"hf:{folders['llava']}?device=cpu"
    settings = recipe(short, steps=4, batch_size=4, micro_batch=4, learning_rate=1e-3)
    alone = train_policy_on(start, [training_set()], tmp_path / "alone", settings)
    script = Path(__file__).with_name("train_in_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    run = subprocess.run(
        [*command, start, str(tmp_path / "both"), short], capture_output=True, text=True, timeout=600, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert sorted(line for line in run.stdout.splitlines() if "told" in line) == ["told [1, 2, 3, 4]", "told []"]
    both = train_policy_on(start, [training_set()], tmp_path / "both", replace(settings, micro_batch=1))
    np.testing.assert_allclose(both.losses, alone.losses, rtol=1e-4)
    expected = weights_of(tmp_path / "alone")
    for key, value in weights_of(tmp_path / "both").items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5)


def test_checkpointed_activations_change_no_gradient(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    start, sets = f"hf:{folders['llava']}", [training_set()]
    plain = recipe(short, steps=5)
    one = train_policy_on(start, sets, tmp_path / "one", plain)
    two = train_policy_on(start, sets, tmp_path / "two", replace(plain, gradient_checkpointing=True))
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-5)


def test_unfrozen_vision_learns(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    settings = recipe(short, steps=2, freeze_vision=False, warmup=0.0)
    train_policy_on(f"hf:{folders['llava']}", [training_set()], tmp_path, settings)
    before, after = weights_of(folders["llava"]), weights_of(tmp_path)
    assert any(is_vision(key) and not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("tool", ["grabcut", "embedded"])
def test_agent_runs_with_it(tool: str, trained: Trained) -> None:
    one = EXAMPLES[0]
    policy = chat_policy(f"{trained['qwen2.5'].spec}?max_tokens=40")
    episode = Episode(observation_of(one).image, one.text)
    (found,) = run_search([episode], policy, make_tool(tool), SearchConfig(max_steps=3, num_candidates=2))
    assert found.start.predicted_iou == 0
    assert found.steps[0].action == one.action
    assert found.mask_at(1).any()


@pytest.mark.parametrize(
    ("name", "expected"), [("llava", "llava_1_5_7b"), ("qwen2.5", "qwen2_5_vl_7b"), ("qwen3", "qwen3_vl_8b")]
)
def test_recipe_follows_the_model(name: str, expected: str, folders: dict[str, Path]) -> None:
    assert recipe_name(str(folders[name])) == expected
    found = default_recipe(f"hf:{folders[name]}?device=cpu", lora_rank=3)
    assert (found.epochs, found.learning_rate, found.max_length, found.lora_rank) == (2.0, 1e-5, 2048, 3)
    assert found.batch_size == (16 if name == "llava" else 128)
    assert found.freeze_vision
    assert found.estimate.strip().startswith("An estimate")


def test_recipe_of_other_models(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "internvl"}')
    assert recipe_name(str(tmp_path)) == "transformers"
    assert load_recipe("transformers").batch_size == 128
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(WeightsError, match=r"config\.json"):
        recipe_name(str(tmp_path))


def test_unusable_requests(folders: dict[str, Path], trained: Trained, short: str, tmp_path: Path) -> None:
    start, sets = f"hf:{folders['llava']}", [training_set()]
    with pytest.raises(InputError, match="multiple of micro_batch"):
        train_policy_on(start, sets, tmp_path / "a", recipe(short, micro_batch=3))
    with pytest.raises(InputError, match="own folder"):
        train_policy_on(start, sets, folders["llava"], recipe(short))
    with pytest.raises(InputError, match="not trained here"):
        train_policy_on(trained["llava"].spec, sets, folders["llava"], recipe(short))
    with pytest.raises(SpecError, match="grid"):
        train_policy_on(f"{start}?grid=4", sets, tmp_path / "b", recipe(short))
    with pytest.raises(InputError, match="float16"):
        train_policy_on(f"{start}?device=cpu", sets, tmp_path / "c", recipe(short, dtype="float16"))
    with pytest.raises(WeightsError):
        train_policy_on(f"hf:{tmp_path}", sets, tmp_path / "d", recipe(short))


def test_a_loss_that_is_no_number_ends_it(folders: dict[str, Path], short: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="learning rate"):
        train_policy_on(
            f"hf:{folders['llava']}",
            [training_set()],
            tmp_path,
            recipe(short, steps=9, learning_rate=1e30, weight_decay=1e9, warmup=0.0),
        )


def test_without_the_extra(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segagent\[hf\]'"):
        train_policy_on(f"hf:{folders['llava']}", [training_set()], tmp_path, Recipe())
