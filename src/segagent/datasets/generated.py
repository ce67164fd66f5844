"""Generated scenes as a data set without files: ``scenes:NUM[:seed=..,split=..,complexity=..,size=..]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from segagent.core import BoolMask, Image, InputError, SpecError
from segagent.datasets.scenes import CATEGORIES, GENERATOR_VERSION, Scene, SceneConfig, generate_scene, scene_rng
from segagent.datasets.scenes.model import Split

_SPLITS = ("train", "val", "test")


def _choice(*known: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in known:
            raise ValueError(f"one of {', '.join(known)}")
        return text

    return read


def _number(low: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < low:
            raise ValueError(f"a whole number from {low}")
        return int(text)

    return read


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "seed": _number(0),
    "split": _choice(*_SPLITS),
    "complexity": _choice("mixed", "simple", "hard"),
    "size": _number(64),
    "width": _number(64),
    "height": _number(64),
    "sentences": _number(1),
}
"""Every option of a specification and what its value may be."""


@dataclass(frozen=True, eq=False)
class SceneSample:
    """One sentence about a scene. See :class:`segagent.datasets.Sample`."""

    sample_id: str
    image_name: str
    text: str
    category: str
    kind: str
    image: Image
    target: BoolMask

    def load_image(self) -> Image:
        """The drawn picture."""
        return self.image

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """The object's visible pixels, bool (height, width)."""
        return self.target, None


@dataclass(frozen=True)
class SceneGroup:
    """One scene, drawn when its samples are asked for."""

    split: Split
    seed: int
    index: int
    config: SceneConfig

    @property
    def image_name(self) -> str:
        """Split, seed and number of the scene."""
        return f"{self.split}_{self.seed}_{self.index:06d}"

    def samples(self) -> Sequence[SceneSample]:
        """One sample per sentence."""
        scene = self.scene()
        image = Image(scene.image)
        return [
            SceneSample(
                f"{self.image_name}_{number:02d}",
                self.image_name,
                expression.text,
                scene.objects[expression.target].category,
                expression.kind,
                image,
                scene.objects[expression.target].mask,
            )
            for number, expression in enumerate(scene.expressions)
        ]

    def scene(self) -> Scene:
        """The scene itself."""
        return generate_scene(scene_rng(self.split, self.seed, self.index), self.config)


class ScenesDataset:
    """Scenes 0 to ``num - 1`` of a random stream, drawn one at a time; one sample per sentence.

    ``categories``: everything that is ever drawn, in one order for all such data sets.
    """

    categories = CATEGORIES

    def __init__(
        self,
        num: int,
        *,
        seed: int = 1,
        split: Split = "train",
        config: SceneConfig = SceneConfig(),  # noqa: B008 - frozen
    ) -> None:
        if num < 1:
            raise InputError(f"scenes: the number must be at least 1, got {num}")
        self.num_images = num
        self._seed, self._split, self._config = seed, split, config

    @staticmethod
    def from_spec(spec: str) -> ScenesDataset:
        """The data set that ``scenes:NUM[:name=value,...]`` names. Raises ``SpecError`` saying what is expected."""
        _, _, rest = spec.partition(":")
        number, colon, options = rest.partition(":")
        values: dict[str, Any] = {}
        try:
            num = _number(1)(number)
        except ValueError as error:
            raise SpecError(f"{spec!r}: expected scenes:NUM with NUM {error}, got {number!r:.80}") from error
        for part in options.split(",") if colon else []:
            name, _, value = part.partition("=")
            if name not in _OPTIONS or name in values:
                known = ", ".join(_OPTIONS)
                raise SpecError(f"{spec!r}: {part!r:.80} is not name=value, each once, with a name out of {known}")
            try:
                values[name] = _OPTIONS[name](value)
            except ValueError as error:
                raise SpecError(f"{spec!r}: {name} must be {error}, got {value!r:.80}") from error
        seed, split = values.pop("seed", 1), cast(Split, values.pop("split", "train"))
        if "sentences" in values:
            values["max_expressions"] = values.pop("sentences")
        return ScenesDataset(num, seed=seed, split=split, config=SceneConfig(**values))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of every scene in pixels."""
        return self._config.shape

    @cached_property
    def spec(self) -> str:
        """The specification with every option, so that the same scenes can be made again."""
        height, width = self.shape
        return (
            f"scenes:{self.num_images}:seed={self._seed},split={self._split},"
            f"complexity={self._config.complexity},width={width},height={height},"
            f"sentences={self._config.max_expressions}"
        )

    @property
    def fingerprint(self) -> str:
        """The generator's version and all settings."""
        config = self._config
        numbers = f"{config.min_objects}-{config.max_objects} {config.degrade} {config.photographs}"
        return f"{GENERATOR_VERSION} {self.spec} {numbers}"

    def __iter__(self) -> Iterator[SceneSample]:
        for group in self.groups():
            yield from group.samples()

    def groups(self) -> Iterator[SceneGroup]:
        """See :class:`segagent.datasets.Dataset`; nothing is drawn yet."""
        return (SceneGroup(self._split, self._seed, index, self._config) for index in range(self.num_images))

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        prefix, _, index = name.rpartition("_")
        if prefix != f"{self._split}_{self._seed}" or not index.isdigit() or int(index) >= self.num_images:
            raise InputError(f"{self.spec}: holds no image {name!r:.80}")
        return Image(SceneGroup(self._split, self._seed, int(index), self._config).scene().image)
