"""The tools that come with the package: the conformance suite, and what is particular to each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segagent.conformance.tools import ToolConformance, ask, middle, picture
from segagent.core import Click, SegmentationTool, SegmentRequest, SpecError, ToolError, WeightsError, empty_mask, iou
from segagent.tools import TOOLS, make_tool


class TestGrabCut(ToolConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def tool(cls) -> SegmentationTool:
        return make_tool("grabcut")


class TestDisc(ToolConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def tool(cls) -> SegmentationTool:
        return make_tool("disc")


class TestEmbedded(ToolConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def tool(cls) -> SegmentationTool:
        return make_tool("embedded")

    def test_finds_a_plain_object_with_one_click(self, tool: SegmentationTool) -> None:
        image = picture(96, 128)
        rows, columns = np.ogrid[:96, :128]
        target = ((columns / 128 - 0.5) / 0.3) ** 2 + ((rows / 96 - 0.5) / 0.35) ** 2 <= 1
        answer = ask(tool, tool.embed([image])[0], image, (middle(image),))
        assert iou(answer.mask, target) > 0.9

    def test_memory_of_other_prompts_is_not_used(self, tool: SegmentationTool) -> None:
        image = picture(64, 64)
        embedding = tool.embed([image])[0]
        stray = ask(tool, embedding, image, (Click(1, 1, True),))
        clicks = (middle(image),)
        request = SegmentRequest(embedding, empty_mask(64, 64), stray.memory, clicks)
        np.testing.assert_array_equal(tool.segment([request])[0].mask, ask(tool, embedding, image, clicks).mask)

    def test_click_outside_the_image_is_refused(self, tool: SegmentationTool) -> None:
        image = picture(20, 20)
        with pytest.raises(ToolError, match="outside"):
            ask(tool, tool.embed([image])[0], image, (Click(20, 3, True),))

    def test_embedding_of_another_tool_is_refused(self, tool: SegmentationTool) -> None:
        image = picture(20, 20)
        with pytest.raises(ToolError, match="embedding"):
            ask(tool, make_tool("disc").embed([image])[0], image, (middle(image),))


class TestWeights:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"none\.safetensors"):
            make_tool(f"embedded:{tmp_path / 'none.safetensors'}")

    @pytest.fixture
    def copy(self, tmp_path: Path) -> Path:
        from segagent.tools.embedded.tool import packaged_weights

        source = packaged_weights()
        for suffix in (".safetensors", ".json"):
            (tmp_path / f"tool{suffix}").write_bytes(source.with_suffix(suffix).read_bytes())
        return tmp_path / "tool.safetensors"

    def test_damaged(self, copy: Path) -> None:
        copy.write_bytes(copy.read_bytes()[:1000])
        with pytest.raises(WeightsError, match="not a readable"):
            make_tool(f"embedded:{copy}")

    def test_description_is_not_json(self, copy: Path) -> None:
        copy.with_suffix(".json").write_text("{")
        with pytest.raises(WeightsError, match="description"):
            make_tool(f"embedded:{copy}")

    def test_another_architecture(self, copy: Path) -> None:
        meta = json.loads(copy.with_suffix(".json").read_text())
        meta["network"]["widths"] = [8, 8, 8, 8]
        copy.with_suffix(".json").write_text(json.dumps(meta))
        with pytest.raises(WeightsError, match="another architecture"):
            make_tool(f"embedded:{copy}")

    def test_another_encoder(self, copy: Path) -> None:
        from segagent.vision.encoder import Encoder
        from segagent.vision.sight import FILE, save_encoder

        save_encoder(Encoder(), copy.parent / FILE)
        with pytest.raises(WeightsError, match="another encoder"):
            make_tool(f"embedded:{copy}")


class TestMakeTool:
    def test_every_tool_is_made_under_its_own_name(self) -> None:
        for spec in ("embedded", "grabcut", "disc"):
            assert spec in TOOLS
            assert make_tool(spec).name == spec

    @pytest.mark.parametrize("spec", ["", "sam9:somewhere", "Embedded", "embedded:", "unknown"])
    def test_unknown_specification_lists_the_known(self, spec: str) -> None:
        with pytest.raises(SpecError, match="embedded, grabcut"):
            make_tool(spec)

    def test_argument_where_none_is_taken(self) -> None:
        with pytest.raises(SpecError, match="takes no argument"):
            make_tool("grabcut:5")

    def test_naming_tools_imports_no_torch(self) -> None:
        code = "import sys, segagent.tools; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_disc_adds_and_takes_away() -> None:
    tool = make_tool("disc")
    image = picture(20, 20)
    embedding = tool.embed([image])[0]
    added = ask(tool, embedding, image, (Click(10, 10, True),))
    assert added.mask.sum() == 13  # a disc of radius 2
    removed = ask(tool, embedding, image, (Click(10, 10, True), Click(10, 10, False)), added)
    assert not removed.mask.any()
