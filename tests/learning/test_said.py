from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.learning.photographs.expressions import PhotoWriter
from segagent.learning.photographs.facts import see_things
from segagent.learning.photographs.said import ABSENT_SAID, SAID, Said, read_said
from segagent.learning.photographs.sentences import SentenceRules, write_sentences
from segagent.learning.photographs.store import PhotoSets
from segagent.learning.photographs.views import load_photos, whole_view
from segagent.learning.policy.classes import architecture
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.recipe import train_policy
from segagent.learning.policy.scene_store import ABSENT_TARGET
from segagent.learning.policy.train_grounding import SAID_SHARE, draw_chances
from segagent.learning.policy.train_prm import KnownPicture, known_photograph, prm_rows
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.prm import Prm
from segagent.tools import make_tool
from segagent.vision.encoder import Encoder
from segagent.vision.sight import FILE, save_encoder, sight_of

HEADER = "folder\timage\tannotation\texpression"
TABLE = f"""{HEADER}
zoo\t1\t12\tthe big hairy mutt
zoo\t1\t11\tmutt on the left
zoo\t1\t\ta zebra
zoo\t10\t32\thairy mutt
zoo\t2\t99\tnobody knows
elsewhere\t1\t12\thairy one
"""


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Three pictures of a small dog on the left and one six times as large, the last picture held out."""
    folder = tmp_path / "zoo"
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for place, image in enumerate((1, 2, 10), 1):
        pixels = np.full((200, 300, 3), 120, np.uint8)
        for number, (x0, y0, x1, y1) in enumerate(((20, 20, 60, 70), (120, 40, 240, 140)), 1):
            pixels[y0:y1, x0:x1] = (30, 60, 220)
            polygon = [x0, y0, x1, y0, x1, y1, x0, y1]
            annotation = {"id": 10 * place + number, "image_id": image, "category_id": 1, "segmentation": [polygon]}
            annotations.append(annotation | {"area": (x1 - x0) * (y1 - y0)})
        cv2.imwrite(str(folder / "images" / f"{image}.png"), pixels[:, :, ::-1])
        images.append({"id": image, "file_name": f"{image}.png", "width": 300, "height": 200})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "said.tsv"
    path.write_text(TABLE)
    return path


def test_a_table_is_read_by_picture(table: Path) -> None:
    said = read_said(table)
    assert said.by_image["zoo", 1] == [(12, "the big hairy mutt"), (11, "mutt on the left"), (None, "a zebra")]
    assert set(said.by_image) == {("zoo", 1), ("zoo", 2), ("zoo", 10), ("elsewhere", 1)}
    # "big" and "left" are known, "a zebra" was said once, "one" is no new word.
    assert said.words(("big", "left", "on", "the", "one")) == {"hairy", "mutt"}
    assert Said().words(("big",)) == frozenset()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "first line"),
        ("image\ttext\n", "first line"),
        (f"{HEADER}\nzoo\t1\t12\n", "line 2: expected 4 columns"),
        (f"{HEADER}\nzoo\t1\t12\tdog\nzoo\t1\t12\t ?\n", "line 3: expected 4 columns, the last with words"),
        (f"{HEADER}\nzoo\tone\t12\tdog\n", "line 2: image and annotation must be whole numbers"),
    ],
)
def test_a_table_that_is_none_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        read_said(path)


def test_what_was_said_is_about_the_annotated_thing_of_its_own_part(zoo: Path, table: Path) -> None:
    said, sets = read_said(table), PhotoSets((zoo,))
    ((image, scene),) = list(sets.said(said, "train"))  # of picture 2 only what nobody knows was said
    assert (image.width, image.height, scene.index) == (300, 200, 1)
    by_text = {e.text: e for e in scene.expressions}
    areas = {text: int((scene.labels == e.target + 1).sum()) for text, e in by_text.items()}
    assert by_text["a zebra"].target == ABSENT_TARGET
    assert [by_text[text].kind for text in by_text] == [SAID, SAID, ABSENT_SAID]
    assert areas["the big hairy mutt"] == pytest.approx(256 * 256 * 0.2, rel=0.02)
    assert areas["mutt on the left"] == pytest.approx(256 * 256 * 2 / 60, rel=0.04)
    assert by_text["mutt on the left"].candidates == (0, 1)
    ((_, held_out),) = list(sets.said(said, "validation"))
    assert [e.text for e in held_out.expressions] == ["hairy mutt"]


def test_what_was_said_becomes_a_data_set(zoo: Path, table: Path, tmp_path: Path) -> None:
    rules = SentenceRules(said=read_said(table))
    counts = write_sentences(tmp_path / "out", [zoo], rules)
    assert counts == {ABSENT_SAID: 1, SAID: 2}
    by_text = {sample.text: sample for sample in open_dataset(str(tmp_path / "out"))}
    assert set(by_text) == {"the big hairy mutt", "mutt on the left", "a zebra"}
    told, _ = by_text["the big hairy mutt"].load_target()
    assert told.sum() == 120 * 100
    assert told[40:140, 120:240].all()
    assert not by_text["a zebra"].load_target()[0].any()
    with pytest.raises(InputError, match="nothing was said"):
        write_sentences(tmp_path / "none", [zoo], SentenceRules(said=Said()))


def test_people_call_what_outshines_its_like_by_the_bare_name(zoo: Path) -> None:
    view = whole_view(load_photos(zoo, validation=False)[0], 256)
    things = see_things(view)
    large = int(np.argmax([thing.fact.area for thing in things]))

    def written(*, as_people: bool) -> dict[str, int]:
        writers = (PhotoWriter(np.random.default_rng(s), things, as_people=as_people) for s in range(25))
        return {e.text: e.target for writer in writers for e in writer.write(4)}

    assert "dog" not in written(as_people=False)
    assert written(as_people=True)["dog"] == large


def test_what_people_said_is_drawn_in_its_share() -> None:
    chances = draw_chances(["attribute"] * 90 + [SAID] * 8 + [ABSENT_SAID] * 2)
    assert chances.sum() == pytest.approx(1)
    assert chances[90:].sum() == pytest.approx(SAID_SHARE)
    assert draw_chances(["relation", "attribute"])[0] == pytest.approx(2 / 3)
    assert draw_chances([SAID])[0] == 1


def test_grounding_alone_learns_new_words_and_keeps_the_rest(zoo: Path, table: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_encoder(Encoder(), tmp_path / FILE)
    start = tmp_path / "policy.safetensors"
    save_network(start, PolicyNetwork(architecture(photographs=True), sight_of(tmp_path / FILE)), {})
    tiny = PolicyTraining(
        steps=2, scenes=4, grounding_scenes=2, held_out_scenes=2, grounding_photo_views=2, batch_scale=0.1,
        photographs=(zoo,), expressions=table, start=start, perception_only=True, grounding_only=True,
    )  # fmt: skip
    trained = train_policy(tiny, tmp_path / "out")
    assert {"grounding_all", "photographs_grounding_all", "said_grounding_said"} <= set(trained.measured)
    assert not (tmp_path / "out" / "detector.pt").exists()
    before, after = load_network(start), load_network(trained.weights)
    assert set(after.architecture.words) - set(before.architecture.words) == {"hairy", "mutt"}
    kept = before.state_dict()
    for name, value in after.state_dict().items():
        assert name.startswith(("grounding.", "sight")) or torch.equal(value, kept[name]), name
    assert "--expressions said.tsv --from WEIGHTS --grounding-only" in trained.weights.with_suffix(".json").read_text()
    # A later training without the table keeps the words it knows.
    again = train_policy(replace(tiny, expressions=None, start=trained.weights), tmp_path / "again")
    assert load_network(again.weights).architecture == after.architecture


def test_the_process_reward_model_is_fitted_to_what_people_said_too(zoo: Path, table: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_encoder(Encoder(), tmp_path / FILE)
    network = PolicyNetwork(architecture(photographs=True), sight_of(tmp_path / FILE)).eval()
    network.prm = Prm().eval()
    (photo,) = load_photos(zoo, validation=True)
    silent = known_photograph(photo, 0, 4)
    told = known_photograph(photo, 0, 4, read_said(table).by_image["zoo", 10])
    assert [(e.text, told.masks[e.target].sum()) for e in told.said] == [("hairy mutt", 120 * 100)]
    assert (silent.said, silent.expressions) == ((), told.expressions)

    def rows(picture: KnownPicture) -> int:
        tool = make_tool("disc")
        return len(list(prm_rows(np.random.default_rng(0), network, [picture], tool, 2)))

    only_said = replace(told, expressions=())
    assert rows(only_said) >= 3
    assert rows(told) >= rows(silent) + 3
    assert rows(replace(silent, expressions=())) == 0
