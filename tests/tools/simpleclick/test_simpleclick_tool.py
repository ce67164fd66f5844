"""What the SimpleClick tool promises beyond parity: the shared contract, loading, clicks and regions, refusals."""

from __future__ import annotations

import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeded_simpleclick as seeded
import torch
from safetensors.torch import load_file, save_file

from segagent.conformance.tools import ToolConformance, ask, middle, picture, play
from segagent.core import Box, Click, SegmentRequest, SpecError, ToolError, WeightsError, empty_mask
from segagent.tools import make_tool
from segagent.tools.simpleclick import SimpleClickMemory, SimpleClickTool, make_simpleclick
from segagent.tools.simpleclick.region import Region, choose_region
from segagent.tools.simpleclick.tool import click_disks


class TestSimpleClickConformance(ToolConformance):
    """On a very small network of the same structure."""


class TestClickDisks:
    def test_disks_are_all_pixels_within_the_radius(self) -> None:
        clicks = [(20.0, 30.0, True), (21.4, 33.7, True), (40.25, 3.0, False), (-2.0, 60.0, False), (63.9, 63.0, True)]
        disks = click_disks(clicks, 64).numpy()
        rows, columns = np.mgrid[:64, :64].astype(np.float64)
        for channel, positive in enumerate((True, False)):
            near = [(rows - y) ** 2 + (columns - x) ** 2 <= 25 for y, x, p in clicks if p == positive]
            np.testing.assert_array_equal(disks[channel], np.any(near, axis=0))

    def test_click_left_of_and_above_the_input_is_none(self) -> None:
        assert not click_disks([(-1.0, -0.5, True)], 32).any()
        assert click_disks([(-1.0, 0.0, True)], 32).any()

    def test_click_far_outside(self) -> None:
        assert not click_disks([(500.0, 3.0, True), (3.0, -90.0, False)], 32).any()


class TestRegion:
    SHAPE = (600, 800)

    def object_at(self, region: Region) -> np.ndarray:
        mask = np.zeros(self.SHAPE, np.bool_)
        mask[region.slices] = True
        return mask

    def test_everything_before_there_is_an_object(self) -> None:
        everything = Region(0, 599, 0, 799)
        assert choose_region(None, None, [Click(3, 4, True)], self.SHAPE) == everything
        assert choose_region(np.zeros(self.SHAPE, np.bool_), None, [], self.SHAPE) == everything

    def test_object_with_room_around(self) -> None:
        mask = self.object_at(Region(100, 399, 200, 599))
        # 300 and 400 pixels, 1.4 times, around the middles 249.5 and 399.5.
        assert choose_region(mask, None, [], self.SHAPE) == Region(40, 460, 120, 680)

    def test_at_least_200_pixels_and_inside_the_picture(self) -> None:
        mask = self.object_at(Region(10, 19, 780, 789))
        assert choose_region(mask, None, [], self.SHAPE) == Region(0, 114, 684, 799)

    def test_positive_clicks_belong_to_the_object(self) -> None:
        mask = self.object_at(Region(300, 309, 300, 309))
        with_click = choose_region(mask, None, [Click(500, 305, True), Click(10, 10, False)], self.SHAPE)
        assert with_click == choose_region(self.object_at(Region(300, 309, 300, 500)), None, [], self.SHAPE)

    def test_a_region_stays_until_it_does_not_fit(self) -> None:
        mask = self.object_at(Region(100, 399, 200, 599))
        in_use = Region(60, 440, 150, 650)
        assert choose_region(mask, in_use, [Click(300, 300, True)], self.SHAPE) == in_use
        assert choose_region(mask, in_use, [Click(650, 300, True)], self.SHAPE) != in_use  # its last column is outside
        assert choose_region(mask, Region(0, 599, 0, 799), [], self.SHAPE) == Region(40, 460, 120, 680)


class TestMemory:
    def test_start_mask_is_the_previous_mask_of_a_look_at_everything(self, tool: SimpleClickTool) -> None:
        image = picture(300, 400)
        embedding, click = tool.embed([image])[0], (Click(200, 150, True),)
        mask = np.zeros((300, 400), np.bool_)
        mask[140:160, 180:220] = True
        with_mask = tool.segment([SegmentRequest(embedding, mask, None, click)])[0]
        without = ask(tool, embedding, image, click)
        assert isinstance(with_mask.memory, SimpleClickMemory)
        assert isinstance(without.memory, SimpleClickMemory)
        assert with_mask.memory.region == Region(0, 299, 0, 399)
        assert not np.array_equal(with_mask.memory.probabilities, without.memory.probabilities)

    def test_no_prompts(self, tool: SimpleClickTool) -> None:
        image = picture(30, 40)
        mask = np.eye(30, 40, dtype=np.bool_)
        answer = tool.segment([SegmentRequest(tool.embed([image])[0], mask, None, ())])[0]
        np.testing.assert_array_equal(answer.mask, mask)
        assert answer.memory is None

    def test_probabilities_are_read_only(self, tool: SimpleClickTool) -> None:
        image = picture(30, 40)
        memory = ask(tool, tool.embed([image])[0], image, (middle(image),)).memory
        assert isinstance(memory, SimpleClickMemory)
        with pytest.raises(ValueError, match="read-only"):
            memory.probabilities[0, 0] = 1

    def test_gpu_batches_give_the_same_answers(self, tool: SimpleClickTool, mini: Path) -> None:
        batched = make_simpleclick(f"{mini}?side=224&device=cpu")
        batched._batch = 3
        images = [picture(40 + 20 * i, 90, i) for i in range(4)]
        states = [play(tool, tool.embed([im])[0], im, [middle(im)])[0] for im in images]
        requests = [
            SegmentRequest(tool.embed([im])[0], s.mask, s.memory, (middle(im), Click(3 * i, 5, i % 2 == 0)))
            for i, (im, s) in enumerate(zip(images, states, strict=True))
        ]
        for one, other in zip(tool.segment(requests), batched.segment(requests), strict=True):
            assert isinstance(one.memory, SimpleClickMemory)
            assert isinstance(other.memory, SimpleClickMemory)
            np.testing.assert_allclose(one.memory.probabilities, other.memory.probabilities, atol=1e-5)


@pytest.fixture
def foreign_package() -> Iterator[type]:
    """A class as the published package has it, importable while a checkpoint is written and gone when it is read."""
    name = "isegm.model.modeling.transformer_helper.cross_entropy_loss"
    source = "import torch\nran = []\ndef cross_entropy():\n    pass\n"
    source += "class CrossEntropyLoss(torch.nn.Module):\n"
    source += "    def __init__(self):\n        super().__init__()\n        self.cls_criterion = cross_entropy\n"
    parts = name.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    for each in names:
        sys.modules[each] = types.ModuleType(each)
    module = sys.modules[name]
    exec(compile(source, name, "exec"), module.__dict__)
    yield module.__dict__["CrossEntropyLoss"]
    for each in names:
        sys.modules.pop(each, None)


def published(network: torch.nn.Module, loss: object, kind: str = "PlainVitModel") -> dict[str, Any]:
    """A checkpoint's content in the published form."""
    parameters = {
        "use_disks": True,
        "norm_radius": 5,
        "with_prev_mask": True,
        "backbone_params": {"img_size": (224, 224), "patch_size": (16, 16), "num_heads": 4},
        "head_params": {"loss_decode": loss, "align_corners": False, "upsample": "x1"},
        "norm_mean_std": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    }
    state = dict(network.state_dict())
    state["backbone.cls_token"] = torch.zeros(1, 1, 32)
    state["backbone.head.weight"] = torch.zeros(1000, 32)
    state["head.up_conv1.0.weight"] = torch.zeros(16, 8, 2, 2)
    config = {
        "class": f"isegm.model.is_plainvit_model.{kind}",
        "params": {name: {"type": "builtin", "value": value, "specified": True} for name, value in parameters.items()},
    }
    return {"state_dict": state, "config": config}


class TestLoading:
    def test_published_form(self, foreign_package: type, tmp_path: Path) -> None:
        network = seeded.seeded_network("mini", 1)
        path = tmp_path / "published.pth"
        torch.save(published(network, foreign_package()), path)
        for name in [name for name in sys.modules if name.split(".")[0] == "isegm"]:
            del sys.modules[name]
        loaded = make_simpleclick(f"{path}?side=224")._network
        assert not [name for name in sys.modules if name.split(".")[0] == "isegm"]
        assert loaded.layout == network.layout
        for name, value in network.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], value)

    def test_plain_state_dict(self, tmp_path: Path) -> None:
        torch.save(dict(seeded.seeded_network("xtiny", 1).state_dict()), tmp_path / "plain.pth")
        assert make_simpleclick(str(tmp_path / "plain.pth"))._network.layout.num_heads == 4

    def test_head_that_upsamples(self, tmp_path: Path) -> None:
        from dataclasses import replace

        from segagent.tools.simpleclick import SimpleClickNetwork

        network = SimpleClickNetwork(replace(seeded.LAYOUTS["mini"], num_upsamplings=2))
        save_file(
            dict(network.state_dict()),
            tmp_path / "x4.safetensors",
            metadata={"config": json.dumps({"backbone_params": {"num_heads": 4}})},
        )
        tool = make_simpleclick(f"{tmp_path / 'x4.safetensors'}?side=224")
        assert tool._network.layout == network.layout
        image = picture(20, 20)
        ask(tool, tool.embed([image])[0], image, (middle(image),))

    def test_code_in_a_checkpoint_is_refused(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.system, (f"touch {tmp_path / 'ran'}",)

        torch.save({"state_dict": {}, "config": Evil()}, tmp_path / "evil.pth")
        with pytest.raises(WeightsError, match="refused, it would run code"):
            make_simpleclick(str(tmp_path / "evil.pth"))
        torch.save(Evil(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
        with pytest.raises(WeightsError, match="not a readable checkpoint"):
            make_simpleclick(str(tmp_path / "old.pth"))
        assert not (tmp_path / "ran").exists()

    def test_another_network_of_the_package(self, tmp_path: Path) -> None:
        network = seeded.seeded_network("mini", 1)
        torch.save(published(network, None, "HRNetModel"), tmp_path / "ritm.pth")
        with pytest.raises(WeightsError, match="HRNetModel; only SimpleClick"):
            make_simpleclick(str(tmp_path / "ritm.pth"))

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"none\.pth: no such file"):
            make_simpleclick(str(tmp_path / "none.pth"))

    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_damaged(self, suffix: str, mini: Path, tmp_path: Path) -> None:
        path = tmp_path / f"damaged.{suffix}"
        if suffix == "pth":
            torch.save(load_file(mini), path)
        else:
            path.write_bytes(mini.read_bytes())
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(WeightsError, match=f"damaged.{suffix}: not a readable"):
            make_simpleclick(str(path))
        path.write_bytes(b"")
        with pytest.raises(WeightsError, match=f"damaged.{suffix}: not a readable"):
            make_simpleclick(str(path))

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (lambda s: s.pop("neck.down_16.0.weight"), "neck.down_16.0.weight"),
            (lambda s: s.pop("backbone.pos_embed"), "no weight 'backbone.pos_embed'"),
            (lambda s: s.update({"backbone.extra.weight": torch.zeros(3)}), "backbone.extra.weight"),
            (lambda s: s.update({"head.convs.0.conv.weight": torch.zeros(16, 99, 1, 1)}), "known layout"),
            (lambda s: s["head.fusion_conv.conv.bias"].fill_(float("nan")), "not finite"),
            (lambda s: s.update({"head.conv_seg.weight": torch.zeros(2, 16, 1, 1)}), "one mask"),
            (lambda s: s.clear(), "no weight"),
        ],
    )
    def test_other_weights(self, change: Any, why: str, mini: Path, tmp_path: Path) -> None:
        state = load_file(mini)
        change(state)
        save_file(
            state,
            tmp_path / "x.safetensors",
            metadata={"config": json.dumps({"backbone_params": {"num_heads": 4}})},
        )
        with pytest.raises(WeightsError, match=f"x.safetensors.*{why}"):
            make_simpleclick(str(tmp_path / "x.safetensors"))

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"use_disks": False},
            {"norm_radius": 260},
            {"head_params": {"align_corners": True}},
            {"class": "DeepLab"},
        ],
    )
    def test_other_parameters(self, config: dict[str, Any], mini: Path, tmp_path: Path) -> None:
        """Nothing says how many heads a transformer of width 32 has; the others are of another network."""
        save_file(load_file(mini), tmp_path / "x.safetensors", metadata={"config": json.dumps(config)})
        with pytest.raises(WeightsError, match=r"x\.safetensors"):
            make_simpleclick(str(tmp_path / "x.safetensors"))


class TestRefusals:
    @pytest.mark.parametrize(
        "query", ["side=100", "side=ten", "side=-448", "size=448", "device=abacus", "threshold=1", "threshold=x"]
    )
    def test_options(self, query: str, mini: Path) -> None:
        with pytest.raises(SpecError):
            make_simpleclick(f"{mini}?{query}")

    def test_requests(self, tool: SimpleClickTool) -> None:
        image = picture(20, 20)
        embedding, mask, click = tool.embed([image])[0], empty_mask(20, 20), Click(3, 3, True)
        for request, why in (
            (SegmentRequest(object(), mask, None, (click,)), "embedding"),
            (SegmentRequest(embedding, mask, object(), (click,)), "memory"),
            (SegmentRequest(embedding, empty_mask(9, 9), None, (click,)), "size"),
            (SegmentRequest(embedding, mask, None, (Click(20, 3, True),)), "outside"),
            (SegmentRequest(embedding, mask, None, (Box(1, 1, 9, 9),)), "no box"),
        ):
            with pytest.raises(ToolError, match=why):
                tool.segment([request])

    def test_name(self, tool: SimpleClickTool, mini: Path) -> None:
        assert tool.name == f"simpleclick:{mini}?side=224&device=cpu"
        assert make_tool(tool.name).name == tool.name
