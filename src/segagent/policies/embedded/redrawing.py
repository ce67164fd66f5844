"""A second opinion on found outlines: the click tool's network draws each found thing anew, asked once, coarsely.

The detector knows where things are, the click network where they end; the mean of both outlines is better than either.
The network is a frozen copy of a tool's, whichever tool carries out the policy's clicks.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segagent.core import Image, WeightsError
from segagent.vision.click_evidence import ViewEvidence, add_clicks, evidence_channels, no_clicks, view_evidence
from segagent.vision.click_network import NUM_FINE
from segagent.vision.click_views import click_disks, resized
from segagent.vision.click_weights import load_network
from segagent.vision.sight import Sight, fingerprint

FILE = "tool.safetensors"
SIDE = 128
"""Side of the view that outlines are drawn anew in, in pixels: half of the tool's own costs a fifth."""
_LEAST_CELLS = 5


class Redrawer:
    """The click network of ``path`` with the encoder ``sight``. Raises ``WeightsError`` where they do not belong
    together, or the file cannot be used.
    """

    def __init__(self, path: Path, sight: Sight) -> None:
        network, meta = load_network(path)
        if meta.get("encoder") != sight.fingerprint:
            raise WeightsError(f"{path}: was trained with another encoder than {sight.path}; keep both files together")
        self.path, self.fingerprint = path, fingerprint(path)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._sight = sight

    def redrawn(self, image: Image, coverage: Tensor) -> Tensor:
        """The mean of each outline (n, s, s) in 0..1 and what the click network makes of it, the same shape; an outline
        of which hardly anything would be left stays as it is.
        """
        found = coverage.numpy()
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):  # alike on every CPU, as the tool is
            drawn = self._draw(image, found)
        side = found.shape[1]
        mean = np.stack([(old + resized(new, side, side)) / 2 for old, new in zip(found, drawn, strict=True)])
        lost = (mean > 0.5).sum((1, 2)) < _LEAST_CELLS
        return torch.from_numpy(np.where(lost[:, None, None], found, mean).astype(np.float32, copy=False))

    def _draw(self, image: Image, found: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Masks in 0..1, float32 (n, SIDE, SIDE)."""
        num, pixels = len(found), resized(np.ascontiguousarray(image.pixels), SIDE, SIDE)[None]
        features = self._network.trunk(self._sight.views(pixels))
        view = _repeated(view_evidence(pixels), num)
        places = [_deepest(outline) for outline in found]
        clicks = add_clicks(view, no_clicks(num, SIDE // 2), [(i, x, y, True) for i, (x, y) in enumerate(places)])
        fine = np.zeros((num, NUM_FINE, SIDE, SIDE), np.float32)
        fine[:, 0] = [resized(outline, SIDE, SIDE) for outline in found]
        fine[:, 1:3] = [click_disks([(x, y, True)], SIDE) for x, y in places]
        coarse = np.stack([resized(before, SIDE // 2, SIDE // 2) for before in fine[:, 0]])
        logits = self._network.click(
            tuple(map_.expand(num, -1, -1, -1) for map_ in features),
            torch.from_numpy(fine).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(evidence_channels(view, clicks, coarse)).contiguous(memory_format=torch.channels_last),
        )
        masks: npt.NDArray[np.float32] = logits.sigmoid().numpy()
        return masks


def click_network_beside(weights: Path) -> Path:
    """The click network that goes with a file of policy weights: the one in its folder, else the packaged tool's."""
    own = weights.parent / FILE
    return own if own.is_file() else Path(str(resources.files("segagent"))) / "weights" / FILE


def redrawer_beside(weights: Path, wanted: str, sight: Sight) -> Redrawer:
    """The redrawer of a file of weights. Raises ``WeightsError`` where its network's fingerprint is not ``wanted``."""
    path = click_network_beside(weights)
    if fingerprint(path) != wanted:
        raise WeightsError(f"{weights}: was trained with another click network than {path}; keep both files together")
    return Redrawer(path, sight)


def keep_beside(redrawer: Redrawer, weights: Path) -> None:
    """See to it that :func:`redrawer_beside` finds ``redrawer`` for ``weights``: copies its files where need be."""
    found = click_network_beside(weights)
    if not found.is_file() or fingerprint(found) != redrawer.fingerprint:
        for suffix in (".json", ".safetensors"):
            partial = (weights.parent / FILE).with_suffix(".partial")
            partial.write_bytes(redrawer.path.with_suffix(suffix).read_bytes())
            partial.replace((weights.parent / FILE).with_suffix(suffix))


def _repeated(view: ViewEvidence, num: int) -> ViewEvidence:
    """The evidence of one view, ``num`` times."""
    down, up, right, left = (np.ascontiguousarray(np.repeat(cost, num, 2)) for cost in view.costs)
    lab, border = (np.asarray(np.repeat(map_, num, 0), np.float32) for map_ in (view.lab, view.border))
    return ViewEvidence(lab, (down, up, right, left), border, np.asarray(np.repeat(view.bins, num, 0), np.int32))


def _deepest(outline: npt.NDArray[np.float32]) -> tuple[float, float]:
    """(x, y) of the place deepest within an outline (s, s), as fractions; of its surest place where it is empty."""
    inside = outline > 0.5
    if not inside.any():
        inside = outline >= outline.max()
    depth = cv2.distanceTransform(np.pad(inside.astype(np.uint8), 1), cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), outline.shape[1])
    return (column + 0.5) / outline.shape[1], (row + 0.5) / outline.shape[0]
