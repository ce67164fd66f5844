"""Values and interfaces that everything else speaks in. Knows NumPy and nothing heavier."""

from segagent.core.actions import (
    Action,
    Box,
    Click,
    Finish,
    InvalidAction,
    Prompt,
    Undo,
    action_from_dict,
    action_to_dict,
)
from segagent.core.errors import (
    InputError,
    MissingExtraError,
    RefusedError,
    SegAgentError,
    SpecError,
    ToolError,
    WeightsError,
)
from segagent.core.image import Image, Pixels
from segagent.core.interfaces import (
    Policy,
    Proposal,
    Segmentation,
    SegmentationTool,
    SegmentRequest,
    predicts_iou,
)
from segagent.core.masks import (
    BoolMask,
    Rle,
    decode_rle,
    empty_mask,
    encode_rle,
    frozen_mask,
    intersection_and_union,
    iou,
)
from segagent.core.state import Observation, State
from segagent.core.trajectory import SCHEMA, Candidate, Start, Step, Trajectory
from segagent.core.usage import Usage, total_usage

__all__ = [
    "SCHEMA",
    "Action",
    "BoolMask",
    "Box",
    "Candidate",
    "Click",
    "Finish",
    "Image",
    "InputError",
    "InvalidAction",
    "MissingExtraError",
    "Observation",
    "Pixels",
    "Policy",
    "Prompt",
    "Proposal",
    "RefusedError",
    "Rle",
    "SegAgentError",
    "SegmentRequest",
    "Segmentation",
    "SegmentationTool",
    "SpecError",
    "Start",
    "State",
    "Step",
    "ToolError",
    "Trajectory",
    "Undo",
    "Usage",
    "WeightsError",
    "action_from_dict",
    "action_to_dict",
    "decode_rle",
    "empty_mask",
    "encode_rle",
    "frozen_mask",
    "intersection_and_union",
    "iou",
    "predicts_iou",
    "total_usage",
]
