"""What a user says about the data."""

from typing import Annotated, Literal, Self

from PIL import ImageColor
from pydantic import Field, FiniteFloat, field_validator, model_validator

from energan.core import Config
from energan.core.schedules import ESSENTIAL
from energan.data.augment import Augment
from energan.data.images.decoding import Channels, Decoding, Fit, Size, Window, width_and_height
from energan.data.images.label_maps import MOST as MOST_LABELS
from energan.data.images.label_maps import Asked as LabelMaps
from energan.data.images.values import MOST_BANDS
from energan.io.text import printable

LARGEST = 8192
"""Largest side in pixels that images are resized to."""
Layouts = Literal["auto", "splits", "classes", "flat", "table"]


class DataSettings(Config):
    """Settings of the data: its source, and how examples are prepared."""

    source: Annotated[str, ESSENTIAL] = Field(
        "digits",
        min_length=1,
        description="data to train on: a name (`energan data` lists them), hub:OWNER/NAME, or a "
        "path to a folder, .zip or .tar of images, a Parquet or Arrow file or folder, .npy, "
        ".npz (also of features and tags), .mat, HDF5, a video, or IDX",
    )
    range: Literal["signed", "unit"] = Field(
        "signed",
        description="range of image values: [-1, 1] (signed) or [0, 1] (unit); points are not "
        "scaled",
    )
    crop: tuple[int, int, int, int] | None = Field(
        None, description="crop each image to this box: left top right bottom, in pixels"
    )
    size: Annotated[Size | None, ESSENTIAL] = Field(
        None,
        description="resize images to a square of this side, or to a width and height, with "
        "antialiasing",
    )
    fit: Fit = Field(
        "crop",
        description="how images are brought to this shape: crop the centre (crop), pad with the "
        "lowest value (pad), or stretch (stretch)",
    )
    channels: Channels = Field(
        "auto",
        description="convert images to grey or colour, keep all bands (all), or decide by the "
        "images (auto)",
    )
    intensity: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None,
        description="the lowest and highest value, which become the ends of the range; if not "
        "set, those of the integer type, or of all floating-point values",
    )
    show_bands: tuple[Annotated[int, Field(ge=1, le=MOST_BANDS)], ...] | None = Field(
        None,
        description="for images with more than three bands: which ones pictures show as red, "
        "green and blue, counted from 1, or one shown as grey; by default the first three",
    )
    pages: Literal["first", "all"] = Field(
        "first",
        description="for files with several pages: read the first page, or all, each as an image",
    )
    frames_every: int = Field(
        1, ge=1, le=2**31 - 1, description="for videos: read every N-th frame"
    )
    background: str = Field(
        "white",
        description="background colour for transparent images, for example white, black or #808080",
    )
    pad: int | None = Field(None, ge=1, description="pad square images with zeros to this side")
    random_crop: int | None = Field(
        None,
        ge=1,
        description="crop a random square of this side from each image, at each step anew",
    )
    tile: int | None = Field(
        None,
        ge=1,
        description="train on random windows of this side; whole images are scored by all their "
        "windows, and the highest score counts",
    )
    overlap: int | None = Field(
        None,
        ge=0,
        description="smallest overlap of neighbouring windows when images are scored, in pixels "
        "(see data.tile); by default a quarter of the window's side",
    )
    mirror: bool = Field(False, description="flip images left to right at random, half of them")
    direction: Annotated[Literal["left-to-right", "right-to-left"] | None, ESSENTIAL] = Field(
        None,
        description="for pairs of images, side by side in one file or in two folders: which "
        "side is the input and which the target",
    )
    label_maps: LabelMaps = Field(
        "auto",
        description="for pairs whose sources are label maps (class indices, or a few dark "
        "values): one channel per class (one-hot, auto), the colours of their palette "
        "(palette), or a picture (image)",
    )
    label_values: tuple[Annotated[int, Field(ge=0, lt=2**24)], ...] = Field(
        (),
        max_length=MOST_LABELS,
        description="for label maps: the values of the classes; by default the values found",
    )
    jitter: bool = Field(
        False,
        description="for pairs: enlarge by 286/256, then crop a random window of the original size",
    )
    layout: Layouts = Field(
        "auto",
        description="how to read a folder, if there are several ways: train and test folders "
        "are its parts (splits), its subfolders are the classes (classes), one set of "
        "images without parts and classes (flat), or the tables among the images (table)",
    )
    classes: tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...] = Field(
        (), description="use only these classes, by name or number; by default all"
    )
    limit: int | None = Field(None, ge=1, description="train on the first N examples only")
    held_out: int | None = Field(
        None,
        ge=0,
        description="number of examples held out from training; by default the source's own",
    )
    labels: Annotated[str | None, ESSENTIAL] = Field(
        None,
        min_length=1,
        description="for a folder of images: a CSV of `file,label` with the labels of some "
        "images; the others are unlabelled",
    )
    unlabelled: bool = Field(
        True,
        description="also use images without a label, if others have one; models that are "
        "conditional on labels cannot",
    )
    tags: str | None = Field(
        None,
        min_length=1,
        description="for a folder of images: a CSV of `file,tag,tag,…` with the tags of some "
        "images, used as attributes",
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="for a folder of images or pairs, or a table: which images belong together, "
        "for example those of one patient or video, and are all trained on or all held out: by "
        "their folder (folder), a regular expression on their paths such as '(patient\\d+)', or a "
        "CSV of `file,group`; of a table by the name of a column",
    )
    labelled: int | None = Field(
        None,
        ge=2,
        description="for learning from few labels: use this many labels, the same number of "
        "each class, chosen by the seed; by default all",
    )
    image_column: str | None = Field(
        None, description="for a table or an HDF5 file: the column of images"
    )
    label_column: str | None = Field(
        None, description="for a table or an HDF5 file: the column of classes"
    )
    attributes: tuple[str, ...] = Field(
        (),
        description="for a table: the yes/no columns used as attributes; by default all boolean "
        "columns",
    )
    tag_dimensions: int = Field(
        200,
        ge=1,
        description="for features and tags: dimension of a tag's vector, if the file has no "
        "vectors; at most the number of tags",
    )
    storage: Literal["auto", "memory", "cache", "stream"] = Field(
        "auto",
        description="where decoded images are kept: in memory, in a cache on disk, chosen by "
        "size (auto: on disk above 512 MiB), or, for tables larger than the disk, nowhere: "
        "decoded during training (stream)",
    )
    download: bool = Field(False, description="allow the download of a hub data set")

    def for_source(self, source: str) -> Self:
        """Settings that prepare another source in the same way; those about this source alone are
        reset.
        """
        fields = type(self).model_fields
        own = (
            "layout", "classes", "limit", "held_out", "labels", "tags", "groups", "labelled",
            "unlabelled", "image_column", "label_column", "attributes",
        )  # fmt: skip
        return self.model_copy(
            update={"source": source, **{name: fields[name].default for name in own}}
        )

    @property
    def csvs(self) -> dict[str, str]:
        """Settings that name a CSV file, which may lie in the folder of the data."""
        named = {"labels": self.labels, "tags": self.tags}
        if self.groups is not None and self.groups.lower().endswith(".csv"):
            named["groups"] = self.groups
        return {name: word for name, word in named.items() if word is not None}

    @property
    def decoding(self) -> Decoding:
        return Decoding(
            self.crop, self.size, self.fit, self.channels, self.background, self.intensity,
            bounds=self.bounds,
        )  # fmt: skip

    @property
    def augment(self) -> Augment:
        """The random changes to images in training."""
        return Augment(self.tile or self.random_crop, self.mirror)

    @property
    def window_overlap(self) -> int:
        """`overlap`, or a quarter of the side of a window; 0 without windows."""
        return (self.tile or 0) // 4 if self.overlap is None else self.overlap

    @property
    def shown(self) -> tuple[int, ...]:
        """`show_bands`, counted from 0."""
        return tuple(band - 1 for band in self.show_bands or ())

    @property
    def bounds(self) -> Window:
        """Lowest and highest value of a pixel in training."""
        return (-1.0 if self.range == "signed" else 0.0), 1.0

    @field_validator("size", mode="before")
    @classmethod
    def _check_sides(cls, value: object) -> object:
        """A square is one number, however it is written."""
        sides = tuple(value) if isinstance(value, list | tuple) else (value,)
        if value is None:
            return None
        if len(sides) not in (1, 2) or any(
            type(n) is not int or not 1 <= n <= LARGEST for n in sides
        ):
            raise ValueError(
                f"give the side of a square, or width and height, of 1 to {LARGEST} pixels"
            )
        return sides if len(set(sides)) == 2 else sides[0]

    @field_validator("source", "labels", "tags", "groups", mode="before")
    @classmethod
    def _check_text(cls, value: object) -> object:
        """A run keeps these as text."""
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise ValueError(
                f"the name {printable(value)} is not UTF-8, so a run cannot store it: rename it, "
                "or use a link with another name"
            )
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.crop is not None:
            left, top, right, bottom = self.crop
            if not (0 <= left < right and 0 <= top < bottom):
                raise ValueError(
                    f"data.crop {self.crop} is not a box: give left top right bottom, for "
                    "example 7 17 82 92"
                )
        if self.intensity is not None and not self.intensity[0] < self.intensity[1]:
            low, high = self.intensity
            raise ValueError(f"data.intensity {low:g} {high:g}: give the lower value first")
        if self.show_bands is not None and len(self.show_bands) not in (1, 3):
            raise ValueError(f"data.show_bands names {len(self.show_bands)} bands: give 1 or 3")
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise ValueError(
                f"data.background {self.background!r} is not a colour: give, for example, white, "
                "black or #808080"
            ) from None
        for name in ("random_crop", "tile"):
            side = getattr(self, name)
            if side and self.size is not None and side > min(width_and_height(self.size)):
                raise ValueError(f"data.{name} {side} is larger than data.size {self.size}")
        self._check_tile()
        if self.jitter and self.direction is None:
            raise ValueError(
                "data.jitter applies to pairs of images: set data.direction, or leave "
                "data.jitter unset"
            )
        return self

    def _check_tile(self) -> None:
        """Raise ValueError if windows cannot be cut as asked for."""
        if self.tile is None:
            if self.overlap is not None:
                raise ValueError(
                    "data.overlap applies to windows: set data.tile too, or leave data.overlap "
                    "unset"
                )
            return
        if self.random_crop is not None:
            raise ValueError(
                "data.tile and data.random_crop both cut windows: set only one (random_crop "
                "scores the centre of each image, tile the whole image)"
            )
        if self.overlap is not None and self.overlap >= self.tile:
            raise ValueError(
                f"data.overlap {self.overlap} must be smaller than the windows' side, {self.tile}"
            )
