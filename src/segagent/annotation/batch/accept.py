"""Which masks of a run are taken as they are, and which a person must see.

The promise is a target precision: of the accepted masks, at least that share is expected to be good, which is to have
a true IoU of ``iou_bar`` or more. What a predicted IoU is worth comes from the evidence kept with the calibration, from
masks of this run that a person has checked, or from both: with :data:`ENOUGH_CHECKED` checked masks the evidence is
left out; with fewer it counts as much as the masks that are missing to that number.

What people did to the run's objects (:mod:`segagent.annotation.people`) is such a check without any file, and decides
about their objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segagent.annotation.batch.checked import Checked, read_checked
from segagent.annotation.batch.folder import CALIBRATION_NAME, Run
from segagent.annotation.batch.people_checks import persons_words
from segagent.core import InputError
from segagent.evaluation.bootstrap import Interval
from segagent.evaluation.calibration import Calibration, fit_calibration, read_calibration
from segagent.evaluation.evidence import Evidence
from segagent.evaluation.reliance import Reliance, num_bins

ENOUGH_CHECKED = 50
FEW_CHECKED = 20

ENOUGH_FINAL = 200
"""From so many final masks on the evidence is those alone. They are picked for their predicted IoU, so they are worse
than other masks with the same prediction (docs/accept.md has figures)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the masks of a run.

    ``threshold``: masks nobody checked are accepted from this predicted IoU on; None where no line reaches the target.
    ``accepted``: object ids in the run's order, those of objects that people have added last. ``to_see``: the others,
    those likely to be wrong first, those that were not found last; objects that failed, and those that people have
    removed, are in neither. ``precision``: of the accepted masks that nobody checked, the share expected to be good,
    and where the real share will lie (95 %); None where there are none. ``expected_bad``: how many of the accepted
    masks are expected not to be good. ``expected_good``: the share of all masks that is. ``expected_iou`` of the
    accepted masks and ``expected_iou_all`` of all; None for none. ``num_checked`` masks were checked by a person.
    ``warnings``: what to know before relying on it.
    """

    target_precision: float
    iou_bar: float
    threshold: float | None
    accepted: tuple[str, ...]
    to_see: tuple[str, ...]
    precision: Interval | None
    expected_bad: float
    expected_good: float | None
    expected_iou: float | None
    expected_iou_all: float | None
    num_checked: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def num_to_see(self) -> int:
        """How many masks a person must see."""
        return len(self.to_see)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            **asdict(self),
            "accepted": list(self.accepted),
            "to_see": list(self.to_see),
            "warnings": list(self.warnings),
            "num_accepted": len(self.accepted),
            "num_to_see": self.num_to_see,
        }


def decide(run: Run, target_precision: float, iou_bar: float = 0.9, checked: str | Path | None = None) -> Decision:
    """Which masks of ``run`` to accept so that a share of ``target_precision`` of them is expected to be good.

    Args:
        run: finished or not.
        target_precision: above 0 and below 1.
        iou_bar: from this true IoU on a mask is good; above 0, at most 1.
        checked: masks of the run that a person has checked, chosen or not; see :func:`read_checked`. An ``ok`` there
            means good. They are accepted or not as the person says, whatever was predicted. What people did to the
            run's objects counts too, and before what the file says of the same object.

    Raises:
        InputError: for numbers out of range, a file that is not right, or where nothing is known to decide by.
    """
    if not 0 < target_precision < 1:
        raise InputError(f"the share of accepted masks to be good must lie between 0 and 1, got {target_precision:g}")
    if not 0 < iou_bar <= 1:
        raise InputError(f"the IoU from which a mask is good must lie between 0 and 1, got {iou_bar:g}")
    told = Checked({}) if checked is None else read_checked(checked, run.whole)
    every, without = _masks(run.whole, told, iou_bar)
    from_record = {mask.object_id for mask in every if mask.from_record}
    decided = {mask.object_id for mask in every if mask.final is not None}
    # Checks of the file that the record has another word on are not counted twice.
    num_checked = len(from_record | told.checks.keys())
    doubted = {record.object_id for record in run.objects() if record.doubts}
    known = _known(run, every, iou_bar)
    masks = [mask for mask in every if run.takes(mask.object_id)]
    absent = [object_id for object_id in without if run.takes(object_id)]
    # A mask without a predicted IoU has no chance that could be told; nobody's word makes it acceptable but a person's.
    free = np.array([m.predicted for m in masks if m.final is None and m.predicted is not None], np.float64)
    threshold = known.reliance.threshold(free, target_precision)
    chances = dict(zip(free.tolist(), known.reliance.chance(free).tolist(), strict=True))
    chance = [_chance(mask, chances) for mask in masks]
    taken = [_reaches(m.predicted, threshold) if m.final is None else m.final for m in masks]
    expected = [known.expected_iou(mask) for mask in masks]
    accepted = tuple(mask.object_id for mask, yes in zip(masks, taken, strict=True) if yes)
    order = sorted((c or 0.0, place) for place, c in enumerate(chance) if not taken[place] and not masks[place].gone)
    return Decision(
        target_precision=target_precision,
        iou_bar=iou_bar,
        threshold=threshold,
        accepted=accepted,
        to_see=(*(masks[place].object_id for _, place in order), *absent),
        precision=None if threshold is None else known.reliance.share_good(free[free >= threshold]),
        expected_bad=math.fsum(1 - c for c, yes in zip(chance, taken, strict=True) if yes and c is not None),
        expected_good=_mean([c for c, mask in zip(chance, masks, strict=True) if not mask.gone]),
        expected_iou=_mean([e for e, yes in zip(expected, taken, strict=True) if yes]),
        expected_iou_all=_mean([e for e, mask in zip(expected, masks, strict=True) if not mask.gone]),
        num_checked=num_checked,
        warnings=tuple(
            _warnings(
                run,
                told,
                target_precision,
                num_checked=num_checked,
                num_came_to=sum(mask.came_to for mask in every),
                none=bool(free.size) and threshold is None,
                num_accepted=len(accepted),
                num_doubted=len(doubted.intersection(accepted) - decided),
            )
        ),
    )


@dataclass(frozen=True, slots=True)
class _Mask:
    """``good`` and ``iou``: what a person said of the run's mask, None where nobody did; ``from_record``: by what was
    done in the run's record, and ``came_to`` where that was not about a drawn sample. ``final``: whether a person takes
    the mask as it is now, None where the predicted IoU decides. ``own``: whether that is the person's own mask;
    ``gone``: whether people have removed the object. ``doubted``: whether the policy has doubts about it.
    """

    object_id: str
    predicted: float | None
    good: bool | None = None
    iou: float | None = None
    final: bool | None = None
    from_record: bool = False
    came_to: bool = False
    own: bool = False
    gone: bool = False
    doubted: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    reliance: Reliance
    calibration: Calibration | None

    def expected_iou(self, mask: _Mask) -> float | None:
        if mask.own:
            return 1.0 if mask.final else None
        if mask.iou is not None:
            return mask.iou
        if mask.predicted is None:
            return None
        return mask.predicted if self.calibration is None else self.calibration(mask.predicted, mask.doubted)


def _masks(run: Run, told: Checked, iou_bar: float) -> tuple[list[_Mask], list[str]]:
    """The masks of the run and of people, and the ids of objects that were not found: they have none to accept."""
    masks, absent = [], []
    for word in persons_words(run):
        name, record = word.left.object_id, word.left.record
        if record is not None and record.outcome == "not_found" and word.left.rle is None:
            absent += [] if word.gone else [name]
            continue
        found = record is not None and record.outcome != "not_found"
        predicted = record.predicted_iou if record is not None and found else None
        check = word.check or (told.checks.get(name) if found else None)
        good, iou = (None, None) if check is None else (check.good(iou_bar), check.iou)
        final = word.final if word.final is not None or word.check is not None else good
        from_record = word.check is not None
        came_to = from_record and not word.drawn
        doubted = record is not None and bool(record.doubts)
        masks.append(_Mask(name, predicted, good, iou, final, from_record, came_to, word.own, word.gone, doubted))
    return masks, absent


def _known(run: Run, masks: Sequence[_Mask], iou_bar: float) -> _Known:
    """What the chances are read off. Raises ``InputError`` where nothing is known."""
    path = run.folder / CALIBRATION_NAME
    stored = read_calibration(path)[1] if path.exists() else None
    checks = [mask for mask in masks if mask.good is not None and mask.predicted is not None]
    missing = max(ENOUGH_CHECKED - len(checks), 0) if checks else ENOUGH_CHECKED
    evidence = _relevant(stored) if stored is not None and missing else Evidence((), (), (), ())
    if not checks and not len(evidence):
        raise InputError(
            f"{path}: holds no masks with their true IoU to decide by; check some masks of the run and give them with "
            "--calibrate, or make the calibration and the run anew: segagent calibrate"
        )
    each = missing / max(len(evidence), missing) if checks and len(evidence) else 1.0
    weight = np.array([each] * len(evidence) + [1.0] * len(checks))
    predicted = np.array([*evidence.predicted, *(mask.predicted or 0.0 for mask in checks)])
    reliance = Reliance(
        predicted,
        np.array([*(true >= iou_bar for true in evidence.true), *(bool(mask.good) for mask in checks)], np.bool_),
        weight,
        # Checked masks are drawn one by one, so each counts as its own image.
        np.array([*evidence.image, *range(-len(checks), 0)], np.int64),
    )
    return _Known(reliance, _refitted(run.calibration, evidence, each, checks))


def _relevant(stored: Evidence) -> Evidence:
    """The masks that episodes end with, as the run's do, where they are enough; else those on the way count too."""
    final = stored.only_final()
    return final if len(final) >= ENOUGH_FINAL else stored


def _refitted(
    stored: Calibration | None, evidence: Evidence, weight: float, checks: Sequence[_Mask]
) -> Calibration | None:
    """The expected IoU by predicted IoU: fitted anew where the checks told an IoU, else the stored one."""
    measured = [(mask.predicted or 0.0, mask.iou) for mask in checks if mask.iou is not None]
    if not measured:
        return stored
    weights = [weight] * len(evidence) + [1.0] * len(measured)
    return fit_calibration(
        [*evidence.predicted, *(predicted for predicted, _ in measured)],
        [*evidence.true, *(value for _, value in measured)],
        weight=weights,
        num_bins=num_bins(math.fsum(weights)),
    )


def _chance(mask: _Mask, chances: dict[float, float]) -> float | None:
    if mask.final is not None:
        return float(mask.final)
    return None if mask.predicted is None else chances[mask.predicted]


def _reaches(predicted: float | None, threshold: float | None) -> bool:
    return predicted is not None and threshold is not None and predicted >= threshold


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _warnings(
    run: Run,
    told: Checked,
    target: float,
    *,
    num_checked: int,
    num_came_to: int,
    none: bool,
    num_accepted: int,
    num_doubted: int,
) -> Iterator[str]:
    if num_doubted and num_checked < ENOUGH_CHECKED:
        yield (
            f"the policy doubts {num_doubted} of the {num_accepted} accepted objects: what is known of its scores is "
            "no word on those; look at them, or check a sample of the run (segagent check)"
        )
    if told.unknown:
        names = ", ".join(map(repr, told.unknown[:5])) + (" ..." if len(told.unknown) > 5 else "")
        yield f"{len(told.unknown)} checked objects are not masks of this run and were left out: {names}"
    if told.num_by_overlap:
        yield (
            f"{told.num_by_overlap} right masks were found by picture, label and overlap, for their ids name other "
            "objects or none"
        )
    if told.open:
        yield f"{told.open} entries are not filled in; leaving out the hard ones makes the rest look too good"
    if num_checked and num_checked < FEW_CHECKED:
        yield f"only {num_checked} masks are checked; with fewer than {FEW_CHECKED} the figures are rough"
    if num_came_to:
        yield (
            f"{num_came_to} of the checked masks are those that people came to while they worked on the run; from the "
            "worst ones the rest looks worse than it is, from a drawn sample (segagent check) it does not"
        )
    if not num_checked and run.job != "annotate":
        yield (
            "decided by masks that the policy made itself; the given masks of this run may be wrong in other ways: "
            "check a sample (segagent check)"
        )
    if none:
        yield f"no predicted IoU is known to reach {target:g}; nothing is accepted but what a person has checked"
