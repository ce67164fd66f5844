"""Annotate, refine or score one image. Inputs are checked before any model is asked."""

from __future__ import annotations

from segagent.core import (
    BoolMask,
    Box,
    Image,
    InputError,
    Observation,
    Policy,
    SegmentationTool,
    SegmentRequest,
    Trajectory,
    empty_mask,
    frozen_mask,
)
from segagent.environment import Episode, StartSpec
from segagent.policies import require_predicted_iou, with_first_box
from segagent.policies.doubts import KnowsItsDoubts, KnowsItsWords
from segagent.policies.first_box import FirstBoxPolicy
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool

MAX_TEXT_LENGTH = 2000
"""Longer sentences are refused: no referring expression is that long, so it is a mistake."""


def annotate_image(
    image: Image,
    text: str,
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig = SearchConfig(),
    *,
    start: StartSpec | None = None,
    seed: int = 0,
    image_name: str = "",
) -> Trajectory:
    """The episode of ``policy`` and ``tool`` looking for what ``text`` says, from ``start`` (default: the empty mask).

    ``seed`` drives all sampling; ``image_name`` is for the record. The answer is the mask of the returned state,
    ``trajectory.mask_at(trajectory.returned)``. From a mask or box that is given, no first box is asked for. Raises
    ``InputError`` for a text that is empty or too long, for a start that does not fit image or tool, and where several
    candidates are asked for of a policy that predicts no IoU to choose by.
    """
    text = checked_text(text)
    if config.num_candidates > 1:
        require_predicted_iou(policy, "a choice between candidates")
    if start is not None:
        policy = with_first_box(policy, "none")
    start = start if start is not None else StartSpec()
    if start.kind == "mask" and start.mask is not None:
        mask_start(start.mask, image)
    if start.kind == "box" and start.box is not None:
        start = box_start(start.box, image, tool)
    if isinstance(policy, FirstBoxPolicy) and not tool.accepts_box:
        raise InputError(
            f"the tool {tool.name!r} takes no box, so the first action cannot be one; begin with a click "
            "(--first-box none), or give the mask that another tool makes of the box (--seed-mask)"
        )
    episode = Episode(
        image=image, text=text, sample_id=image_name or image.key, image_name=image_name, start=start, seed=seed
    )
    return run_search([episode], policy, tool, config)[0]


def refine_image(
    image: Image,
    text: str,
    policy: Policy,
    tool: SegmentationTool,
    config: SearchConfig = SearchConfig(),
    *,
    mask: BoolMask,
    seed: int = 0,
    image_name: str = "",
) -> Trajectory:
    """As :func:`annotate_image`, from ``mask`` (bool (height, width)); never returns one that the policy scores worse.

    State 0, the given mask, is scored as every other and returned where nothing better was found; nothing else stands
    in the way of a better-scored mask (the margins of a data set's refine are for masks that nobody looks at). Raises
    ``InputError`` for a policy that predicts no IoU, which could not keep that promise.
    """
    require_predicted_iou(policy, "refining")
    if not config.use_prm:
        raise InputError("refining needs the predicted IoU to choose what it returns; use it in the search")
    trajectory = annotate_image(
        image, text, policy, tool, config, start=mask_start(mask, image), seed=seed, image_name=image_name
    )
    given = _require_prediction(policy, trajectory.start.predicted_iou)
    returned = trajectory.predicted_iou_at(trajectory.returned)
    assert returned is not None
    assert returned >= given, "the search returned a state scored below its start"
    return trajectory


def score_mask(image: Image, text: str, mask: BoolMask, policy: Policy) -> float:
    """What the policy thinks is the IoU of ``mask`` (bool (height, width)) with what ``text`` says, in [0, 1].

    Raises ``InputError`` for a policy that predicts no IoU or whose reply could not be read.
    """
    require_predicted_iou(policy, "scoring")
    start = mask_start(mask, image)
    assert start.mask is not None
    reply = policy.propose([Observation(image, checked_text(text), start.mask)])[0][0]
    return _require_prediction(policy, reply.predicted_iou)


def require_doubts(policy: Policy) -> None:
    """Refuse a policy that never has doubts, where only what it doubts is wanted. Raises ``InputError``."""
    if not isinstance(getattr(policy, "clicker", policy), KnowsItsDoubts | KnowsItsWords):
        raise InputError(
            f"--only doubtful: policy {policy.name!r:.200} never says that it has doubts; choose by a run of one that "
            "does: segagent review RUN --only doubtful -o todo, then --only id=@todo/worklist.json"
        )


def checked_text(text: str) -> str:
    """``text`` without white space around it. Raises ``InputError`` if nothing is left or it cannot be a sentence."""
    text = text.strip()
    if not text:
        raise InputError("the text is empty; say what to segment, for example 'the striped mug left of the book'")
    if len(text) > MAX_TEXT_LENGTH:
        raise InputError(f"the text has {len(text)} characters, more than {MAX_TEXT_LENGTH}; describe one object")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError("the text is not valid UTF-8; check the terminal's character encoding")
    return text


def mask_start(mask: BoolMask, image: Image) -> StartSpec:
    """An episode that begins with ``mask``, bool (height, width). Raises ``InputError`` if it is of another size."""
    if mask.shape != (image.height, image.width):
        got = " x ".join(str(length) for length in reversed(mask.shape))
        raise InputError(f"the mask has {got} pixels, the image {image.width} x {image.height} (width x height)")
    return StartSpec(kind="mask", mask=frozen_mask(mask))


def box_start(box: Box, image: Image, tool: SegmentationTool) -> StartSpec:
    """An episode that begins with the mask for ``box``: the tool's own, or grabCut's where the tool takes no box.

    Raises ``InputError`` if the box is empty or not inside the image.
    """
    if not box.inside(image.height, image.width):
        raise InputError(
            f"box {box.x0},{box.y0},{box.x1},{box.y1} is empty or not inside the image; expected "
            f"0 <= X0 < X1 <= {image.width} and 0 <= Y0 < Y1 <= {image.height}"
        )
    if tool.accepts_box:
        return StartSpec(kind="box", box=box)
    grabcut = make_tool("grabcut")
    empty = empty_mask(image.height, image.width)
    answer = grabcut.segment([SegmentRequest(grabcut.embed([image])[0], empty, None, (box,))])[0]
    return StartSpec(kind="mask", mask=answer.mask)


def _require_prediction(policy: Policy, predicted_iou: float | None) -> float:
    if predicted_iou is None:
        raise InputError(f"policy {policy.name!r} predicts no IoU for this mask; use another policy to score or refine")
    return predicted_iou
