"""One image and one sentence: what ``segagent annotate``, ``refine`` and the demo do with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from segagent.cli.console import print_object, say, waiting, warn
from segagent.cli.models import Choice

if TYPE_CHECKING:
    from segagent.core import Box, Image, Policy, Prompt, Trajectory
    from segagent.environment import StartSpec


def work_on_picture(
    image_path: Path,
    text: str,
    out: Path,
    choice: Choice,
    *,
    mask: Path | None,
    box: str | None = None,
    seed: int,
    as_json: bool,
    refining: bool = False,
) -> None:
    """The common part: cheap checks first, then models, then work; the folder is written last."""
    from segagent.annotation import (
        annotate_image,
        box_start,
        checked_text,
        mask_start,
        refine_image,
        require_folder_or_nothing,
        result_dict,
        write_result,
    )
    from segagent.core import InputError
    from segagent.imaging import load_image, load_mask

    text = checked_text(text)
    if mask is not None and box is not None:
        raise InputError("--seed-mask and --box cannot be used together; give the one to start from")
    if choice.box_asked and (mask is not None or box is not None):
        raise InputError("--first-box asks for a box where nothing is given; leave it or --seed-mask and --box out")
    corners = None if box is None else parse_box(box)
    require_folder_or_nothing(out)
    picture = load_image(image_path)
    start: StartSpec | None = None
    given = None if mask is None else load_mask(mask, picture.height, picture.width)
    if given is not None:
        start = mask_start(given, picture)
    choice.fetch()
    with waiting("loading the models", quiet=as_json):
        segmenter = choice.make_tool()
        if corners is not None:
            start = box_start(corners, picture, segmenter)
        annotator = choice.make_policy(started=start is not None)
    warnings = warnings_about(annotator, picture, text)
    with waiting("clicking", quiet=as_json):
        if refining and given is not None:
            trajectory = refine_image(
                picture, text, annotator, segmenter, choice.search, mask=given, seed=seed, image_name=str(image_path)
            )
        else:
            trajectory = annotate_image(
                picture, text, annotator, segmenter, choice.search, start=start, seed=seed, image_name=str(image_path)
            )
        write_result(out, picture, trajectory)
    if not trajectory.mask_at(trajectory.returned).any():
        warnings.append("nothing was found: the mask is empty")
        warn(warnings[-1])
    if as_json:
        print_object(result_dict(trajectory, out, warnings))
    else:
        summarise(trajectory, out)


def require_use_of_price(price: str | None, max_money: float | None) -> None:
    """Raise ``InputError`` for the price of one picture that limits nothing."""
    from segagent.core import InputError

    if price is not None and max_money is None:
        raise InputError("--price: limits nothing by itself; give --max-money too, or leave it out")


def summarise(trajectory: Trajectory, out: Path) -> None:
    """A few lines for a person: the result, the clicks, where the pictures are."""
    from segagent.imaging import why_stopped

    predicted = trajectory.predicted_iou_at(trajectory.returned)
    score_words = "the policy predicts no IoU" if predicted is None else f"predicted IoU {predicted:.2f}"
    num_steps = len(trajectory.steps)
    clicks = "  ".join(_prompt_words(prompt) for prompt in trajectory.prompts_at(trajectory.returned))
    area = trajectory.mask_at(trajectory.returned).mean()
    which = "the start" if trajectory.returned == 0 else f"the one after step {trajectory.returned} of {num_steps}"
    say(f'"{trajectory.text}"')
    covered = (
        f"the mask is {which} and covers {area:.1%} of the image" if area else "nothing was found, the mask is empty"
    )
    say(f"  {score_words}; {covered}")
    say(f"  stopped because {why_stopped(trajectory)}; {trajectory.seconds:.1f} s")
    say(f"  clicks: {clicks or 'none'}")
    if (usage := trajectory.usage) is not None:
        cached = f", {usage.cached} replies from the cache" if usage.cached else ""
        say(
            f"  policy: {usage.calls} calls{cached}; {usage.prompt_tokens} tokens read, {usage.completion_tokens} "
            f"written; {usage.seconds:.1f} s"
        )
        if usage.not_greedy:
            say(f"  {usage.not_greedy} replies were sampled, for the policy's server takes no temperature")
        if usage.not_structured:
            say(f"  {usage.not_structured} replies were written freely, for the policy's server takes no JSON schema")
    if trajectory.num_invalid:
        say(f"  {trajectory.num_invalid} replies of the policy were not valid actions; see the film strip")
    say(f"  film strip  {out / 'steps.png'}")
    say(f"  overlay     {out / 'overlay.png'}")
    say(f"  mask        {out / 'mask.png'} ({trajectory.width} x {trajectory.height}, 255 object, 0 rest)")
    say(f"  record      {out / 'trajectory.json'}")


def _prompt_words(prompt: Prompt) -> str:
    """``+(40, 30)`` for a click, ``box 40,30,300,280`` for a box."""
    from segagent.core import Click

    if isinstance(prompt, Click):
        return f"{'+' if prompt.positive else '-'}({prompt.x}, {prompt.y})"
    return f"box {prompt.x0},{prompt.y0},{prompt.x1},{prompt.y1}"


def parse_box(value: str) -> Box:
    """``X0,Y0,X1,Y1`` as a box. Raises ``InputError`` if it is not four whole numbers."""
    from segagent.core import Box, InputError

    try:
        x0, y0, x1, y1 = (int(part) for part in value.split(","))
    except ValueError as error:
        raise InputError(
            f"--box {value!r:.100}: expected four whole numbers X0,Y0,X1,Y1 in pixels, for example 40,30,300,280"
        ) from error
    return Box(x0, y0, x1, y1)


def warnings_about(policy: Policy, picture: Image, text: str) -> list[str]:
    """What the user should know before relying on the policy here; also written to stderr."""
    from segagent.annotation import doubts, unknown_words

    messages = []
    if words := unknown_words(policy, text):
        listed = ", ".join(repr(word) for word in words)
        messages.append(f"policy {policy.name!r} does not know {listed}; the rest of the text is all it goes by")
    messages += [f"policy {policy.name!r} {doubt}" for doubt in doubts(policy, picture, text)]
    if messages and policy.name == "embedded":
        messages.append(
            "this is outside what the small embedded policy has learnt, so expect a wrong object or a wrong score; "
            "a multimodal model can be used instead: --policy hf:DIR or --policy openai:MODEL@URL"
        )
    for message in messages:
        warn(message)
    return messages
