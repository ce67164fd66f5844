"""What a person gets: the folder with mask, pictures and record, and the object that ``--json`` prints."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segagent.core import Image, InputError, Trajectory
from segagent.imaging import draw_overlay, encode_png, film_strip, write_bytes

MASK_FILE = "mask.png"
OVERLAY_FILE = "overlay.png"
STEPS_FILE = "steps.png"
TRAJECTORY_FILE = "trajectory.json"


def write_result(out: str | Path, image: Image, trajectory: Trajectory) -> None:
    """Write the four files of one episode into the folder ``out``: all of them or none where it is a new folder.

    - ``mask.png``: the returned mask, 8-bit grey, 255 object and 0 rest, exactly the upright image's size.
    - ``overlay.png``: the image with that mask as a green layer.
    - ``steps.png``: the film strip, see :func:`segagent.imaging.film_strip`.
    - ``trajectory.json``: the record, see :data:`segagent.core.SCHEMA`.

    In a folder that exists, files of these names are replaced, each at once. Raises ``InputError`` if that fails.
    """
    mask = trajectory.mask_at(trajectory.returned)
    files = {
        MASK_FILE: encode_png(mask),
        OVERLAY_FILE: encode_png(draw_overlay(image.pixels, mask)),
        STEPS_FILE: encode_png(film_strip(image, trajectory)),
        TRAJECTORY_FILE: (json.dumps(trajectory.to_dict(), indent=1) + "\n").encode("ascii"),
    }
    write_folder(Path(out), files)


def write_folder(out: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` (name to content) into ``out``; a new folder appears complete or not at all."""
    require_folder_or_nothing(out)
    if out.is_dir():
        for name, content in files.items():
            write_bytes(out / name, content)
        return
    partial = out.parent / f".{out.name[:80]}.{uuid.uuid4().hex[:12]}.part"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be created ({error.strerror}); choose another folder") from error
    try:
        for name, content in files.items():
            write_bytes(partial / name, content)
        partial.rename(out)
    except OSError as error:
        raise InputError(f"{out}: cannot be created ({error.strerror}); choose another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_folder_or_nothing(out: Path) -> None:
    """Raise ``InputError`` if results could not be written to ``out``, before time is spent on making them."""
    try:
        taken = (out.exists() or out.is_symlink()) and not out.is_dir()
        parents = [parent for parent in (out, *out.parents) if parent.exists()]
    except (OSError, ValueError) as error:
        raise InputError(f"{str(out)[:200]!r}: not a usable folder name ({error}); choose another") from error
    if taken:
        raise InputError(f"{out}: is not a folder; give a new or an existing folder for the results")
    if parents and not parents[0].is_dir():
        raise InputError(f"{out}: {parents[0]} is a file; choose another folder")


def result_dict(trajectory: Trajectory, out: str | Path, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """The object that ``--json`` prints.

    ``predicted_iou`` is that of the returned mask (null for a policy that predicts none), ``num_steps`` counts all
    steps made, ``returned_step`` is the state that was returned (0: the start), ``clicks`` are those up to it, in
    original-image pixels, ``stopped`` is the reason's name, ``mask`` the path of the mask, ``seconds`` the time that
    policy and tool took, ``usage`` what the policy's model cost (null for one that does not tell).
    """
    return {
        "predicted_iou": trajectory.predicted_iou_at(trajectory.returned),
        "num_steps": len(trajectory.steps),
        "returned_step": trajectory.returned,
        "clicks": [{"x": click.x, "y": click.y, "positive": click.positive} for click in trajectory.clicks],
        "stopped": trajectory.stopped,
        "mask": str(Path(out) / MASK_FILE),
        "seconds": round(trajectory.seconds, 3),
        "num_invalid": trajectory.num_invalid,
        "usage": None if trajectory.usage is None else trajectory.usage.to_dict(),
        "warnings": list(warnings),
    }
