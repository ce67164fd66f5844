"""Trainings on files: first boxes, judged masks, weights, validation on the way, adapters at the projector."""

from __future__ import annotations

import json
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
from sft_examples import DrawnDataset, example, short_format
from tiny_checkpoints import make_llava, make_qwen25

from segagent.cli.main import main
from segagent.core import Box, Click, Finish, InputError, MissingExtraError, Observation
from segagent.datasets import open_dataset
from segagent.learning.examples import Example
from segagent.learning.sft import Extras, Recipe, TrainingSet, Validation, train_policy_on, train_sft
from segagent.learning.sft.hf.data import too_long
from segagent.learning.sft.hf.encoding import NOT_TAUGHT, Encoder
from segagent.learning.sft.hf.trainer import deepspeed_settings
from segagent.learning.sft.hf.validation import figures
from segagent.learning.sft.sets import annotator_sets, streamed_set, write_examples
from segagent.policies.chat import FORMATS
from segagent.policies.hf.loading import Checkpoint, load_checkpoint

# The library that adds adapters still asks models by a name that they call old.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

SCENES = "scenes:3:seed=8,split=train,sentences=1,size=64"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    return make_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="module")
def llava(folder: Path) -> Checkpoint:
    return load_checkpoint(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def traj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traj") / "traj.jsonl"
    made = ["trajectories", SCENES, "-o", str(path), "--tool", "disc", "--max-steps", "2", "--workers", "1"]
    assert main([*made, "--auxiliary", "1", "--json"]) == 0
    return path


def recipe(tmp_path: Path, **changes: Any) -> Recipe:
    settings = {"steps": 4, "batch_size": 2, "micro_batch": 1, "learning_rate": 1e-3, "dtype": "float32"}
    settings |= {"gradient_checkpointing": False, "format": short_format(tmp_path)}
    return Recipe(**(settings | changes))


def words(encoder: Encoder, tokenizer: Any, one: Example) -> tuple[str, str]:
    """The prompt and the taught reply, as text."""
    encoded = encoder(one, DrawnDataset().load_image("0"))
    ids, labels = encoded["input_ids"][0], encoded["labels"][0]
    taught = labels != NOT_TAUGHT
    assert torch.equal(ids[taught], labels[taught])
    return tokenizer.decode(ids[~taught]), tokenizer.decode(ids[taught])


@pytest.mark.parametrize("name", ["paper", "qwen3"])
def test_each_question_has_its_words(name: str, llava: Checkpoint) -> None:
    fmt = FORMATS[name]
    encoder = Encoder(llava, fmt, 4096)
    click = example(0, Click(20, 30, positive=True), 0.0, "the mug")
    box = replace(click, action=Box(8, 10, 32, 40), asks="box")
    asked, reply = words(encoder, llava.tokenizer, box)
    image = DrawnDataset().load_image("0")
    observation = Observation(image, "the mug", np.zeros((image.height, image.width), np.bool_))
    assert replace(fmt, first_box=True).prompt(observation) in asked
    action, said = fmt.parse(reply.removesuffix("<|im_end|>"), image.height, image.width)
    assert isinstance(action, Box)
    assert abs(action.x0 - 8) + abs(action.y1 - 40) <= 2
    assert said is None
    judged = example(2, Click(1, 1, positive=True), 0.62, "the mug")
    for action, answer in ((judged.action, "No"), (Finish(), "Yes")):
        asked, reply = words(encoder, llava.tokenizer, replace(judged, action=action, asks="good"))
        assert "good enough" in asked
        assert "62" in reply
        assert (answer in reply) if fmt.notation == "text" else json.loads(reply[:-10])["good"] is (answer == "Yes")
    # What is asked decides how long it is.
    for one in (click, box, replace(judged, asks="good")):
        assert encoder.length(one) == encoder(one, image)["input_ids"].shape[1]


def test_long_examples_of_a_file_are_found_without_looking_at_all(
    llava: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is never too low; what it leaves open is counted exactly, as for examples in memory."""
    texts = ["a", "the lamp " * 9, "ü" * 40, '"<|im_end|>[INST]' * 4, "<" * 30, "mug\n" * 20, "灯" * 33]
    made = [[replace(example(1, Click(3, 4, positive=True), 0.5, text), sample_id=str(n), image=str(n % 4))]
            for n, text in enumerate(texts)]  # fmt: skip
    dataset = DrawnDataset()
    write_examples(tmp_path / "e.jsonl", dataset, made)
    one = streamed_set(tmp_path / "e.jsonl", dataset)
    encoder = Encoder(llava, FORMATS["paper"], 9999)
    size = (56, 84)
    lengths = [encoder.length(example) for example in one.examples]
    for row, length in zip(one.examples.rows, lengths, strict=True):
        assert length <= encoder.most_around(size) + int(row["words"])
    in_memory = TrainingSet(dataset, list(one.examples))
    for limit in (min(lengths), sorted(lengths)[3], max(lengths) - 1, 9999):
        assert too_long([one], encoder, limit).places == too_long([in_memory], encoder, limit).places
    asked: list[Example] = []
    length = encoder.length
    monkeypatch.setattr(encoder, "length", lambda example: [asked.append(example), length(example)][1])
    assert not too_long([one], encoder, 9999).places
    assert len(asked) == 1
    with pytest.raises(InputError, match=r"all 7 examples are longer than max_length 20"):
        too_long([one], encoder, 20)


def test_a_training_on_files_is_the_training_on_what_is_in_them(folder: Path, traj: Path, tmp_path: Path) -> None:
    settings = recipe(tmp_path, first_box=True)
    streamed = train_sft(f"hf:{folder}?device=cpu", [traj], tmp_path / "a", settings)
    (one,) = annotator_sets("hf:x", [traj], tmp_path / "index", boxes=True)
    everything = list(one.examples)
    assert {example.asks for example in everything} == {"action", "box", "good"}
    in_memory = [TrainingSet(one.dataset, everything)]
    same = train_policy_on(f"hf:{folder}?device=cpu", in_memory, tmp_path / "b", settings)
    assert (streamed.losses, streamed.examples) == (same.losses, len(everything))
    assert json.loads((tmp_path / "a" / "recipe.toml").read_text().split("first_box = ")[1].split()[0]) is True


def test_the_best_checkpoint_becomes_the_model(folder: Path, traj: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Measured before, at each checkpoint, and resumed: a model that gets worse is left where it was best."""
    from segagent.learning.sft.hf import trainer as training

    told = iter([0.2, 0.3, 0.7, 0.5, 0.4])
    measured = figures

    def scripted(played: Any) -> dict[str, float]:
        assert len(played) == 2
        assert all(len(states) == 8 for states in played)
        return measured(played) | {"miou_7": next(told)}

    monkeypatch.setattr(training, "figures", scripted)
    start, settings = f"hf:{folder}?device=cpu", recipe(tmp_path)
    extras = Extras(Validation(open_dataset(SCENES), "disc", samples=2))
    kept: dict[int, dict[str, torch.Tensor]] = {}

    def watch(what: str, done: int, total: int, loss: float) -> None:
        for step in (1, 2):
            file = tmp_path / "m" / "checkpoints" / f"checkpoint-{step}" / "model.safetensors"
            if file.exists() and (file.parent / "whole").exists() and step not in kept:
                kept[step] = load_file(file)
        if done == 3 and len(kept) == 2 and not stopped:
            stopped.append(done)
            raise InterruptedError

    stopped: list[int] = []
    with pytest.raises(InterruptedError):
        train_sft(start, [traj], tmp_path / "m", settings, extras=extras, progress=watch)
    model = train_sft(start, [traj], tmp_path / "m", settings, extras=extras, progress=watch)
    assert model.best == (2, 0.7)
    weights = load_file(tmp_path / "m" / "model.safetensors")
    assert all(torch.equal(weights[key], kept[2][key]) for key in weights)
    lines = [json.loads(line) for line in (tmp_path / "m" / "log.jsonl").read_text().splitlines()]
    said = [(line["step"], line["eval_miou_7"]) for line in lines if "eval_miou_7" in line]
    assert said == [(0, 0.2), (1, 0.3), (2, 0.7), (3, 0.5), (4, 0.4)]
    assert {"eval_miou_1", "eval_miou_3"} <= lines[0].keys()
    with pytest.raises(InputError, match="other settings"):
        train_sft(start, [traj], tmp_path / "m", settings)


def test_figures_of_what_was_played() -> None:
    played = [
        [(0.0, 0.0), (0.5, 0.4), (0.6, 0.6), (0.9, 0.8)],
        [(0.1, 0.0), (None, 0.2)],
    ]
    found = figures(played)
    assert found["miou_1"] == pytest.approx(0.3)
    assert found["miou_3"] == found["miou_7"] == pytest.approx(0.5)
    said, true = [0.0, 0.5, 0.6, 0.9, 0.1], [0.0, 0.4, 0.6, 0.8, 0.0]
    assert found["pearson"] == pytest.approx(np.corrcoef(said, true)[0, 1])
    assert "pearson" not in figures([[(0.5, 0.1), (0.5, 0.7)]])
    assert "pearson" not in figures([[(None, 0.1), (None, 0.7)]])


def test_adapters_at_the_projector(folder: Path, traj: Path, tmp_path: Path) -> None:
    settings = recipe(tmp_path, steps=2, lora_rank=2, lora_projector=True, warmup=0.0)
    train_sft(f"hf:{folder}?device=cpu", [traj], tmp_path / "lora", settings)
    adapter = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    projector = {key: value for key, value in adapter.items() if "projector" in key}
    assert len(projector) == 4
    assert len(adapter) == 4 + 2 * 7 * 2
    assert any(value.any() for key, value in projector.items() if "lora_B" in key)


def test_qwen_projectors_are_found(tmp_path: Path) -> None:
    from segagent.learning.sft.hf.model import load_for_training
    from segagent.policies.chat import ChatSpec

    made = make_qwen25(tmp_path / "qwen")
    model = load_for_training(ChatSpec(str(made), {}), Recipe(lora_rank=2, lora_projector=True), "float32").model
    adapted = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert sum("merger" in name for name in adapted) == 4
    assert not any("blocks" in name for name in adapted)


def test_what_cannot_be_done_is_told(folder: Path, traj: Path, tmp_path: Path, monkeypatch: Any) -> None:
    start, settings = f"hf:{folder}?device=cpu", recipe(tmp_path)
    validation = Validation(open_dataset(SCENES))
    with pytest.raises(InputError, match="spread"):
        Extras(validation, sharded=True)
    with pytest.raises(InputError, match="choose one"):
        Extras(sharded=True, deepspeed="x.json")
    with pytest.raises(InputError, match="expected one of tensorboard"):
        Extras(report=("mlflow",))
    with pytest.raises(InputError, match="hf: models"):
        train_sft("embedded", [traj], tmp_path / "e", settings, extras=Extras(report=("tensorboard",)))
    for text, why in (("[1]", "a JSON object"), ('{"zero_optimization": 3}', "a JSON object"), ("{", "d.json")):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(InputError, match=why):
            train_sft(start, [traj], tmp_path / "d", settings, extras=Extras(deepspeed=str(tmp_path / "d.json")))
    monkeypatch.setattr("segagent.learning.sft.hf.trainer.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install wandb"):
        train_sft(start, [traj], tmp_path / "w", settings, extras=Extras(report=("wandb-offline",)))
    (tmp_path / "d.json").write_text("{}")
    with pytest.raises(MissingExtraError, match="pip install deepspeed"):
        train_sft(start, [traj], tmp_path / "d", settings, extras=Extras(deepspeed=str(tmp_path / "d.json")))


def test_deepspeed_is_told_to_give_weights_back_whole(tmp_path: Path) -> None:
    """Else a training with ZeRO-3 fails when it is done."""
    file, gather = tmp_path / "d.json", "stage3_gather_16bit_weights_on_model_save"
    for zero, completed in (({"stage": 2}, {}), ({"stage": 3}, {gather: True}), ({"stage": 3, gather: True}, {})):
        file.write_text(json.dumps({"zero_optimization": zero, "steps_per_print": 5}))
        assert deepspeed_settings(str(file)) == {"zero_optimization": zero | completed, "steps_per_print": 5}
    file.write_text(json.dumps({"zero_optimization": {"stage": 3, gather: False}}))
    with pytest.raises(InputError, match=f"{gather} is false"):
        deepspeed_settings(str(file))


def test_figures_go_to_tensorboard(folder: Path, traj: Path, tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    train_sft(
        f"hf:{folder}?device=cpu", [traj], tmp_path / "m", recipe(tmp_path), extras=Extras(report=("tensorboard",))
    )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]


def test_the_command_takes_a_preset_and_its_box(tmp_path: Path, monkeypatch: Any, traj: Path, folder: Path) -> None:
    from segagent.learning import sft

    asked: list[Any] = []

    def nothing(policy: str, files: Any, out: Path, settings: Recipe, **options: Any) -> Any:
        asked.append((policy, settings, options))
        return sft.TrainedModel(f"hf:{out}", 1, 1, ((1, 0.5),), 0.0, best=(3, 0.5))

    monkeypatch.setattr(sft, "train_sft", nothing)
    command = ["train", "sft", str(traj), "--policy", f"hf:{folder}", "-o", str(tmp_path / "m")]
    assert main([*command, "--preset", "segagent-qwen+sam", "--weight", "2", "--lora-projector"]) == 0
    assert main([*command, "--preset", "segagent-qwen+simpleclick", "--validate", SCENES, "--fsdp"]) == 2
    assert main([*command, "--preset", "segagent-qwen+simpleclick", "--validate", SCENES, "--report", "wandb"]) == 0
    (policy, first, options), (_, second, more) = asked
    assert "format=" in policy
    assert (first.first_box, first.lora_projector, options["weights"]) == (True, True, [2.0])
    assert second.first_box is False
    assert more["extras"].validation.samples == 32
    assert more["extras"].report == ("wandb",)
