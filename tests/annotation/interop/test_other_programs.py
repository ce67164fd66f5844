"""Interfaces of libraries that are no part of this one: with stand-ins, and with the real ones where installed."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, AreaPolicy, folder_data_set, make_run
from PIL import Image as PillowImage

from segagent.annotation.batch import Models, Run
from segagent.annotation.interop import cvat_function
from segagent.annotation.interop.detections import detections_of
from segagent.core import InputError, MissingExtraError, Observation, Proposal, RefusedError
from segagent.datasets.coco_masks import decode_segmentation
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return make_run(folder_data_set(folder / "data"), folder / "run", "annotate")


def test_detections(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("supervision") is None:
        stand_in: Any = ModuleType("supervision")
        stand_in.Detections = SimpleNamespace
        monkeypatch.setitem(sys.modules, "supervision", stand_in)
    found = dict(detections_of(run))
    assert list(found) == ["a.png", "sub/b.png"]
    one = found["a.png"]
    assert one.data["object_id"].tolist() == ["id#0", "id#1"]
    assert found["sub/b.png"].class_id.tolist() == [2]
    for mask, (x0, y0, x1, y1) in zip(one.mask, one.xyxy.astype(int), strict=True):
        inside = np.zeros_like(mask)
        inside[y0:y1, x0:x1] = True
        assert mask.any()
        assert not (mask & ~inside).any()
        assert mask[:, x0].any()
        assert mask[y1 - 1].any()
    assert ((one.confidence > 0.1) & (one.confidence < 0.9)).all()
    only = dict(detections_of(run, frozenset({"id#1"})))
    assert {name: d.data["object_id"].tolist() for name, d in only.items()} == {"a.png": ["id#1"]}


@pytest.mark.parametrize(
    ("module", "use"),
    [
        ("supervision", lambda run: list(detections_of(run))),
        ("cvat_sdk", lambda run: cvat_function.create("disc", policy="embedded", tool="disc")),
    ],
)
def test_what_is_missing_is_named(
    run: Run, module: str, use: Callable[[Run], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match="pip install"):
        use(run)


class StandIn:
    """What of ``cvat_sdk.auto_annotation`` is used, told as it was called."""

    @staticmethod
    def label_spec(name: str, number: int, **more: Any) -> Any:
        return (name, number, more)

    @staticmethod
    def DetectionFunctionSpec(labels: list[Any]) -> Any:  # noqa: N802
        return SimpleNamespace(labels=labels)

    @staticmethod
    def mask(number: int, points: list[float]) -> Any:
        return ("mask", number, points)

    @staticmethod
    def polygon(number: int, points: list[float]) -> Any:
        return ("polygon", number, points)


def test_cvat_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_function, "_auto_annotation", lambda: StandIn)
    models = Models(AreaPolicy(), DiscTool(5))
    function = cvat_function.DetectionFunction(
        {"disc": ("a disc",), "ghost": ("a ghost",)}, models, SearchConfig(max_steps=1)
    )
    assert [(name, number) for name, number, _ in function.spec.labels] == [("disc", 0), ("ghost", 1)]
    picture = PillowImage.new("L", (WIDTH, HEIGHT))
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    expected = (columns - WIDTH // 2) ** 2 + (rows - HEIGHT // 2) ** 2 <= 25
    ((kind, number, points),) = function.detect(
        SimpleNamespace(frame_name="a.png", conf_threshold=None, conv_mask_to_poly=False), picture
    )
    assert (kind, number) == ("mask", 0)
    left, top, right, bottom = points[-4:]
    box = np.repeat(np.arange(len(points) - 4) % 2 == 1, points[:-4]).reshape(bottom - top + 1, right - left + 1)
    assert (box == expected[top : bottom + 1, left : right + 1]).all()
    assert box.sum() == expected.sum()
    ((kind, _, points),) = function.detect(
        SimpleNamespace(frame_name="a.png", conf_threshold=0.1, conv_mask_to_poly=True), picture
    )
    assert kind == "polygon"
    assert (decode_segmentation([points], HEIGHT, WIDTH) == expected).mean() > 0.97
    assert (
        function.detect(SimpleNamespace(frame_name="a.png", conf_threshold=0.99, conv_mask_to_poly=False), picture)
        == []
    )
    for labels, texts in (("", ""), ("a;a", ""), ("a;b", "one"), ("a", " ; ")):
        with pytest.raises(InputError):
            cvat_function.create(labels, texts)


class RefusingPolicy(AreaPolicy):
    """As the other, but it has no answer about secrets."""

    def propose(self, observations: Sequence[Observation], *args: Any, **more: Any) -> list[list[Proposal]]:
        if any("secret" in one.text for one in observations):
            raise RefusedError("the server refuses")
        return super().propose(observations, *args, **more)


def test_a_cvat_label_without_an_answer_takes_no_other_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cvat_function, "_auto_annotation", lambda: StandIn)
    texts = {"a": ("a secret",), "b": ("a disc", "the secret", "the disc")}
    function = cvat_function.DetectionFunction(texts, Models(RefusingPolicy(), DiscTool(5)), SearchConfig(max_steps=1))
    context = SimpleNamespace(frame_name="7.png", conf_threshold=None, conv_mask_to_poly=False)
    shapes = function.detect(context, PillowImage.new("L", (WIDTH, HEIGHT)))
    assert [number for _, number, _ in shapes] == [1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "7.png, label 'a', 'a secret': left out: the server refuses",
        "7.png, label 'b', 'the secret': left out: the server refuses",
    ]


def test_cvat_labels_are_mapped_to_sentences_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_function, "_auto_annotation", lambda: StandIn)
    file = tmp_path / "labels.json"
    file.write_text('{"dog": "the dog ", "cup; red": ["the red cup", "the cup"]}')

    def made(labels: str = "", texts: str = "") -> Any:
        return cvat_function.create(labels, texts, "centre", "disc", texts_file=str(file))

    assert made()._texts == {"dog": ("the dog",), "cup; red": ("the red cup", "the cup")}
    assert [name for name, _, _ in made("dog").spec.labels] == ["dog"]
    for labels, texts, told in (
        ("cat", "", "says nothing about the label 'cat'"),
        ("dog;dog", "", "each label once"),
        ("dog", "the dog", "twice"),
    ):
        with pytest.raises(InputError, match=told):
            made(labels, texts)
    for content in ("[]", "{}", '{"dog": 3}', '{"dog": []}', '{"dog": [""]}', "{"):
        file.write_text(content)
        with pytest.raises(InputError, match=r"labels\.json"):
            made()


def test_cvat_function_with_the_real_sdk(tmp_path: Path) -> None:
    sdk: Any = pytest.importorskip("cvat_sdk.auto_annotation")
    masks: Any = pytest.importorskip("cvat_sdk.masks")
    models = Models(AreaPolicy(), DiscTool(5))
    function = cvat_function.DetectionFunction({"disc": ("a disc",)}, models, SearchConfig(max_steps=1))
    assert isinstance(function.spec, sdk.DetectionFunctionSpec)
    assert [(one.name, one.id, one.type) for one in function.spec.labels] == [("disc", 0, "mask")]

    class Context(sdk.DetectionFunctionContext):  # type: ignore[misc]
        frame_name = "a.png"
        conf_threshold = None
        conv_mask_to_poly = False

    class Strict(Context):
        conf_threshold = 0.99

    class Polygons(Context):
        conv_mask_to_poly = True

    picture = PillowImage.new("RGB", (WIDTH, HEIGHT))
    assert function.detect(Strict(), picture) == []
    assert [one.type.value for one in function.detect(Polygons(), picture)] == ["polygon"]
    (shape,) = function.detect(Context(), picture)
    assert (shape.type.value, shape.label_id) == ("mask", 0)
    decoded = masks.decode_mask(shape.points, image_width=WIDTH, image_height=HEIGHT)
    assert shape.points == masks.encode_mask(decoded)
