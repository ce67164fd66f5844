"""The objects of a run as people left them: what everything that reads a run and writes masks goes by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from segagent.annotation.people.record import PEOPLE_FILE, standings_of
from segagent.annotation.people.standing import Moment, Standing
from segagent.core import InputError, Rle
from segagent.core.failures import Failure
from segagent.core.rle import rle_areas

if TYPE_CHECKING:
    from segagent.annotation.batch.folder import Run
    from segagent.annotation.batch.records import ObjectRecord
    from segagent.datasets import Dataset

Stands: TypeAlias = Literal["", "confirmed", "wrong", "corrected", "taken", "added", "removed", "absent", "emptied"]
"""How an object stands, in a word; "" where it is as the run has it. ``taken``: a mask of the policy, that a person let
it go on to or chose; ``emptied``: the mask was rubbed out to nothing."""

GONE: tuple[Stands, ...] = ("removed", "absent", "emptied")
"""Objects that stand so are no more."""

_NOTHING_DONE = Moment()


@dataclass(frozen=True, slots=True)
class LeftObject:
    """One object. ``record``: what the run found, None where it failed, was not come to, or a person has added it.

    ``failure``: why it failed. ``standing``: None where nobody has done anything. ``said``: sentence and class as the
    data set has them; an added object has none.
    """

    object_id: str
    image: str
    record: ObjectRecord | None = None
    failure: Failure | None = None
    standing: Standing | None = None
    said: tuple[str, str | None] = ("", None)

    @property
    def now(self) -> Moment:
        """What people have made of it."""
        return _NOTHING_DONE if self.standing is None else self.standing.now

    @property
    def added(self) -> bool:
        """Whether a person has added it."""
        return self.standing is not None and self.standing.added

    @property
    def answer(self) -> Rle | None:
        """The run's mask; None where it has none."""
        if self.record is None or self.record.outcome == "not_found":
            return None
        return self.record.trajectory.rle_at(self.record.trajectory.returned)

    @property
    def changed(self) -> bool:
        """Whether the mask is another than the run's, or the run has none."""
        return self.now.mask is not None and self.now.mask != self.answer

    @property
    def rle(self) -> Rle | None:
        """The mask, which may be empty; None where there is none."""
        return self.now.mask if self.changed else self.answer

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the picture, where anything tells."""
        if self.record is not None:
            return self.record.trajectory.height, self.record.trajectory.width
        return None if self.now.mask is None else (self.now.mask["size"][0], self.now.mask["size"][1])

    @property
    def stands(self) -> Stands:
        """How it stands, in a word."""
        now = self.now
        if now.removed:
            return "removed"
        if now.verdict == "absent":
            return "absent"
        if self.added:
            return "added"
        if self.changed and now.mask is not None:
            if not rle_areas([now.mask])[0]:
                return "emptied" if self.answer is not None else ""
            return "corrected" if now.made_by == "person" else "taken"
        if now.verdict == "ok" and self.answer is not None:
            return "confirmed"
        return "wrong" if now.verdict == "wrong" else ""

    @property
    def told(self) -> str:
        """All of how it stands, in words; empty where nobody has done anything."""
        words: list[str] = [self.stands or self.now.verdict or ""]
        if self.stands in ("corrected", "taken", "added") and self.now.verdict is not None:
            words.append(self.now.verdict)
        words += [f"class {self.category}"] if self.relabelled else []
        words += ["other words"] if self.rephrased else []
        words += ["contested"] if self.standing is not None and self.standing.contested else []
        return ", ".join(word for word in words if word)

    @property
    def accepted(self) -> bool | None:
        """Whether the mask is final, as far as a person has decided that."""
        stands = self.stands
        if stands in GONE or self.now.verdict == "wrong":
            return False
        if stands in ("corrected", "confirmed", "taken", "added"):
            return self.now.made_by == "person" or self.now.verdict == "ok"
        return None

    @property
    def relabelled(self) -> bool:
        """Whether it has another class than in the data set; added objects have no other."""
        return not self.added and self.now.label is not None and self.now.label != (self.said[1] or self.said[0])

    @property
    def rephrased(self) -> bool:
        """Whether a person has given it another sentence; added objects have no other."""
        return not self.added and self.now.text is not None and self.now.text != self.said[0]

    @property
    def text(self) -> str:
        """The sentence: a person's, or the new class where whether the old sentence is still right cannot be told."""
        if self.now.text is not None:
            return self.now.text
        if self.now.label is not None and (self.added or self.relabelled):
            return self.now.label
        return self.said[0]

    @property
    def category(self) -> str | None:
        """The class, None where there is only a sentence."""
        return self.now.label if self.now.label is not None else self.said[1]


def objects_left(
    run: Run, dataset: Dataset | None = None, standings: Mapping[str, Standing] | None = None
) -> Iterator[LeftObject]:
    """All objects of ``run``: its own in its order, then those that it has not come to and people have, and new ones.

    ``dataset``: what the run was made of; it tells sentence and class of objects that failed and that the run has not
    come to. ``standings``: those of the run, where they are at hand. Raises ``InputError`` where a record is damaged,
    and with ``dataset`` also where people's record tells of an object that is nowhere.
    """
    found = standings_of(run) if standings is None else standings
    waiting = dict(found)
    samples = _Samples(dataset, found)
    for record in run.records():
        if isinstance(record, Failure):
            standing = waiting.pop(record.sample_id, None)
            said = samples.said(record.sample_id) if standing is not None else ("", None)
            yield LeftObject(record.sample_id, record.image, None, record, standing, said)
        else:
            standing = waiting.pop(record.object_id, None)
            said = (record.text, record.category)
            yield LeftObject(record.object_id, record.image, record, None, standing, said)
    for object_id, standing in waiting.items():
        if not run.takes(object_id):
            continue
        said = ("", None) if standing.added else samples.said(object_id)
        if dataset is not None and not standing.added and object_id not in samples.found:
            raise InputError(
                f"{run.folder / PEOPLE_FILE}: tells of object {object_id!r:.80}, which is not in {dataset.spec}"
            )
        yield LeftObject(object_id, standing.image, None, None, standing, said)


class _Samples:
    """Sentence and class of the objects that people have been at, looked up in the data set when first wanted."""

    def __init__(self, dataset: Dataset | None, wanted: Mapping[str, Standing]) -> None:
        self._dataset, self._wanted = dataset, wanted
        self._found: dict[str, tuple[str, str | None]] | None = None

    @property
    def found(self) -> dict[str, tuple[str, str | None]]:
        if self._found is None:
            samples = self._dataset if self._dataset is not None else ()
            wanted = (sample for sample in samples if sample.sample_id in self._wanted)
            self._found = {sample.sample_id: _said(sample) for sample in wanted}
        return self._found

    def said(self, object_id: str) -> tuple[str, str | None]:
        return self.found.get(object_id, ("", None))


def _said(sample: object) -> tuple[str, str | None]:
    """Entries of a data set that are no samples have neither."""
    category = getattr(sample, "category", None)
    return str(getattr(sample, "text", "")), None if category is None else str(category)
