"""What the SAM tools promise beyond their logits: the shared contract, batching, caching, loading, refusals."""

from __future__ import annotations

import builtins
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sam
import torch

from segagent.conformance.tools import ToolConformance
from segagent.core import (
    Box,
    Click,
    Image,
    MissingExtraError,
    SegmentRequest,
    SpecError,
    ToolError,
    WeightsError,
    empty_mask,
)
from segagent.environment import Episode, Target, generate_trajectories
from segagent.policies.centre import CentrePolicy
from segagent.search import SearchConfig, rollout
from segagent.tools import make_tool
from segagent.tools.sam import FAMILIES, SamEmbedding, SamMemory, SamTool, make_sam
from segagent.tools.sam.tool import MAX_PROMPTS_CPU

Pictures = Callable[..., Image]


class TestSamConformance(ToolConformance):
    """Runs once per family, by the ``tool`` fixture of this folder."""


class Calls:
    """Counts the calls of a part of the model while inside ``with``, and the shapes of its results."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module
        self.count = 0

    def __enter__(self) -> Calls:
        self.handle = self.module.register_forward_hook(self._note)
        return self

    def _note(self, *_: object) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def start(tool: SamTool, image: Image, *prompts: Click | Box) -> SegmentRequest:
    return SegmentRequest(tool.embed([image])[0], empty_mask(image.height, image.width), None, prompts)


def logits(memory: object | None) -> np.ndarray:
    assert isinstance(memory, SamMemory)
    return memory.logits


class TestBatching:
    def test_candidates_of_one_state_are_decoded_together(self, tool: SamTool, picture: Pictures) -> None:
        image = picture()
        first = start(tool, image, Click(30, 20, True))
        state = tool.segment([first])[0]
        candidates = [
            SegmentRequest(first.embedding, state.mask, state.memory, (*first.prompts, Click(8 * i, 5 * i, i % 2 == 0)))
            for i in range(8)
        ]
        with Calls(tool.model.mask_decoder) as calls:
            together = tool.segment(candidates)
        assert calls.count == 8 / MAX_PROMPTS_CPU
        for request, answer in zip(candidates, together, strict=True):
            alone = tool.segment([request])[0]
            np.testing.assert_allclose(logits(answer.memory), logits(alone.memory), atol=1e-4)
            np.testing.assert_array_equal(answer.mask, alone.mask)

    def test_objects_with_masks_of_their_own_are_decoded_together(self, tool: SamTool, picture: Pictures) -> None:
        image = picture()
        firsts = [start(tool, image, Click(9 * i + 3, 6 * i + 2, True)) for i in range(MAX_PROMPTS_CPU)]
        with Calls(tool.model.mask_decoder) as calls:
            states = tool.segment(firsts)
            requests = [
                SegmentRequest(f.embedding, s.mask, s.memory, (*f.prompts, Click(70, 40, False)))
                for f, s in zip(firsts, states, strict=True)
            ]
            together = tool.segment(requests)
        assert calls.count == 2
        for request, answer in zip(requests, together, strict=True):
            alone = tool.segment([request])[0]
            np.testing.assert_allclose(logits(answer.memory), logits(alone.memory), atol=1e-4)
            np.testing.assert_array_equal(answer.mask, alone.mask)

    def test_unlike_requests_keep_their_order(self, tool: SamTool, picture: Pictures) -> None:
        one, two = picture(1), picture(2, 40, 40)
        mask = np.zeros((40, 40), np.bool_)
        mask[5:20, 5:30] = True
        requests = [
            start(tool, one, Click(5, 5, True)),
            start(tool, two, Box(3, 3, 30, 30)),
            SegmentRequest(tool.embed([two])[0], mask, None, (Click(9, 9, False),)),
            start(tool, one, Click(60, 5, True)),
            start(tool, one, Box(3, 3, 30, 30), Click(6, 6, True)),
            start(tool, one, Click(5, 5, True), Click(6, 6, False)),
            SegmentRequest(tool.embed([two])[0], mask, None, ()),
        ]
        for order in (range(len(requests)), reversed(range(len(requests)))):
            picked = [requests[i] for i in order]
            for request, answer in zip(picked, tool.segment(picked), strict=True):
                np.testing.assert_array_equal(answer.mask, tool.segment([request])[0].mask)

    def test_more_prompts_than_one_call_takes(self, tools: dict[str, SamTool], picture: Pictures) -> None:
        tool, image = tools["sam"], picture()
        requests = [start(tool, image, Click(i % 70, i % 40, True)) for i in range(2 * MAX_PROMPTS_CPU + 3)]
        with Calls(tool.model.mask_decoder) as calls:
            assert len(tool.segment(requests)) == 2 * MAX_PROMPTS_CPU + 3
        assert calls.count == 3

    def test_best_of_three_for_a_single_click_only(self, tools: dict[str, SamTool], picture: Pictures) -> None:
        tool, image = tools["sam"], picture()
        asked: list[bool] = []
        decoder = tool.model.mask_decoder

        def note(_: object, __: object, arguments: dict[str, Any]) -> None:
            asked.append(arguments["multimask_output"])

        handle = decoder.register_forward_pre_hook(note, with_kwargs=True)
        try:
            first = start(tool, image, Click(9, 9, True))
            state = tool.segment([first])[0]
            tool.segment([SegmentRequest(first.embedding, state.mask, state.memory, first.prompts)])
            tool.segment([start(tool, image, Click(9, 9, True), Click(3, 3, False))])
            tool.segment([start(tool, image, Box(1, 1, 9, 9))])
            mask = np.ones((48, 72), np.bool_)
            tool.segment([SegmentRequest(first.embedding, mask, None, (Click(9, 9, False),))])
        finally:
            handle.remove()
        assert asked == [True, False, False, False, False]


class TestEmbeddings:
    def test_one_encoder_call_per_image_however_many_expressions(self, tool: SamTool, picture: Pictures) -> None:
        images = [picture(seed) for seed in (101, 102, 103)]
        episodes = [Episode(image, f"thing {n}", f"{i}-{n}") for i, image in enumerate(images) for n in range(4)]
        with Calls(tool.model.vision_encoder) as calls:
            trajectories = list(rollout(episodes, CentrePolicy(), tool, SearchConfig(max_steps=2), batch_size=5))
            assert len(trajectories) == 12
            assert calls.count == len(images)
            targets = [Target(np.ones((48, 72), np.bool_)) for _ in episodes]
            generate_trajectories(episodes, targets, tool)
            assert calls.count == len(images)

    def test_evicted_pictures_are_encoded_again(self, checkpoints: dict[str, Path], picture: Pictures) -> None:
        tool = SamTool(FAMILIES["sam"], str(checkpoints["sam"]), device="cpu", cache_bytes=2 * 32 * 4 * 4 * 4)
        one, two, three = (picture(seed) for seed in (1, 2, 3))
        with Calls(tool.model.vision_encoder) as calls:
            tool.embed([one, two, one])
            tool.embed([one, three, one])
            assert calls.count == 3
            tool.embed([one])
            assert calls.count == 3
            tool.embed([two])
            assert calls.count == 4

    def test_writing_to_a_value_is_an_error(self, tool: SamTool, picture: Pictures) -> None:
        # A picture of its own: torch complains only after it has written, and embeddings are remembered.
        request = start(tool, picture(777), Click(9, 9, True))
        assert isinstance(request.embedding, SamEmbedding)
        with pytest.raises(RuntimeError, match=r"[Ii]nference"):
            request.embedding.features[0].mul_(2)
        with pytest.raises(ValueError, match="read-only"):
            logits(tool.segment([request])[0].memory)[0, 0] = 1

    def test_half_precision_is_close(self, checkpoints: dict[str, Path], picture: Pictures) -> None:
        for kind, path in checkpoints.items():
            full, half = (make_sam(kind, f"{path}?device=cpu&precision={p}") for p in ("full", "half"))
            request_full, request_half = (start(t, picture(), Box(9, 9, 60, 40)) for t in (full, half))
            a, b = full.segment([request_full])[0], half.segment([request_half])[0]
            assert (a.mask == b.mask).mean() > 0.95, kind
            assert not np.array_equal(logits(a.memory), logits(b.memory)), kind


class TestLoading:
    def test_published_sam2_checkpoints_are_of_the_video_model(self, tmp_path: Path, picture: Pictures) -> None:
        video = tiny_sam.randomised(tiny_sam.sam2_video(), 5)
        video.save_pretrained(tmp_path)
        tool = make_sam("sam2", str(tmp_path))
        image_model = tiny_sam.sam2()
        image_model.load_state_dict(video.state_dict(), strict=False)
        answer = tool.segment([start(tool, picture(), Click(20, 20, True))])[0]
        tool.model.load_state_dict(image_model.state_dict())
        same = tool.segment([start(tool, picture(), Click(20, 20, True))])[0]
        np.testing.assert_array_equal(logits(answer.memory), logits(same.memory))

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match="no such directory"):
            make_sam("sam", str(tmp_path / "none"))

    def test_another_family(self, checkpoints: dict[str, Path]) -> None:
        with pytest.raises(WeightsError, match="model type 'sam2', but 'sam' reads sam"):
            make_sam("sam", str(checkpoints["sam2"]))

    @pytest.fixture
    def copy(self, checkpoints: dict[str, Path], tmp_path: Path) -> Path:
        for file in checkpoints["sam"].iterdir():
            (tmp_path / file.name).write_bytes(file.read_bytes())
        return tmp_path

    def test_cut_off_weights(self, copy: Path) -> None:
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-5000])
        with pytest.raises(WeightsError, match=f"{copy}.*cannot be loaded"):
            make_sam("sam", str(copy))

    def test_no_weights(self, copy: Path) -> None:
        (copy / "model.safetensors").unlink()
        with pytest.raises(WeightsError, match=f"{copy}.*cannot be loaded"):
            make_sam("sam", str(copy))

    def test_weights_of_other_sizes(self, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        config["mask_decoder_config"]["mlp_dim"] = 99
        (copy / "config.json").write_text(json.dumps(config))
        with pytest.raises(WeightsError, match=f"{copy}"):
            make_sam("sam", str(copy))

    def test_missing_weights_are_not_made_up(self, copy: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(copy / "model.safetensors")
        del tensors["mask_decoder.iou_token.weight"]
        save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(WeightsError, match=r"1 weights are missing .* mask_decoder\.iou_token"):
            make_sam("sam", str(copy))

    def test_processor_of_another_checkpoint_is_not_used(self, copy: Path, picture: Pictures) -> None:
        written = copy / "processor_config.json"
        written.write_text(written.read_text().replace("64", "1024"))
        tool = make_sam("sam", str(copy))
        assert tool.preprocessed_by == "own"
        tool.segment([start(tool, picture(), Click(1, 1, True))])

    def test_without_processor(self, copy: Path, tools: dict[str, SamTool], picture: Pictures) -> None:
        (copy / "processor_config.json").unlink()
        tool = make_sam("sam", str(copy))
        assert (tool.preprocessed_by, tools["sam"].preprocessed_by) == ("own", "transformers")
        own, theirs = (t.segment([start(t, picture(), Click(1, 1, True))])[0] for t in (tool, tools["sam"]))
        np.testing.assert_allclose(logits(own.memory), logits(theirs.memory), atol=1e-4)

    def test_without_transformers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name == "transformers" else find(name, *rest)
        )
        with pytest.raises(MissingExtraError, match=r'pip install "segagent\[hf\]"'):
            make_sam("sam", "anything")

    def test_naming_the_package_imports_no_transformers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        real = builtins.__import__
        monkeypatch.setattr(builtins, "__import__", lambda name, *rest: (seen.append(name), real(name, *rest))[1])
        importlib.reload(importlib.import_module("segagent.tools.sam.checkpoint"))
        assert not [name for name in seen if name.startswith("transformers")]


class TestRefusals:
    @pytest.mark.parametrize("rest", ["", "?device=cpu", "x?", "x?colour=red", "x?device=cpu&device=cpu"])
    def test_specifications(self, rest: str) -> None:
        with pytest.raises(SpecError, match="sam"):
            make_sam("sam", rest)

    @pytest.mark.parametrize("option", ["device=abacus", "precision=double"])
    def test_options(self, option: str, checkpoints: dict[str, Path]) -> None:
        with pytest.raises(SpecError, match="not"):
            make_sam("sam", f"{checkpoints['sam']}?{option}")

    def test_requests(self, tools: dict[str, SamTool], picture: Pictures) -> None:
        tool, image = tools["sam"], picture()
        good = start(tool, image, Click(9, 9, True))
        other = np.zeros((9, 9), np.bool_)
        memory = SamMemory(np.zeros((8, 8), np.float32))
        for bad, why in (
            (SegmentRequest(object(), good.mask, None, good.prompts), "embedding"),
            (SegmentRequest(good.embedding, good.mask, object(), good.prompts), "memory"),
            (SegmentRequest(good.embedding, good.mask, memory, good.prompts), "memory of another model"),
            (SegmentRequest(good.embedding, other, None, good.prompts), "size"),
            (SegmentRequest(good.embedding, good.mask, None, (Click(72, 3, True),)), "outside"),
            (SegmentRequest(good.embedding, good.mask, None, (Box(1, 1, 5, 5), Box(2, 2, 6, 6))), "one box"),
        ):
            with pytest.raises(ToolError, match=why):
                tool.segment([bad])


def test_the_specification_string_is_the_name(tools: dict[str, SamTool], checkpoints: dict[str, Path]) -> None:
    for kind, tool in tools.items():
        assert tool.name == f"{kind}:{checkpoints[kind]}?device=cpu"
        assert make_tool(tool.name).name == tool.name
