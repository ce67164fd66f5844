"""The objects of a run that are meant, as people left them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from segagent.annotation.batch.choosing import Only
from segagent.annotation.batch.folder import Run
from segagent.annotation.people import standings_of
from segagent.core import InputError
from segagent.core.failures import Failure


def only_these(run: Run, only: Only, warn: Callable[[str], None] = lambda words: None) -> Run:
    """``run``, speaking of the objects alone that ``only`` takes; of all where it has no condition.

    An object is of the class that a person gave it last; those that people added are chosen too, and those that failed
    where nothing speaks against it: of what category they are only the data set can tell, and where it cannot be opened
    they are chosen. ``warn`` is told of conditions that fit nothing. Raises ``InputError`` where no object is left.
    """
    if not only:
        return run
    standings = standings_of(run)
    known: dict[str, tuple[str, str | None, bool]] = {}
    for record in run.records():
        if isinstance(record, Failure):
            known[record.sample_id] = (record.image, None, False)
        else:
            known[record.object_id] = (record.image, record.category or record.text, bool(record.doubts))
    for object_id, standing in standings.items():
        image, label, doubtful = known.get(object_id, (standing.image, None, False))
        known[object_id] = (image, standing.now.label or label or standing.now.text, doubtful)
    if only.categories and any(label is None for _, label, _ in known.values()):
        for object_id, said in _labels(run).items():
            if object_id in known and known[object_id][1] is None:
                known[object_id] = (known[object_id][0], said, False)
    objects = [(object_id, image, label) for object_id, (image, label, _) in known.items()]
    fitting = {one[0] for one in objects if only.takes(*one)}
    chosen = frozenset(one for one in fitting if not only.doubtful or known[one][2])
    unknown = list(only.unknown(objects))
    if not chosen:
        raise InputError(
            f"--only {only}: chooses nothing of {run.folder}: "
            + ("; ".join(unknown) or ("the policy doubts none of them" if fitting else "no object fits all of it"))
        )
    for words in unknown:
        warn(f"--only: {words} in {run.folder}")
    return replace(run, chosen=chosen, choice=str(only))


def _labels(run: Run) -> dict[str, str]:
    """What the data set calls its objects, by id; nothing where it cannot be opened."""
    try:
        return {one.sample_id: one.category or one.text for one in run.dataset()}
    except InputError:
        return {}
