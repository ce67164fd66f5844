"""The labels of an export, numbered by the data set and not by what a run found in it.

So all exports of all runs over one data set, and over files that share their list of categories, number labels alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segagent.datasets import BrokenSample, Dataset


def numbered_labels(dataset: Dataset, used: Iterable[str]) -> dict[str, int]:
    """Every label with its number, from 0: the categories that the source lists, in its order, then all others.

    The others are those of the data set's samples (the category, or the sentence where there is none), in its order;
    it is gone through only where the source lists no categories, or not all that are ``used``.
    """
    listed: Sequence[str] = getattr(dataset, "categories", ())
    labels = dict.fromkeys(listed)
    wanted = dict.fromkeys(used)
    if not listed or not wanted.keys() <= labels.keys():
        samples = (sample for sample in dataset if not isinstance(sample, BrokenSample))
        labels |= dict.fromkeys(sample.category or sample.text for sample in samples)
    return {label: number for number, label in enumerate(labels | wanted)}
