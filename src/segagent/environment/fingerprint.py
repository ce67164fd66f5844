"""Telling one tool's weights from another's by what it answers."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from segagent.core import Click, Image, SegmentationTool
from segagent.environment.generation import GenerationConfig, generate_trajectories
from segagent.environment.mdp import Episode, Target


def tool_answers(tool: SegmentationTool) -> str:
    """A digest of how a tool answers a fixed question: other weights are another tool."""
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 30) ** 2 + (columns - 36) ** 2 < 400
    pixels = np.stack([rows * 3, columns * 3, np.where(disc, 200, 60)], axis=2).astype(np.uint8)
    episode = Episode(Image.of(pixels), "the disc")
    (trajectory,) = generate_trajectories([episode], [Target(disc)], tool, GenerationConfig(3, 1.0, -1.0))
    asked = [(step.action, step.mask["counts"]) for step in trajectory.steps if isinstance(step.action, Click)]
    digest = hashlib.blake2b(json.dumps([(a.x, a.y, counts) for a, counts in asked]).encode(), digest_size=8)
    return digest.hexdigest()
