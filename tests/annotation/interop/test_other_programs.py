"""Interfaces of libraries that are no part of this one: with stand-ins, and with the real ones where installed."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from interop_runs import HEIGHT, WIDTH, AreaPolicy
from PIL import Image as PillowImage

from segagent.annotation.batch import Models, Run
from segagent.annotation.interop import cvat_clicks, cvat_function
from segagent.annotation.interop.detections import detections_of
from segagent.core import (
    Box,
    Click,
    Image,
    InputError,
    MissingExtraError,
    Observation,
    Proposal,
    RefusedError,
    State,
    empty_mask,
)
from segagent.datasets.coco_masks import decode_segmentation
from segagent.environment import step
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool


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
        ("cvat_sdk", lambda run: cvat_clicks.create("disc")),
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
    def InteractionFunctionSpec(**more: Any) -> Any:  # noqa: N802
        return more

    @staticmethod
    def InteractionResultShape(type: str, points: list[float]) -> Any:  # noqa: N802
        return SimpleNamespace(type=type, points=points)

    @staticmethod
    def polygon(number: int, points: list[float]) -> Any:
        return ("polygon", number, points)


def test_cvat_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_function, "auto_annotation", lambda: StandIn)
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
    monkeypatch.setattr(cvat_function, "auto_annotation", lambda: StandIn)
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
    monkeypatch.setattr(cvat_function, "auto_annotation", lambda: StandIn)
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


def prompts(positive: Any = (), negative: Any = (), box: Any = None) -> Any:
    return SimpleNamespace(pos_points=positive, neg_points=negative, bounding_box=box)


def clicked(*given: Click | Box) -> Any:
    tool = DiscTool(5)
    image = Image.of(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    state = State(empty_mask(HEIGHT, WIDTH))
    for prompt in given:
        state = step(tool.embed([image])[0], state, prompt, tool)
    return state.mask


def drawn(points: Sequence[float]) -> Any:
    left, top, right, bottom = (int(number) for number in points[-4:])
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    runs = [int(number) for number in points[:-4]]
    box = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(bottom - top + 1, right - left + 1)
    mask[top : bottom + 1, left : right + 1] = box
    return mask


def check_clicks(function: Any) -> None:
    prepared = function.preprocess_image(None, PillowImage.new("L", (WIDTH, HEIGHT)))
    right, low = WIDTH - 1, HEIGHT - 1
    for asked, expected in (
        (prompts([(10.9, 8.0)]), [Click(10, 8, True)]),
        (prompts([(10.9, 8.0)], [(14.2, 8.5)]), [Click(10, 8, True), Click(14, 8, False)]),
        (prompts([(WIDTH, HEIGHT)]), [Click(right, low, True)]),
        (prompts(box=((3.2, 4.9), (20.1, 12.0))), [Box(3, 4, 21, 12)]),
        (prompts([], [(6.0, 6.0)], ((-3.0, 4.0), (20.1, 12.0))), [Box(0, 4, 21, 12), Click(6, 6, False)]),
    ):
        (shape,) = function.detect(None, prepared, asked)
        assert shape.type == "mask"
        np.testing.assert_array_equal(drawn(shape.points), clicked(*expected))
    assert function.detect(None, prepared, prompts()) == []
    assert function.detect(None, prepared, prompts(box=((3.0, 4.0), (3.0, 9.0)))) == []


def test_cvat_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvat_clicks, "auto_annotation", lambda: StandIn)
    function = cvat_clicks.InteractionFunction(DiscTool(5))
    assert function.spec == {"min_pos_points": 0, "min_neg_points": 0, "min_bounding_boxes": 0}
    check_clicks(function)


def test_cvat_clicks_with_the_real_sdk() -> None:
    sdk: Any = pytest.importorskip("cvat_sdk.auto_annotation")
    function = cvat_clicks.InteractionFunction(DiscTool(5))
    assert isinstance(function.spec, sdk.InteractionFunctionSpec)
    check_clicks(function)
