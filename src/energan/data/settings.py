"""What a user says about the data."""

from typing import Literal

from pydantic import Field

from energan.core import Config


class DataSettings(Config):
    """Where real events come from, and how they are prepared. The same for every source."""

    source: str = Field(
        "digits",
        min_length=1,
        description="digits, ring, grid, moons, swissroll, mnist or fashion-mnist; or a path: a "
        ".npy or .npz file, an IDX file, or a folder of the IDX files that MNIST comes in",
    )
    range: Literal["signed", "unit"] = Field(
        "signed", description="images in [-1, 1] (signed) or [0, 1] (unit); points are left alone"
    )
    pad: int | None = Field(
        None, ge=1, description="zero-pad square images to this many pixels a side"
    )
    limit: int | None = Field(None, ge=1, description="train on the first N events only")
    held_out: int | None = Field(
        None, ge=0, description="events kept from training; the source's own number if not set"
    )
