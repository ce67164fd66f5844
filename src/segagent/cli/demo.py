"""``segagent demo``: the main job on two pictures that need no download, a generated scene and a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.console import reporting_errors, say, waiting

if TYPE_CHECKING:
    from segagent.core import Image

SCENE_SEED, SCENE_NUMBER = 7, 1
PHOTOGRAPH_TEXT = "the mug"


@reporting_errors
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("demo"),
    policy: Annotated[str, typer.Option("--policy", help="Who clicks.")] = "embedded",
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
) -> None:
    """Run the main job on a generated scene and on a photograph that comes with scikit-image."""
    from segagent.annotation import annotate_image, require_folder_or_nothing, write_result
    from segagent.cli.annotate import summarise
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
    say("2. A photograph from scikit-image.")
    image = _coffee()
    trajectory = annotate_image(image, PHOTOGRAPH_TEXT, annotator, segmenter, image_name="coffee.png")
    write_result(out / "photograph", image, trajectory)
    save_png(out / "photograph" / "image.png", image.pixels)
    summarise(trajectory, out / "photograph")
    say("  Note: the embedded policy has learnt little of photographs: expect a wrong object or a wrong score there;")
    say("  a larger policy is what photographs need.")

    say()
    say(f"Look at {out / 'scene' / 'steps.png'} and {out / 'photograph' / 'steps.png'}")


def _coffee() -> Image:
    """The coffee cup photograph inside the installed scikit-image; nothing is downloaded."""
    import skimage.data

    return _image(skimage.data.coffee())  # type: ignore[no-untyped-call]


def _image(pixels: object) -> Image:
    import numpy as np

    from segagent.core import Image

    return Image.of(np.asarray(pixels, np.uint8))
