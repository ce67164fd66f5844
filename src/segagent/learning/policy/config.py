"""Options of the embedded policy's training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PolicyTraining:
    """How the embedded policy and PRM are trained.

    ``minutes`` is the time of all stages together, on the main thread and summed over resumptions; each stage gets a
    fixed share (``*_share``), the rest goes into drawing scenes and rolling out. ``steps``, where given, limits every
    stage besides. ``scenes`` are drawn for the detector and object encoder, as many again for grounding (pictures those
    two have not seen), and ``state_scenes`` for states and episodes (pictures nothing else has seen, so that doubt is
    honest). ``rounds``: how often the policy is rolled out with what it has learnt so far. ``batch_scale`` multiplies
    all batch sizes. On ``device`` (for torch: "cpu", "cuda") what finds and names objects is trained; the rest is
    small and stays on the CPU.

    ``encoder``: what the network sees with, a file of published ImageNet weights of EfficientNet-Lite0 (.pth) or an
    ``encoder.safetensors``; left out, that of ``start`` or the packaged one. It stays as it is.

    The process reward model is trained last, where there are photographs: on ``looks`` at their masks, a share
    ``clicked_share`` of them made by the tool, and on ``given_masks`` masks and an episode of each of ``prm_scenes``
    scenes and of the held-out photographs that do not measure it, of which ``prm_measured`` do. ``prm_only`` trains
    nothing but that, on the weights of ``start``.

    ``photographs``, COCO-format folders drawn from in proportion to the square root of their number of things, add
    ``photo_views`` views of photographs (and ``grounding_photo_views`` others for grounding) to stages 1 to 3, where
    ``photo_share`` of the pictures are such. ``outlined_pictures``: how many scenes and whole photographs the object
    encoder learns from. ``start`` names weights to go on from instead of nothing, for which ``tuning_scenes`` of the
    scenes are enough; ``perception_only`` keeps their state and reward heads and trains stages 1 to 3, the states'
    share of the time going to the detector.
    """

    minutes: float = 75.0
    steps: int | None = None
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    tool: str = "embedded"
    scenes: int = 12000
    outlined_pictures: int = 4000
    grounding_scenes: int = 6500
    state_scenes: int = 2000
    held_out_scenes: int = 250
    rounds: int = 2
    episodes: int = 600
    episode_steps: int = 6
    detector_share: float = 0.35
    objects_share: float = 0.19
    grounding_share: float = 0.15
    states_share: float = 0.2
    quality_share: float = 0.1
    looks: int = 5000
    clicked_share: float = 0.2
    prm_scenes: int = 100
    prm_measured: int = 60
    given_masks: int = 8
    batch_scale: float = 1.0
    photographs: tuple[Path, ...] = ()
    encoder: Path | None = None
    photo_views: int = 8000
    grounding_photo_views: int = 3500
    photo_share: float = 0.55
    start: Path | None = None
    tuning_scenes: float = 0.6
    perception_only: bool = False
    prm_only: bool = False
