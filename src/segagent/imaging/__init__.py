"""Pictures in and out: untrusted files, the overlay a policy is shown, film strips, changes. Knows no models."""

from segagent.imaging.change import draw_change, draw_mask, draw_window, object_window
from segagent.imaging.drawing import GREEN, MASK_COLORS, draw_overlay
from segagent.imaging.film_strip import film_strip, why_stopped
from segagent.imaging.labels import load_labels, load_trimap
from segagent.imaging.loading import DEFAULT_MAX_PIXELS, load_image, load_mask, load_mask_with_ignore, stored_size
from segagent.imaging.quick_png import quick_png
from segagent.imaging.writing import encode_png, save_png, whole_file, whole_folder, write_bytes

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "GREEN",
    "MASK_COLORS",
    "draw_change",
    "draw_mask",
    "draw_overlay",
    "draw_window",
    "encode_png",
    "film_strip",
    "load_image",
    "load_labels",
    "load_mask",
    "load_mask_with_ignore",
    "load_trimap",
    "object_window",
    "quick_png",
    "save_png",
    "stored_size",
    "whole_file",
    "whole_folder",
    "why_stopped",
    "write_bytes",
]
