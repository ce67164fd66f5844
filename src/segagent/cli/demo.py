"""``segagent demo``: the main job on pictures that need no download, a generated scene and three photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import ToolOption
from segagent.cli.console import reporting_errors, say, waiting

if TYPE_CHECKING:
    from segagent.core import Image

SCENE_SEED, SCENE_NUMBER = 7, 1
PHOTOGRAPHS = (("coffee", "the mug"), ("chelsea", "the cat"), ("astronaut", "the woman in orange"))
"""Names of scikit-image's pictures, and what to segment in each."""


@reporting_errors
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("demo"),
    policy: Annotated[str, typer.Option("--policy", help="Who clicks.")] = "embedded",
    tool: ToolOption = "embedded",
) -> None:
    """Run the main job on a generated scene and on photographs that come with scikit-image."""
    from segagent.annotation import annotate_image, require_folder_or_nothing, write_result
    from segagent.cli.picture import summarise
    from segagent.core import iou
    from segagent.datasets.scenes import generate_scene, scene_rng
    from segagent.imaging import save_png
    from segagent.policies import make_policy
    from segagent.tools import make_tool

    require_folder_or_nothing(out)
    with waiting("loading the models", quiet=False):
        annotator, segmenter = make_policy(policy), make_tool(tool)

    say("1. A generated scene of the test split, which no training has seen.")
    scene = generate_scene(scene_rng("test", SCENE_SEED, SCENE_NUMBER))
    expression = next(expression for expression in scene.expressions if expression.kind == "relation")
    image = _image(scene.image)
    trajectory = annotate_image(image, expression.text, annotator, segmenter, image_name="scene.png")
    write_result(out / "scene", image, trajectory)
    save_png(out / "scene" / "image.png", image.pixels)
    summarise(trajectory, out / "scene")
    true = iou(trajectory.mask_at(trajectory.returned), scene.objects[expression.target].mask)
    say(f"  true IoU {true:.2f}, known because the scene was generated")

    say()
    say("2. Photographs from scikit-image, none chosen for how well it goes.")
    for name, text in PHOTOGRAPHS:
        image = _photograph(name)
        trajectory = annotate_image(image, text, annotator, segmenter, image_name=f"{name}.png")
        write_result(out / name, image, trajectory)
        save_png(out / name / "image.png", image.pixels)
        summarise(trajectory, out / name)
    say("  Note: the embedded policy is small and sees a photograph less well than a scene; docs/results.md says how")
    say("  well. A larger policy goes through the same commands.")

    say()
    say("Look at " + ", ".join(str(out / name / "steps.png") for name in ("scene", *(name for name, _ in PHOTOGRAPHS))))


def _photograph(name: str) -> Image:
    """A photograph inside the installed scikit-image; nothing is downloaded."""
    import skimage.data

    return _image(getattr(skimage.data, name)())


def _image(pixels: object) -> Image:
    import numpy as np

    from segagent.core import Image

    return Image.of(np.asarray(pixels, np.uint8))
