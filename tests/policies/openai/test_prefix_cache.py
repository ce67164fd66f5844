"""What a server's prefix cache finds: the questions about one picture come one behind the other, and begin alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from loopback import Scripted, completion

from segagent import Models, annotate
from segagent.core import Click, Image, Observation, frozen_mask
from segagent.datasets import open_dataset
from segagent.policies.chat import FORMATS, ask
from segagent.policies.openai import ServedModel, ServedModelConfig, make_openai_policy
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

NUM_PICTURES, NUM_OBJECTS = 4, 3


def scattered(folder: Path) -> str:
    """A data set whose manifest names its pictures in turn, so that no two neighbours share one."""
    rng = np.random.default_rng(0)
    for number in range(NUM_PICTURES):
        cv2.imwrite(str(folder / f"{number}.png"), rng.integers(0, 255, (48, 64, 3), np.uint8))
    samples = [
        {"image": f"{number}.png", "text": f"object {place} of {number}"}
        for place in range(NUM_OBJECTS)
        for number in range(NUM_PICTURES)
    ]
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return str(folder)


def as_read(body: dict[str, Any]) -> list[str]:
    """A request in the order in which a server reads it, a picture as one piece."""
    content = body["messages"][0]["content"]
    pieces = [part["image_url"]["url"] if part["type"] == "image_url" else None for part in content]
    assert pieces[-1] is None
    assert None not in pieces[:-1]
    return [*(piece for piece in pieces if piece), *content[-1]["text"]]


def shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many pieces and characters two requests begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@pytest.mark.parametrize("concurrency", [1, 8])
def test_the_objects_of_a_picture_are_asked_about_together(concurrency: int, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    reply = FORMATS["qwen3"].render(Click(20, 20, positive=True), 48, 64, 0.5)
    with Scripted(lambda body: completion(reply)) as server:
        policy = make_openai_policy(f"m@{server.url}?format=qwen3&cache=off&concurrency={concurrency}")
        run = annotate(
            open_dataset(scattered(tmp_path / "data")),
            out=tmp_path / "run",
            models=Models(policy, DiscTool()),
            search=SearchConfig(max_steps=1, use_prm=False),
        )
        assert not list(run.failures())
        read = [as_read(body) for body in server.requests]
    assert isinstance(policy.model, ServedModel)
    policy.model.close()
    assert len(read) == NUM_PICTURES * NUM_OBJECTS
    begins = [request[0] for request in read]
    if concurrency == 1:
        changes = sum(one != other for one, other in pairwise(begins))
        assert changes == NUM_PICTURES - 1
    for picture in set(begins):
        own = [request for request in read if request[0] == picture]
        assert len(own) == NUM_OBJECTS
        # All but the object's own words: they come last.
        for one, other in pairwise(own):
            assert len(one) - shared(one, other) < 25
            assert shared(one, other) > 500


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_said_of_an_object_comes_last(name: str) -> None:
    """Published prompts are word by word as they were; ours have nothing constant behind the object's words."""
    fmt = FORMATS[name]
    image = Image(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    masks = [np.zeros((48, 64), np.bool_), np.zeros((48, 64), np.bool_)]
    masks[1][:20, :20] = True
    one, other = (
        ask(fmt, Observation(image, text, frozen_mask(masks[0])), "Rules.") for text in ("the mug", "a very old dog")
    )
    assert one.pictures[0].key == other.pictures[0].key
    end = shared(one.prompt, other.prompt)
    assert one.prompt[end:] in ("the mug", 'the mug"', "the mug</ref>")
    if fmt.send_clean:
        later = ask(fmt, Observation(image, "the mug", frozen_mask(masks[1])), "Rules.")
        assert later.pictures[0].key == one.pictures[0].key


def test_the_greedy_reply_and_the_samples_share_all() -> None:
    with Scripted(lambda body: completion(*["x"] * body.get("n", 1))) as server:
        model = ServedModel("m", server.url, ServedModelConfig(concurrency=1))
        image = Image(np.zeros((8, 8, 3), np.uint8))
        question = ask(FORMATS["qwen3"], Observation(image, "the mug", frozen_mask(np.zeros((8, 8), np.bool_))))
        model.reply([question], 4, temperature=1.0, seeds=[1])
        model.close()
        greedy, sampled = (as_read(body) for body in server.requests)
    assert greedy == sampled
