"""Telling one model's weights from another's by what it answers: what a run may be gone on with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np

from segagent.core import BoolMask, Click, Image, InputError, Observation, Policy, SegmentationTool
from segagent.environment import Episode, GenerationConfig, Target, generate_trajectories
from segagent.runs.journal import read_journal


def tool_answers(tool: SegmentationTool) -> str:
    """A digest of how a tool answers a fixed question: other weights are another tool."""
    image, disc = _question()
    episode = Episode(image, "the disc")
    (trajectory,) = generate_trajectories([episode], [Target(disc)], tool, GenerationConfig(3, 1.0, -1.0))
    asked = [(step.action, step.mask["counts"]) for step in trajectory.steps if isinstance(step.action, Click)]
    digest = hashlib.blake2b(json.dumps([(a.x, a.y, counts) for a, counts in asked]).encode(), digest_size=8)
    return digest.hexdigest()


def policy_answers(policy: Policy | None, known: str = "") -> str:
    """A digest of what an embedded policy answers to a fixed question: other weights are another policy.

    The answers are computed in float32, whatever else is, so that a run can be gone on with on another kind of CPU.
    Earlier versions computed them in bfloat16: where that gives ``known``, see :func:`known_answers`, so does this.

    Empty for other kinds. A server may answer differently each time and a large model on another machine in its last
    digits, which would make going on impossible; there the name has to do.
    """
    if policy is None or policy.name.partition(":")[0] != "embedded":
        return ""
    digest = _answers_in("float32", policy)
    return known if known not in ("", digest) and known == _answers_in("bfloat16", policy) else digest


def known_answers(path: str | Path) -> str:
    """The :func:`policy_answers` that the journal at ``path`` was begun with; empty where there is none to go on with.

    A file that cannot be read is left to the one that opens it for writing, who tells what is wrong with it.
    """
    try:
        header, _ = read_journal(path)
    except InputError:
        return ""
    config = header.get("config")
    return str(config.get("policy_answers", "")) if isinstance(config, dict) else ""


def _answers_in(number_format: Literal["bfloat16", "float32"], policy: Policy) -> str:
    from segagent.cpu import computing_in  # Not above: it loads torch, which other policies do without.

    image, disc = _question()
    with computing_in(number_format):
        replies = policy.propose([Observation(image, "the disc", mask) for mask in (np.zeros_like(disc), disc)])
    said = [[str(one[0].action), round(one[0].predicted_iou or 0.0, 2)] for one in replies]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()


def _question() -> tuple[Image, BoolMask]:
    """The fixed picture and its object, bool (64, 64)."""
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 30) ** 2 + (columns - 36) ** 2 < 400
    return Image.of(np.stack([rows * 3, columns * 3, np.where(disc, 200, 60)], axis=2).astype(np.uint8)), disc
