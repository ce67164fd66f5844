"""Options of the embedded policy's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PolicyTraining:
    """How the embedded policy and its process reward model (PRM) are trained. The PRM is trained last, where there are
    photographs."""

    minutes: float = 75.0
    """Time of all stages together, on the main thread and summed over resumptions; each stage gets its ``*_share``, the
    rest goes into drawing scenes and rolling out."""
    steps: int | None = None
    """Most steps of every stage, besides the minutes."""
    seed: int = 0
    """Of initialisation and data."""
    threads: int = 1
    """Of the CPU."""
    device: str = "cpu"
    """Where, for torch ("cpu", "cuda"), what finds and names objects is trained; the rest is small and stays on the
    CPU."""
    tool: str = "embedded"
    """Whose masks are clicked for."""
    scenes: int = 12000
    """For the detector and the object encoder."""
    outlined_pictures: int = 4000
    """Scenes and whole photographs that the object encoder learns from."""
    grounding_scenes: int = 6500
    """For grounding: pictures that detector and encoder have not seen."""
    state_scenes: int = 2000
    """For states and episodes: pictures nothing else has seen, so that doubt is honest."""
    held_out_scenes: int = 250
    """To measure on."""
    rounds: int = 2
    """How often the policy is rolled out with what it has learnt so far."""
    episodes: int = 600
    """Of each round."""
    episode_steps: int = 6
    """Most steps of an episode."""
    detector_share: float = 0.35
    """Of the time."""
    objects_share: float = 0.19
    """Of the time, for the object encoder."""
    grounding_share: float = 0.15
    """Of the time."""
    states_share: float = 0.2
    """Of the time, for the state head."""
    quality_share: float = 0.1
    """Of the time, for judging outlines."""
    looks: int = 5000
    """At masks of photographs, which the PRM learns from."""
    clicked_share: float = 0.2
    """Share of the looks at masks made by the tool."""
    prm_scenes: int = 100
    """The PRM learns from these and from the held-out photographs that do not measure it, an episode of each."""
    prm_measured: int = 60
    """Held-out photographs that measure the PRM; it learns from the others."""
    given_masks: int = 8
    """Masks of each of those that the PRM learns from besides."""
    batch_scale: float = 1.0
    """Multiplies all batch sizes."""
    photographs: tuple[Path, ...] = ()
    """COCO-format folders, drawn from in proportion to the square root of their number of things."""
    expressions: Path | None = None
    """A table of what people said of these photographs (:func:`~segagent.learning.photographs.said.read_said`)."""
    encoder: Path | None = None
    """What the network sees with: published ImageNet weights of EfficientNet-Lite0 (.pth) or an
    ``encoder.safetensors``; None: that of ``start`` or the packaged one. It stays as it is."""
    photo_views: int = 8000
    """Views of photographs for stages 1 to 3."""
    grounding_photo_views: int = 3500
    """Others, for grounding."""
    photo_share: float = 0.55
    """Share of the pictures of stages 1 to 3 that are photographs."""
    start: Path | None = None
    """Weights to continue from, instead of nothing."""
    tuning_scenes: float = 0.6
    """Share of the scenes that is enough then."""
    perception_only: bool = False
    """Keep the state and reward heads of ``start`` and train stages 1 to 3; the time of the states goes to the
    detector."""
    grounding_only: bool = False
    """Of stages 1 to 3 of ``perception_only`` the last alone, with all the time: what sentences mean."""
    nouns_only: bool = False
    """Add nothing but ImageNet's kinds of things, of the classifier in ``encoder``, to the weights of ``start``."""
    prm_only: bool = False
    """Train nothing but the PRM, on the weights of ``start``."""
