"""The main job: one sentence and one image in, a mask and the record of how it was made out."""

from segagent.annotation.output import TRAJECTORY_FILE, require_folder_or_nothing, result_dict, write_result
from segagent.annotation.single import (
    MAX_TEXT_LENGTH,
    annotate_image,
    box_start,
    checked_text,
    mask_start,
    refine_image,
    score_mask,
)
from segagent.policies.doubts import doubts, unknown_words

__all__ = [
    "MAX_TEXT_LENGTH",
    "TRAJECTORY_FILE",
    "annotate_image",
    "box_start",
    "checked_text",
    "doubts",
    "mask_start",
    "refine_image",
    "require_folder_or_nothing",
    "result_dict",
    "score_mask",
    "unknown_words",
    "write_result",
]
