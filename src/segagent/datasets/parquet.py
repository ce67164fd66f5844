"""Hugging Face parquet files with columns for image, mask and text: a row is one image, each of its texts a sample.

``parquet:FILE_OR_FOLDER[:image=..,mask=..,text=..,category=..]`` names the columns (default: those names). An image or
mask is what the ``datasets`` library writes (a structure with ``bytes`` and ``path``), plain bytes, or a path below the
files' folder; a mask may also be null (no such object). A text is a string or a list of strings.

Needs pyarrow, which the extra ``parquet`` installs. Listing reads only the texts; pixels come a row group at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from segagent.core import BoolMask, Image, InputError, MissingExtraError, empty_mask
from segagent.datasets.broken import BrokenSample
from segagent.datasets.listed import fingerprint_of, told
from segagent.datasets.sample import ListedGroup, path_inside
from segagent.datasets.spec_options import parse_spec, write_spec
from segagent.imaging import load_image, load_mask

_COLUMNS = ("image", "mask", "text", "category")


@dataclass(frozen=True, slots=True)
class _Row:
    """Row ``number`` of row group ``group`` of a file; ``number`` counts within the group."""

    file: Path
    group: int
    number: int
    name: str
    image_column: str
    mask_column: str

    def content(self, column: str) -> bytes | None:
        """The bytes of a picture, None where it is null. Raises ``InputError``."""
        value = _column(self.file, self.group, column)[self.number].as_py()
        where = f"{self.file}, row {self.name.rpartition('#')[2]}, {column}"
        if isinstance(value, dict):
            value = value.get("bytes") if value.get("bytes") is not None else value.get("path")
        if isinstance(value, str):
            path = path_inside(self.file.parent, value, where, column)
            try:
                return path.read_bytes()
            except OSError as error:
                raise InputError(f"{where}: {path} cannot be read ({error.strerror})") from error
        if value is not None and not isinstance(value, bytes):
            raise InputError(f"{where}: expected a picture's bytes or path, got {told(value)}")
        return value

    def load_image(self) -> Image:
        """The decoded picture."""
        content = self.content(self.image_column)
        if content is None:
            raise InputError(f"{self.file}, {self.name}: the image is null")
        return load_image(self.name, content=content)


@dataclass(frozen=True, slots=True)
class ParquetSample:
    """One text of one row. See :class:`segagent.datasets.Sample`."""

    sample_id: str
    text: str
    row: _Row
    category: str | None = None
    kind: str | None = None

    @property
    def image_name(self) -> str:
        """File and row, ``train.parquet#17``."""
        return self.row.name

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming file and row."""
        return self.row.load_image()

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.Sample`."""
        image = image if image is not None else self.load_image()
        content = self.row.content(self.row.mask_column)
        if content is None:
            return empty_mask(image.height, image.width), None
        return load_mask(self.row.name, image.height, image.width, content=content), None


class ParquetDataset:
    """The rows of one or several parquet files. See :class:`segagent.datasets.Dataset`."""

    def __init__(self, spec: str) -> None:
        self.path, options = parse_spec(spec, dict.fromkeys(_COLUMNS))
        self._columns = {name: options.get(name, name) for name in _COLUMNS}
        self.files = sorted(self.path.rglob("*.parquet")) if self.path.is_dir() else [self.path]
        if not self.files or not self.files[0].is_file():
            raise InputError(f"{self.path}: expected a .parquet file, or a folder that holds some")
        self.spec = write_spec("parquet", self.path, dict(options))
        self.num_images = 0
        rows = []
        for file in self.files:
            opened = _opened(file)
            names = set(opened.schema_arrow.names)
            for name in _COLUMNS[:3]:
                if self._columns[name] not in names:
                    raise InputError(
                        f"{file}: has no column {self._columns[name]!r} but {', '.join(sorted(names))[:200]}; "
                        f"say which one it is, for example parquet:{self.path}:{name}=COLUMN"
                    )
            self.num_images += opened.metadata.num_rows
            rows.append(f"{self._name(file)} {opened.metadata.num_rows} {file.stat().st_size}")
        self.fingerprint = fingerprint_of("\n".join(rows), str(self._columns))

    def __iter__(self) -> Iterator[ParquetSample | BrokenSample]:
        for _, samples in self._rows():
            yield from samples

    def groups(self) -> Iterator[ListedGroup]:
        """See :class:`segagent.datasets.Dataset`; a row without a text has a group without samples."""
        for name, samples in self._rows():
            yield ListedGroup(name, tuple(samples))

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        file_name, _, text = name.rpartition("#")
        file = next((file for file in self.files if self._name(file) == file_name), None)
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 18 else -1
        if file is not None and number >= 0:
            metadata = _opened(file).metadata
            for group in range(metadata.num_row_groups):
                count = metadata.row_group(group).num_rows
                if number < count:
                    return self._row(file, group, number, int(text)).load_image()
                number -= count
        raise InputError(f"{self.spec}: holds no image {name!r:.80}")

    def _name(self, file: Path) -> str:
        return file.relative_to(self.path if self.path.is_dir() else self.path.parent).as_posix()

    def _row(self, file: Path, group: int, number: int, overall: int) -> _Row:
        name = f"{self._name(file)}#{overall}"
        return _Row(file, group, number, name, self._columns["image"], self._columns["mask"])

    def _rows(self) -> Iterator[tuple[str, list[ParquetSample | BrokenSample]]]:
        for file in self.files:
            opened = _opened(file)
            overall = 0
            for group in range(opened.metadata.num_row_groups):
                count = opened.metadata.row_group(group).num_rows
                try:
                    values: list[Any] = _values(file, group, self._columns["text"], count)
                    has_category = self._columns["category"] in opened.schema_arrow.names
                    categories = _values(file, group, self._columns["category"], count) if has_category else []
                    damage = None
                except InputError as error:
                    values, categories, damage = [None] * count, [], str(error)
                for number, value in enumerate(values):
                    row = self._row(file, group, number, overall)
                    category = categories[number] if categories else None
                    yield row.name, self._samples(row, value, category, f"{file}, row {overall}", damage)
                    overall += 1

    def _samples(
        self, row: _Row, value: Any, category: Any, where: str, damage: str | None
    ) -> list[ParquetSample | BrokenSample]:
        """The texts of a row, or one sample that fails."""
        listed = value if isinstance(value, list) else [value]
        if damage is None and not all(isinstance(text, str) and text.strip() for text in listed):
            damage = f"{where}, {self._columns['text']}: expected words or a list of them, got {told(value)}"
        if damage is not None:
            return [BrokenSample(f"{row.name}-0", row.name, damage, row.load_image)]
        known = category if isinstance(category, str) else None
        return [ParquetSample(f"{row.name}-{count}", text.strip(), row, known) for count, text in enumerate(listed)]


def _values(file: Path, group: int, column: str, count: int) -> list[Any]:
    """A column of a row group as Python values. Raises ``InputError``, also where there are not ``count`` of them."""
    try:
        values: list[Any] = _column(file, group, column).to_pylist()
    except (ValueError, OSError) as error:  # A text that is not UTF-8; pyarrow's errors are such.
        detail = " ".join(str(error).split())[:120]
        raise InputError(f"{file}, row group {group}, {column}: damaged ({detail})") from error
    if len(values) != count:
        raise InputError(f"{file}, row group {group}, {column}: has {len(values)} rows, the file says {count}")
    return values


def arrow() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``. Raises ``MissingExtraError`` where they are not installed."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            "parquet files need pyarrow; install it with: pip install 'segagent[parquet]'"
        ) from error
    return pyarrow, parquet


def _opened(file: Path) -> Any:
    pyarrow, parquet = arrow()
    try:
        return parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise InputError(
            f"{file}: not a parquet file that can be read ({' '.join(str(error).split())[:120]})"
        ) from error


@lru_cache(maxsize=4)
def _column(file: Path, group: int, column: str) -> Any:
    """One column of one row group; the last few are kept."""
    try:
        return _opened(file).read_row_group(group, columns=[column]).column(0)
    except InputError:
        raise
    except Exception as error:
        # A damaged page may raise almost anything.
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{file}, row group {group}: damaged ({detail})") from error
