"""What every data set must do. Derive a test class from ``DatasetConformance`` and give it a ``dataset`` fixture."""

from __future__ import annotations

import pickle
from itertools import islice

import numpy as np

from segagent.datasets import Dataset

MOST = 20
"""So many images are looked at: a data set may be large."""


class DatasetConformance:
    """Every implementation of ``Dataset`` passes these."""

    def test_spec_and_fingerprint_are_told(self, dataset: Dataset) -> None:
        assert isinstance(dataset.spec, str)
        assert dataset.spec
        assert isinstance(dataset.fingerprint, str)
        assert dataset.fingerprint

    def test_samples_have_ids_of_their_own_and_words(self, dataset: Dataset) -> None:
        samples = list(dataset)
        assert samples
        assert len({sample.sample_id for sample in samples}) == len(samples)
        assert all(isinstance(sample.text, str) and sample.text.strip() for sample in samples)

    def test_iterating_twice_gives_the_same(self, dataset: Dataset) -> None:
        assert [sample.sample_id for sample in dataset] == [sample.sample_id for sample in dataset]

    def test_groups_are_the_samples_image_by_image(self, dataset: Dataset) -> None:
        by_image: dict[str, list[str]] = {}
        for sample in dataset:
            by_image.setdefault(sample.image_name, []).append(sample.sample_id)
        groups = list(dataset.groups())
        assert [group.image_name for group in groups] == list(by_image)
        assert [[sample.sample_id for sample in group.samples()] for group in groups] == list(by_image.values())
        assert dataset.num_images == len(groups)

    def test_groups_can_be_sent_to_another_process(self, dataset: Dataset) -> None:
        for group in islice(dataset.groups(), MOST):
            sent = pickle.loads(pickle.dumps(group))  # noqa: S301 - it was made a moment ago
            assert [sample.sample_id for sample in sent.samples()] == [sample.sample_id for sample in group.samples()]

    def test_pictures_and_masks_fit(self, dataset: Dataset) -> None:
        for group in islice(dataset.groups(), MOST):
            picture = dataset.load_image(group.image_name)
            for sample in group.samples():
                image = sample.load_image()
                np.testing.assert_array_equal(image.pixels, picture.pixels)
                mask, ignore = sample.load_target(image)
                for one in (mask,) if ignore is None else (mask, ignore):
                    assert one.dtype == np.bool_
                    assert one.shape == (image.height, image.width)
                np.testing.assert_array_equal(sample.load_target()[0], mask)
