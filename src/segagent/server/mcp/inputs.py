"""What a client may hand in: files below one folder, pictures and masks of bounded size, no addresses, no modules."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path

from segagent.core import BoolMask, Image, InputError, Rle, decode_rle
from segagent.datasets import Dataset, ScenesDataset, open_dataset
from segagent.datasets.refer import KINDS
from segagent.imaging import load_image, load_mask
from segagent.server.requests import ServerLimits

FILE_SCHEMES = ("coco", "lvis", "voc", "sbd", "grabcut", "berkeley", "davis", "hqseg", "reasonseg", "parquet", *KINDS)
"""Data sets with masks that lie below a folder; those of other people's modules are not for clients to name."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True)
class Inputs:
    """``root``: the folder, resolved, outside of which no file is opened."""

    root: Path
    limits: ServerLimits = ServerLimits()  # noqa: RUF009 - frozen

    @staticmethod
    def below(root: str | Path, limits: ServerLimits | None = None) -> Inputs:
        """Of the folder ``root``. Raises ``InputError`` where that is none."""
        try:
            found = Path(root).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{str(root)[:200]!r}: cannot be opened; --root takes a folder that exists") from error
        if not found.is_dir():
            raise InputError(f"{found}: is not a folder; --root takes the one that pictures are read from")
        return Inputs(found, limits or ServerLimits())

    def file(self, path: str, what: str) -> Path:
        """The file or folder ``path`` names, relative to the root. Raises ``InputError`` for one outside of it."""
        if _ADDRESS.match(path):
            raise InputError(
                f"{what} {path!r:.200}: addresses are not fetched; give a file below {self.root}"
                + (", or the picture itself as base64 in 'data'" if what == "picture" else "")
            )
        try:
            found = (self.root / path).resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"{what} {path!r:.200}: not a file name; give a file below {self.root}") from error
        if not found.is_relative_to(self.root):
            raise InputError(
                f"{what} {path!r:.200}: lies outside of {self.root}; give a file below it, or change --root"
            )
        return found

    def picture(self, path: str, data: str) -> tuple[Image, str]:
        """The picture in a file, or in base64, and its name. Raises ``InputError`` unless exactly one is given."""
        if bool(path) == bool(data):
            raise InputError("give either 'path', a picture file, or 'data', the picture in base64")
        if path:
            found = self.file(path, "picture")
            return load_image(found, max_pixels=self.limits.max_pixels), found.relative_to(self.root).as_posix()
        image = load_image("in 'data'", max_pixels=self.limits.max_pixels, content=self._decoded(data))
        return image, f"{image.key[:16]} (sent)"

    def mask(self, path: str, rle: Rle | None, image: Image) -> BoolMask:
        """The mask in a file or as COCO RLE, bool (height, width). Raises ``InputError`` unless one is given."""
        if bool(path) == (rle is not None):
            raise InputError("give either 'mask_path', a mask file, or 'mask', COCO RLE with size and counts")
        if path:
            found = self.file(path, "mask")
            return load_mask(found, image.height, image.width, max_pixels=self.limits.max_pixels)
        assert rle is not None
        if list(rle["size"]) != [image.height, image.width]:
            raise InputError(
                f"the mask's size is {list(rle['size'])}; expected [{image.height}, {image.width}], height and width "
                "of the picture"
            )
        try:
            return decode_rle(rle)
        except ValueError as error:
            raise InputError(f"'mask': {error}; expected compressed COCO RLE, {{size, counts}}") from error

    def dataset(self, spec: str) -> Dataset:
        """The data set of a specification, all of whose files lie below the root. Raises ``InputError``."""
        scheme, colon, rest = spec.partition(":")
        if scheme == "scenes":
            opened = open_dataset(spec)
            assert isinstance(opened, ScenesDataset)
            height, width = opened.shape
            if height * width > self.limits.max_pixels:
                raise InputError(
                    f"{spec!r:.200}: {width} x {height} pixels a scene, more than {self.limits.max_pixels}"
                )
            return opened
        if not colon or scheme not in FILE_SCHEMES:
            found = self.file(spec, "data set")
            if not found.exists():
                raise InputError(
                    f"data set {spec!r:.200}: no such file or folder below {self.root}; expected one, scenes:NUM, or "
                    f"SCHEME:PATH with a scheme out of {', '.join(FILE_SCHEMES)}"
                )
            return self._inside(open_dataset(str(found)))
        # Divided as segagent.datasets.spec_options does it.
        path, *options = re.split(r":(?=[a-z_]+=)", rest, maxsplit=1)
        parts = re.split(r",(?=[a-z_]+=)", options[0]) if options else []
        parts = [
            f"images={self.file(part[len('images=') :], 'folder of images')}" if part.startswith("images=") else part
            for part in parts
        ]
        tail = f":{','.join(parts)}" if parts else ""
        return self._inside(open_dataset(f"{scheme}:{self.file(path, 'data set')}{tail}"))

    def _inside(self, opened: Dataset) -> Dataset:
        """``opened``. Raises ``InputError`` where it has found its images beside the root instead of below it."""
        folder = getattr(opened, "images_dir", None)
        if folder is not None and not Path(folder).resolve().is_relative_to(self.root):
            raise InputError(f"{opened.spec:.200}: its images lie in {folder}, outside of {self.root}; change --root")
        return opened

    def _decoded(self, data: str) -> bytes:
        """The bytes of base64, with or without ``data:image/...;base64,`` before it."""
        if data.startswith("data:"):
            head, _, data = data.partition(",")
            if not head.endswith(";base64"):
                raise InputError("'data': expected base64, or a data: URL of it")
        elif _ADDRESS.match(data):
            raise InputError(f"'data': addresses are not fetched; give a file below {self.root}, or base64")
        if len(data) > self.limits.max_body // 3 * 4:
            raise InputError(f"'data': larger than {self.limits.max_body} bytes; scale the picture down first")
        try:
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError("'data': not base64; expected the bytes of a picture file in it") from error
