"""Errors a user can act on: one line that names the file or value, what was expected and what to do."""

from __future__ import annotations


class SegAgentError(Exception):
    """Root of all errors raised on purpose; its message is one line fit to be shown to a person."""


class InputError(SegAgentError):
    """An input (image, mask, text, annotation file, option) cannot be used; nothing was written."""


class SpecError(InputError):
    """A policy or tool specification string does not name anything known."""


class MissingExtraError(SegAgentError):
    """An optional dependency is needed; the message names the extra to install."""


class WeightsError(SegAgentError):
    """A checkpoint is missing, damaged, or of another architecture."""


class ToolError(SegAgentError):
    """A segmentation tool was asked for something it does not take (for example a box)."""


class RefusedError(SegAgentError):
    """A policy has no answer to one observation, whatever is tried (a content filter); it may have one to others."""
