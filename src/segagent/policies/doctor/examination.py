"""Examine a model: what its coordinates mean, how well it points, whether its IoU estimates mean anything, its cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segagent.core import Click
from segagent.policies.chat import ChatFormat, ChatPolicy, Fixed, Keep, Resize, ask
from segagent.policies.chat.reading import WrittenPoint, read_reply
from segagent.policies.doctor.fitting import Convention, Fit, best_fit
from segagent.policies.doctor.pictures import KnownObject, clean_look, make_targets, masked_looks


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found. ``fit`` is None where nothing fits, and ``reason`` then says why.

    ``format``: the examined format with the convention that was found, None without one; ``format_is_right``: whether
    it is the one in use. ``iou_rank_correlation`` and ``iou_correlation`` (Spearman, Pearson) are None with fewer than
    four readable estimates or where all are alike. ``valid_actions``: share of clicks that the found format reads.
    """

    num_asked: int
    num_points: int
    fit: Fit | None
    reason: str
    format: ChatFormat | None
    format_is_right: bool
    valid_actions: float
    num_ious: int
    iou_correlation: float | None
    iou_rank_correlation: float | None
    seconds_per_call: float
    tokens_per_call: float
    unread: tuple[str, ...]

    @property
    def iou_means_something(self) -> bool:
        """Whether the estimates rise with the true IoU clearly enough to choose between masks by them."""
        return self.iou_rank_correlation is not None and self.iou_rank_correlation >= 0.5


def examine(policy: ChatPolicy, *, num_pictures: int = 18, num_masks: int = 12, seed: int = 0) -> Diagnosis:
    """Ask ``policy``'s model about ``num_pictures`` empty masks and ``num_masks`` masks of known quality, greedily.

    Pictures are sent at their own size, so that a resizing that the server does on its own is seen; but where the
    format squeezes them to a size that keeps a processor from cropping, they are squeezed.
    """
    fmt = replace(policy.format, resize=_uncropped(policy.format), first_box=False)
    targets = make_targets(num_pictures, seed)
    before, began = policy.usage, time.perf_counter()
    texts = _answers(policy, fmt, targets)
    pairs, found, unread = _points(texts, targets)
    current = Convention(policy.format.space, policy.format.resize, f"as in format {policy.format.name!r}")
    fit, reason = best_fit(pairs, found, current)
    looks = masked_looks(targets, num_masks)
    questions = [ask(fmt, look) for look, _ in looks]
    replies = policy.model.reply(questions, 1, temperature=0.0, seeds=None)
    seconds = time.perf_counter() - began
    spent = policy.usage - before
    estimates = []
    for (look, true), row in zip(looks, replies, strict=True):
        _, predicted = fmt.parse(row[0].text, look.image.height, look.image.width)
        if predicted is not None:
            estimates.append((predicted, true))
    pearson, spearman = _correlations(estimates)
    right = fit is not None and fit.convention == current
    made = None if fit is None else _found_format(policy.format, fit, right=right)
    asked = num_pictures + num_masks
    return Diagnosis(
        num_asked=num_pictures,
        num_points=len(pairs),
        fit=fit,
        reason=reason,
        format=made,
        format_is_right=right,
        valid_actions=0.0 if made is None else _valid_share(made, texts, targets),
        num_ious=len(estimates),
        iou_correlation=pearson,
        iou_rank_correlation=spearman,
        seconds_per_call=seconds / asked,
        tokens_per_call=(spent.prompt_tokens + spent.completion_tokens) / max(1, spent.calls),
        unread=tuple(unread[:3]),
    )


def _answers(policy: ChatPolicy, fmt: ChatFormat, targets: Sequence[KnownObject]) -> list[str]:
    questions = [ask(fmt, clean_look(target)) for target in targets]
    return [row[0].text for row in policy.model.reply(questions, 1, temperature=0.0, seeds=None)]


def _points(
    texts: Sequence[str], targets: Sequence[KnownObject]
) -> tuple[list[WrittenPoint], list[KnownObject], list[str]]:
    """The replies that hold exactly one point, as written, with their pictures; and the other replies."""
    pairs, found, unread = [], [], []
    for text, target in zip(texts, targets, strict=True):
        evidence = read_reply(text)
        if evidence.problem or len(set(evidence.points)) != 1:
            unread.append(text)
        else:
            pairs.append(evidence.points[0])
            found.append(target)
    return pairs, found, unread


def _found_format(fmt: ChatFormat, fit: Fit, *, right: bool) -> ChatFormat:
    if right:
        return fmt
    found = fit.convention
    resize = _uncropped(fmt) if found.space.scale is not None else found.resize
    return replace(fmt, name=f"{fmt.name}-examined", space=found.space, resize=resize)


def _uncropped(fmt: ChatFormat) -> Resize:
    """The format's resizing rule where it only keeps pictures from being cropped and gives numbers no meaning."""
    return fmt.resize if isinstance(fmt.resize, Fixed) and fmt.space.scale is not None else Keep()


def _valid_share(fmt: ChatFormat, texts: Sequence[str], targets: Sequence[KnownObject]) -> float:
    actions = [
        fmt.parse(t, target.image.height, target.image.width)[0] for t, target in zip(texts, targets, strict=True)
    ]
    return sum(isinstance(action, Click) for action in actions) / max(1, len(actions))


def _correlations(estimates: Sequence[tuple[float, float]]) -> tuple[float | None, float | None]:
    """Pearson and Spearman correlation of (predicted, true)."""
    if len(estimates) < 4:
        return None, None
    predicted, true = (np.array(column) for column in zip(*estimates, strict=True))
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return None, None
    return _pearson(predicted, true), _pearson(_ranks(predicted), _ranks(true))


def _pearson(a: np.ndarray[tuple[int], np.dtype[np.float64]], b: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Ranks, equal values sharing their mean rank."""
    return np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values], np.float64)
