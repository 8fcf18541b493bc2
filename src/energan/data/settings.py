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
"""Pixels of a side that images are brought to."""
Layouts = Literal["auto", "splits", "classes", "flat", "table"]


class DataSettings(Config):
    """Where real events come from, and how they are prepared. The same for every source."""

    source: Annotated[str, ESSENTIAL] = Field(
        "digits",
        min_length=1,
        description="a name (`energan data` lists them), hub:OWNER/NAME, or a path: a folder, .zip "
        "or .tar of images, a Parquet or Arrow file or folder, .npy, .npz (also of tagged "
        "features), .mat, HDF5, a video, or IDX",
    )
    range: Literal["signed", "unit"] = Field(
        "signed", description="images in [-1, 1] (signed) or [0, 1] (unit); points are left alone"
    )
    crop: tuple[int, int, int, int] | None = Field(
        None, description="cut this box out of each image: left top right bottom, in pixels"
    )
    size: Annotated[Size | None, ESSENTIAL] = Field(
        None,
        description="resize images, antialiased, to a square of this side, or a width and height",
    )
    fit: Fit = Field(
        "crop",
        description="how they get this shape: cut the middle (crop), fill up with the lowest value "
        "(pad), or scale both sides (stretch)",
    )
    channels: Channels = Field(
        "auto", description="grey, colour, all bands that there are, or whichever the images are"
    )
    intensity: tuple[FiniteFloat, FiniteFloat] | None = Field(
        None,
        description="the values that become the ends of the range: low high; if not set, those of "
        "the images' type of integers, or the least and the greatest of all floats",
    )
    show_bands: tuple[Annotated[int, Field(ge=1, le=MOST_BANDS)], ...] | None = Field(
        None,
        description="of images with more than three bands: those that pictures show as red, green "
        "and blue, counted from 1, or one as grey; the first three if not set",
    )
    pages: Literal["first", "all"] = Field(
        "first", description="of files of several pages: the first, or all, each as an image"
    )
    frames_every: int = Field(1, ge=1, le=2**31 - 1, description="of videos: one frame in so many")
    background: str = Field(
        "white", description="what transparent parts are laid on: a colour, as black or #808080"
    )
    pad: int | None = Field(
        None, ge=1, description="zero-pad square images to this many pixels a side"
    )
    random_crop: int | None = Field(
        None, ge=1, description="cut a square of this side at a random place, each time anew"
    )
    tile: int | None = Field(
        None,
        ge=1,
        description="train on windows of this side, cut at random places; whole images are judged "
        "by all their windows (an image's energy is the maximum of its map)",
    )
    overlap: int | None = Field(
        None,
        ge=0,
        description="pixels that neighbouring windows of data.tile share when images are judged, "
        "at least; a quarter of the side if not set",
    )
    mirror: bool = Field(False, description="flip every other image left to right, at random")
    direction: Annotated[Literal["left-to-right", "right-to-left"] | None, ESSENTIAL] = Field(
        None,
        description="of pairs of images, side by side in one file or in two folders: from which "
        "side to which",
    )
    label_maps: LabelMaps = Field(
        "auto",
        description="of pairs whose sources are label maps (of indices, or a few dark values): a "
        "plane for each class (one-hot, auto), the colours of their palette, or a picture (image)",
    )
    label_values: tuple[Annotated[int, Field(ge=0, lt=2**24)], ...] = Field(
        (),
        max_length=MOST_LABELS,
        description="of label maps: the value of each class; those that there are if not set",
    )
    jitter: bool = Field(
        False, description="of pairs: enlarge by 286/256, cut a random window of the size"
    )
    layout: Layouts = Field(
        "auto",
        description="of a folder that can be read in two ways: folders train and test are its "
        "parts whatever stands beside them (splits), its folders are the classes (classes), all "
        "images without parts or classes (flat), the tables among the images (table)",
    )
    classes: tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...] = Field(
        (), description="use only these classes, by name or by number; all if not set"
    )
    limit: int | None = Field(None, ge=1, description="train on the first N events only")
    held_out: int | None = Field(
        None, ge=0, description="events kept from training; the source's own number if not set"
    )
    labels: Annotated[str | None, ESSENTIAL] = Field(
        None,
        min_length=1,
        description="of a folder of images: a CSV of `file,label` with the labels of some; the "
        "others are unlabelled",
    )
    unlabelled: bool = Field(
        True,
        description="use the images without a label too, where some have one; models that are "
        "conditioned on labels cannot",
    )
    tags: str | None = Field(
        None,
        min_length=1,
        description="of a folder of images: a CSV of `file,tag,tag,…` with the tags of some, which "
        "are their attributes",
    )
    groups: str | None = Field(
        None,
        min_length=1,
        description="of a folder of images: which belong together, as those of a patient or of a "
        "video, and are trained on, or held out, together: their folder (folder), what a regular "
        r"expression finds in their paths, as '(patient\d+)', or a CSV of `file,group`",
    )
    labelled: int | None = Field(
        None,
        ge=2,
        description="for learning from few labels: keep those of so many events, of each class "
        "alike, chosen by the seed; all that there are if not set",
    )
    image_column: str | None = Field(
        None, description="of a table or an HDF5 file: the column of images"
    )
    label_column: str | None = Field(
        None, description="of a table or an HDF5 file: the column of classes"
    )
    attributes: tuple[str, ...] = Field(
        (), description="of a table: columns of yes and no; all of truth values if not set"
    )
    tag_dimensions: int = Field(
        200,
        ge=1,
        description="of tagged features: numbers in a tag's vector, where the file brings no "
        "vectors; at most as many as there are tags",
    )
    storage: Literal["auto", "memory", "cache", "stream"] = Field(
        "auto",
        description="decoded images: in memory, in a cache on disk (auto: past 512 MiB), or, of "
        "tables that fit no disk, decoded on the way (stream)",
    )
    download: bool = Field(False, description="let a hub data set be downloaded")

    def for_source(self, source: str) -> Self:
        """What prepares another source alike; what concerns this one alone is as by default."""
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
        """The settings that name a CSV, which may lie in the folder of the data."""
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
        """How images change each time training sees them."""
        return Augment(self.tile or self.random_crop, self.mirror)

    @property
    def window_overlap(self) -> int:
        """`overlap`, or a quarter of the side of a window; 0 without windows."""
        return (self.tile or 0) // 4 if self.overlap is None else self.overlap

    @property
    def shown(self) -> tuple[int, ...]:
        """`show_bands` counted from 0."""
        return tuple(band - 1 for band in self.show_bands or ())

    @property
    def bounds(self) -> Window:
        """The lowest and the highest value that a pixel has."""
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
                f"the name {printable(value)} is no UTF-8, and a run could not keep it: rename it, "
                "or name a link to it"
            )
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.crop is not None:
            left, top, right, bottom = self.crop
            if not (0 <= left < right and 0 <= top < bottom):
                raise ValueError(
                    f"data.crop {self.crop} is no box: write left top right bottom, as 7 17 82 92"
                )
        if self.intensity is not None and not self.intensity[0] < self.intensity[1]:
            low, high = self.intensity
            raise ValueError(f"data.intensity {low:g} {high:g}: the first must be less")
        if self.show_bands is not None and len(self.show_bands) not in (1, 3):
            raise ValueError(f"data.show_bands names {len(self.show_bands)} bands: name 1 or 3")
        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            raise ValueError(
                f"data.background {self.background!r} is no colour: write white, black or #808080"
            ) from None
        for name in ("random_crop", "tile"):
            side = getattr(self, name)
            if side and self.size is not None and side > min(width_and_height(self.size)):
                raise ValueError(f"data.{name} {side} is larger than data.size {self.size}")
        self._check_tile()
        if self.jitter and self.direction is None:
            raise ValueError("data.jitter is for pairs of images: set data.direction, or leave it")
        return self

    def _check_tile(self) -> None:
        """Raise ValueError if windows cannot be cut as asked for."""
        if self.tile is None:
            if self.overlap is not None:
                raise ValueError("data.overlap is that of windows: set data.tile too, or leave it")
            return
        if self.random_crop is not None:
            raise ValueError(
                "data.tile and data.random_crop both cut windows: leave one (a run with "
                "random_crop judges the middle of each image, one with tile the whole)"
            )
        if self.overlap is not None and self.overlap >= self.tile:
            raise ValueError(
                f"data.overlap {self.overlap}: windows of {self.tile} pixels share less than their "
                "side"
            )
