"""The doctor against models with planted conventions: it finds each, and refuses what has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segagent.cli.main import main
from segagent.core import Click, Pixels
from segagent.policies.chat import (
    FORMATS,
    ChatFormat,
    ChatPolicy,
    Fixed,
    Multiples,
    Question,
    Reply,
    Usage,
    load_format,
)
from segagent.policies.chat.space import Size
from segagent.policies.doctor import Diagnosis, examine

Convention = Callable[[float, float, Size], tuple[float, float]]


class SeeingModel:
    """Really looks for the red disc and the green layer, and writes what it finds by a planted convention."""

    def __init__(self, convention: Convention, *, blur: float = 0.0, iou: str = "seen", every: int = 1) -> None:
        self._convention = convention
        self._rng = np.random.default_rng(0)
        self._blur = blur
        self._iou = iou
        self._every = every
        self._count = 0

    @property
    def usage(self) -> Usage:
        return Usage(calls=self._count, prompt_tokens=100 * self._count, completion_tokens=20 * self._count)

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        return [[Reply(self._say(question.pictures[-1].pixels))] * num_replies for question in questions]

    def _say(self, pixels: Pixels) -> str:
        self._count += 1
        if self._count % self._every:
            return "I am sorry, I cannot point at things."
        red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
        disc, covered = red - blue > 60, green - red > 15
        rows, columns = np.nonzero(disc)
        height, width = pixels.shape[:2]
        noise = self._rng.normal(size=2) * self._blur * np.hypot(height, width)
        first, second = self._convention(columns.mean() + 0.5 + noise[0], rows.mean() + 0.5 + noise[1], (height, width))
        overlap = (disc & covered).sum() / (disc | covered).sum()
        iou = {"seen": round(float(overlap), 2), "constant": 0.8, "random": round(float(self._rng.random()), 2)}[
            self._iou
        ]
        return f'Here it is. {{"iou": {iou}, "action": "positive", "point": [{first:g}, {second:g}]}}'


def thousandths(x: float, y: float, size: Size) -> tuple[float, float]:
    return round(x / size[1] * 1000), round(y / size[0] * 1000)


def pixels_of(rule: Fixed | Multiples) -> Convention:
    def convert(x: float, y: float, size: Size) -> tuple[float, float]:
        rows, columns = rule.shown(size)
        return int(x * columns / size[1]), int(y * rows / size[0])

    return convert


def diagnose(convention: Convention, fmt: ChatFormat = FORMATS["qwen3"], **settings: object) -> Diagnosis:
    policy = ChatPolicy("seeing", SeeingModel(convention, **settings), fmt)  # type: ignore[arg-type]
    return examine(policy, num_pictures=12, num_masks=6)


PLANTED: dict[str, tuple[Convention, str, dict[str, object]]] = {
    "thousandths": (thousandths, "qwen3", {"scale": 1000, "axes": "xy"}),
    "swapped thousandths": (lambda x, y, s: thousandths(x, y, s)[::-1], "qwen3", {"scale": 1000, "axes": "yx"}),
    "gemini taken for pixels": (lambda x, y, s: thousandths(x, y, s)[::-1], "pixels", {"scale": 1000, "axes": "yx"}),
    "shares": (lambda x, y, s: (round(x / s[1], 3), round(y / s[0], 3)), "qwen3", {"scale": 1, "axes": "xy"}),
    "percent": (lambda x, y, s: (round(100 * x / s[1], 1), round(100 * y / s[0], 1)), "qwen3", {"scale": 100}),
    "pixels": (lambda x, y, s: (int(x), int(y)), "qwen3", {"scale": None, "axes": "xy"}),
    "swapped pixels": (lambda x, y, s: (int(y), int(x)), "qwen3", {"scale": None, "axes": "yx"}),
    "resized pixels": (pixels_of(Multiples(28, 56 * 56, 1280 * 28 * 28)), "pixels", {"scale": None}),
    "a square": (pixels_of(Fixed(448, 448)), "qwen3", {"scale": None}),
    "offset": (lambda x, y, s: (thousandths(x, y, s)[0] + 60, thousandths(x, y, s)[1] - 35), "qwen3", {"scale": 1000}),
    "unheard-of scale": (lambda x, y, s: (round(x / s[1] * 555), round(y / s[0] * 555)), "qwen3", {}),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("blur", [0.0, 0.008])
def test_finds_the_planted_convention(name: str, blur: float) -> None:
    convention, used, expected = PLANTED[name]
    found = diagnose(convention, FORMATS[used], blur=blur)
    assert found.fit is not None, found.reason
    assert found.format is not None
    for key, value in expected.items():
        assert getattr(found.format.space, key) == value, found.fit.convention
    assert found.fit.median_error < 0.01 + blur
    assert found.valid_actions > 0.9
    if name == "offset":
        assert found.format.space.offset == pytest.approx((60, -35), abs=6 if blur else 1.5)
    # The format that was found reads the model's replies where they point.
    for height, width, x, y in ((480, 640, 500, 100), (1150, 1700, 1600, 1100), (333, 900, 450, 300)):
        first, second = convention(x + 0.5, y + 0.5, (height, width))
        action, _ = found.format.parse(f'{{"action": "positive", "point": [{first:g}, {second:g}]}}', height, width)
        assert isinstance(action, Click), (found.format, action)
        assert np.hypot(action.x - x, action.y - y) < (0.006 + 2 * blur) * np.hypot(height, width)


def test_says_when_the_format_in_use_is_right() -> None:
    assert diagnose(thousandths).format_is_right
    assert diagnose(thousandths, FORMATS["internvl"], blur=0.01).format_is_right
    assert not diagnose(thousandths, FORMATS["gemini"]).format_is_right
    assert diagnose(pixels_of(Multiples()), FORMATS["qwen2.5"]).format_is_right


class CroppingModel(SeeingModel):
    """Sees only the square in the middle, as processors of LLaVA-1.5's kind cut it out."""

    def _say(self, pixels: Pixels) -> str:
        height, width = pixels.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        cropped = pixels[top : top + side, left : left + side]
        red, blue = cropped[..., 0].astype(np.int16), cropped[..., 2].astype(np.int16)
        return super()._say(cropped) if (red - blue > 60).any() else "I see no disc."


def test_squeezed_pictures_are_examined_squeezed() -> None:
    squeezing = replace(FORMATS["qwen3"], resize=Fixed(336, 336))
    found = examine(ChatPolicy("llava", CroppingModel(thousandths), squeezing), num_pictures=12, num_masks=6)
    assert found.format_is_right
    assert found.format == squeezing
    swapped = CroppingModel(lambda x, y, s: thousandths(x, y, s)[::-1])
    found = examine(ChatPolicy("llava", swapped, squeezing), num_pictures=12, num_masks=6)
    assert found.format is not None
    assert (found.format.space.axes, found.format.resize) == ("yx", Fixed(336, 336))
    cropped = examine(ChatPolicy("llava", CroppingModel(thousandths), FORMATS["qwen3"]), num_pictures=12, num_masks=6)
    assert cropped.num_points < 12, "the discs at the margins were cut off"


@pytest.mark.parametrize("seed", range(2))
def test_refuses_a_random_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for high in (1, 100, 1000):
        found = diagnose(lambda x, y, s, high=high: (rng.random() * high, rng.random() * high))  # type: ignore[misc]
        assert found.fit is None
        assert found.format is None
        assert "no fixed relation" in found.reason


def test_refuses_a_model_that_always_says_the_middle() -> None:
    found = diagnose(lambda x, y, s: (500, 500))
    assert found.fit is None


def test_refuses_with_too_few_points() -> None:
    found = diagnose(thousandths, every=4)
    assert found.fit is None
    assert "readable points" in found.reason
    assert found.unread[0].startswith("I am sorry")


def test_iou_estimates() -> None:
    assert diagnose(thousandths).iou_means_something
    assert diagnose(thousandths).iou_rank_correlation == pytest.approx(1.0, abs=0.05)
    assert not diagnose(thousandths, iou="constant").iou_means_something
    assert diagnose(thousandths, iou="constant").iou_rank_correlation is None


def test_cost_is_told() -> None:
    found = diagnose(thousandths)
    assert found.tokens_per_call == 120
    assert found.seconds_per_call > 0


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import segagent.policies

    def fake(spec: str) -> ChatPolicy:
        convention = (lambda x, y, s: (7, 7)) if "useless" in spec else PLANTED["swapped thousandths"][0]
        return ChatPolicy(spec, SeeingModel(convention), FORMATS["qwen3"])

    monkeypatch.setattr(segagent.policies, "make_policy", fake)
    path = tmp_path / "format.json"
    assert main(["doctor", "openai:x@http://h", "-o", str(path)]) == 0
    assert "y before x; format 'qwen3' is wrong" in capsys.readouterr().out
    assert load_format(str(path)).space == replace(FORMATS["gemini"].space)
    assert json.loads(path.read_text())["findings"]["iou_means_something"]
    assert main(["doctor", "openai:useless@http://h", "-o", str(tmp_path / "none.json"), "--json"]) == 1
    assert "no format fits" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_embedded_policies_need_no_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "centre"]) == 2
    assert "pixels of the image already" in capsys.readouterr().err
