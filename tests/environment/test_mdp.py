import numpy as np
import pytest

from segagent.core import (
    Attempt,
    Box,
    Click,
    Finish,
    Image,
    InvalidAction,
    Observation,
    Segmentation,
    ToolError,
    Undo,
    empty_mask,
    encode_rle,
    iou,
)
from segagent.environment import (
    Episode,
    GenerationConfig,
    SimulatedAnnotator,
    StartSpec,
    Target,
    box_around,
    embed_images,
    generate_trajectories,
    next_click,
    observe,
    random_clicks_start,
    reset,
    step,
    step_batch,
    why_invalid,
)
from segagent.tools.fake import DiscTool


def picture(height=40, width=50, value=0):
    return Image.of(np.full((height, width, 3), value, np.uint8))


def ellipse(cy=20, cx=25, ry=12, rx=15):
    yy, xx = np.mgrid[:40, :50]
    return ((yy - cy) / ry) ** 2 + ((xx - cx) / rx) ** 2 < 1


def begin(start=None, image=None):
    tool = DiscTool()
    episode = Episode(image or picture(), "the disc", start=start or StartSpec())
    embedding = embed_images(tool, [episode.image])[0]
    return tool, episode, embedding, reset([episode], [embedding], tool)[0]


def test_step_is_pure_and_masks_are_frozen():
    tool, _, embedding, state = begin()
    before = (state.mask.copy(), state.prompts, state.num_steps)
    after = step(embedding, state, Click(10, 10, True), tool)
    assert after.mask.any()
    assert not after.mask.flags.writeable
    assert np.array_equal(state.mask, before[0])
    assert (state.prompts, state.num_steps) == before[1:]
    again = step(embedding, state, Click(10, 10, True), tool)
    assert np.array_equal(after.mask, again.mask)


def test_undo_returns_to_the_state_before_the_last_prompt():
    tool, _, embedding, state = begin()
    one = step(embedding, state, Click(10, 10, True), tool)
    invalid = step(embedding, step(embedding, one, Click(30, 30, True), tool), InvalidAction("?", "no"), tool)
    undone = step(embedding, invalid, Undo(), tool)
    assert np.array_equal(undone.mask, one.mask)
    assert undone.prompts == one.prompts
    assert undone.num_steps == 4
    twice = step(embedding, undone, Undo(), tool)
    assert twice.prompts == ()
    assert not twice.mask.any()
    nothing_left = step(embedding, twice, Undo(), tool)
    assert (nothing_left.mask is twice.mask, nothing_left.num_steps) == (True, 6)


@pytest.mark.parametrize(
    "action",
    [
        InvalidAction("blah", "no action"),
        Click(50, 0, True),
        Click(0, 40, False),
        Click(-1, 0, True),
        Undo(),
        Box(5, 5, 5, 9),
        Box(0, 0, 51, 10),
    ],
)
def test_invalid_actions_cost_a_step_and_change_nothing(action):
    tool, _, embedding, state = begin()
    after = step(embedding, state, action, tool)
    assert after.mask is state.mask
    assert (after.num_steps, after.prompts, after.previous) == (1, (), None)
    assert why_invalid(state, action, tool)


def test_a_box_must_come_first_and_be_taken():
    class NoBox(DiscTool):
        @property
        def accepts_box(self):
            return False

    tool, _, embedding, state = begin()
    boxed = step(embedding, state, Box(5, 5, 20, 20), tool)
    assert boxed.prompts == (Box(5, 5, 20, 20),)
    assert boxed.mask[5:20, 5:20].all()
    clicked = step(embedding, state, Click(3, 3, True), tool)
    assert step(embedding, clicked, Box(5, 5, 20, 20), tool).mask is clicked.mask
    assert step(embedding, state, Box(5, 5, 20, 20), NoBox()).mask is state.mask


def test_finish_and_budget_end_the_episode():
    tool, _, embedding, state = begin()
    finished = step(embedding, state, Finish(), tool)
    assert finished.finished
    with pytest.raises(ValueError, match="finished"):
        step(embedding, finished, Click(1, 1, True), tool)
    one = step(embedding, state, Click(1, 1, True), tool, max_steps=2)
    assert not one.finished
    assert step(embedding, one, InvalidAction("", "empty"), tool, max_steps=2).finished


def test_batch_equals_single_and_asks_the_tool_once():
    calls = []

    class Counting(DiscTool):
        def segment(self, requests):
            calls.append(len(requests))
            return super().segment(requests)

    tool = Counting()
    images = [picture(), picture(30, 20, 7)]
    embeddings = embed_images(tool, images)
    states = reset([Episode(image, "x") for image in images], embeddings, tool)
    moves = [
        (embeddings[0], states[0], Click(5, 6, True)),
        (embeddings[1], states[1], InvalidAction("", "")),
        (embeddings[1], states[1], Click(7, 8, True)),
        (embeddings[0], states[0], Finish()),
    ]
    batch = step_batch(moves, tool)
    assert calls == [2]
    for move, state in zip(moves, batch, strict=True):
        assert np.array_equal(step(*move, tool).mask, state.mask)


def test_starts():
    mask = ellipse()
    _, _, _, state = begin(StartSpec("mask", mask=mask))
    assert np.array_equal(state.mask, mask)
    assert state.num_steps == 0
    clicks = (Click(20, 20, True), Click(30, 20, False))
    _, _, _, state = begin(StartSpec("random", clicks=clicks))
    assert state.prompts == clicks
    assert (state.num_steps, state.previous) == (0, None)
    with pytest.raises(ValueError, match="image's size"):
        begin(StartSpec("mask", mask=mask[1:]))
    with pytest.raises(ValueError, match="not inside"):
        begin(StartSpec("random", clicks=(Click(99, 0, True),)))
    with pytest.raises(ValueError, match="needs a box"):
        begin(StartSpec("box"))


def test_a_tool_that_answers_another_size_is_an_error():
    class Wrong(DiscTool):
        def segment(self, requests):
            return [Segmentation(empty_mask(1, 1), None) for _ in requests]

    _, _, embedding, state = begin()
    with pytest.raises(ToolError, match="answered a mask"):
        step(embedding, state, Click(1, 1, True), Wrong())


def test_each_distinct_image_is_embedded_once():
    seen = []

    class Counting(DiscTool):
        def embed(self, images):
            seen.extend(images)
            return super().embed(images)

    image, other = picture(), picture(value=3)
    assert len(embed_images(Counting(), [image, other, Image.of(image.pixels), image])) == 4
    assert len(seen) == 2


def test_observation_holds_no_target_and_no_history():
    assert set(Observation.__dataclass_fields__) == {"image", "text", "mask", "past"}
    tool, episode = DiscTool(), Episode(picture(), "the disc")
    (state,) = reset([episode], embed_images(tool, [episode.image]), tool)
    assert observe(episode, state).past == ()
    # What a model that asks for the past is shown of it is what it did and thought itself.
    assert set(Attempt.__dataclass_fields__) == {"action", "mask", "predicted_iou", "invalid"}


def test_generation_follows_the_rule_and_its_controls():
    target = Target(ellipse())
    episode = Episode(picture(), "the disc", "id", "a.png")
    config = GenerationConfig(max_steps=6, tau_stop=0.9)
    (trajectory,) = generate_trajectories([episode], [target], DiscTool(), config)
    rewards = [trajectory.reward_at(i) for i in range(len(trajectory.steps) + 1)]
    assert rewards == sorted(rewards)
    assert len(set(rewards)) == len(rewards)
    assert 1 <= len(trajectory.steps) <= 6
    assert rewards[0] == 0
    assert all(reward < 0.9 for reward in rewards[:-1])
    clicked = []
    for index, made in enumerate(trajectory.steps):
        mask = trajectory.mask_at(index)
        assert made.action == next_click(mask, target.mask, clicked)
        assert made.reward == iou(trajectory.mask_at(index + 1), target.mask)
        clicked.append(made.action)
    assert trajectory.start.mask == encode_rle(empty_mask(40, 50))


def test_the_clicks_of_a_start_are_on_record():
    start = StartSpec("random", clicks=(Click(20, 20, True),))
    (made,) = generate_trajectories([Episode(picture(), "the disc", start=start)], [Target(ellipse())], DiscTool())
    assert made.start.prompts == start.clicks
    assert made.clicks[0] == start.clicks[0]
    assert len(made.clicks) == 1 + len(made.steps)


def test_generation_limits():
    target, episode = Target(ellipse()), Episode(picture(), "the disc")
    (short,) = generate_trajectories([episode], [target], DiscTool(), GenerationConfig(max_steps=1))
    assert (len(short.steps), short.stopped) == (1, "max_steps")
    (picky,) = generate_trajectories([episode], [target], DiscTool(), GenerationConfig(tau_diff=1.0))
    assert (len(picky.steps), picky.stopped) == (0, "tau_diff")
    done = Episode(picture(), "the disc", start=StartSpec("mask", mask=target.mask))
    (nothing,) = generate_trajectories([done], [target], DiscTool())
    assert (len(nothing.steps), nothing.stopped) == (0, "tau_stop")
    ignored = Target(target.mask, ~np.zeros_like(target.mask))
    (blind,) = generate_trajectories([episode], [ignored], DiscTool(), GenerationConfig(tau_stop=2.0))
    assert blind.stopped == "no_error_left"


def test_batched_generation_equals_one_by_one():
    targets = [Target(ellipse(cx=cx, rx=rx)) for cx, rx in [(25, 15), (12, 6), (35, 9)]]
    episodes = [Episode(picture(), f"disc {i}", str(i)) for i in range(3)]
    together = generate_trajectories(episodes, targets, DiscTool())
    alone = [generate_trajectories([e], [t], DiscTool())[0] for e, t in zip(episodes, targets, strict=True)]
    assert together == alone


def test_random_click_starts_are_inside_the_box_and_rightly_signed():
    target, rng = ellipse(), np.random.default_rng(0)
    box = box_around(target)
    for _ in range(50):
        start = random_clicks_start(target, rng)
        assert 1 <= len(start.clicks) <= 3
        assert start.clicks[0].positive
        for click in start.clicks:
            assert box.x0 <= click.x < box.x1
            assert box.y0 <= click.y < box.y1
            assert click.positive == target[click.y, click.x]
    assert box_around(np.zeros((3, 3), bool)) is None
    assert random_clicks_start(np.zeros((3, 3), bool), rng).clicks == ()


def test_simulated_annotator_as_a_policy():
    image, target = picture(), Target(ellipse())
    annotator = SimulatedAnnotator({SimulatedAnnotator.key(image, "the disc"): target})
    _, episode, _, state = begin(image=image)
    ((proposal,),) = annotator.propose([observe(episode, state)])
    assert proposal.action == next_click(state.mask, target.mask)
    assert proposal.predicted_iou == 0
    ((first, second),) = annotator.propose([Observation(image, "the disc", target.mask)], 2)
    assert first == second
    assert first.action == Finish()
