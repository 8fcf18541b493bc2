"""Images that a user gives from Python: files and folders, pictures, arrays, data sets."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from energan.core import DataError, Domain
from energan.data.dataset import DataSet
from energan.data.inference import open_images, prepare_like, resolve_settings
from energan.data.settings import DataSettings
from energan.data.source import Part, Source
from energan.data.sources.arrays.arrays import from_arrays

One = str | Path | Image.Image | NDArray[Any] | Tensor | DataSet
Images = One | Sequence[One]
"""A path or a source, pictures of Pillow, arrays of images as their files hold them, examples as a
run takes them, a data set; or several of these."""
NARROW = 4
"""The last axis of an array is its channels if it is so short and the others are longer."""


def is_examples(x: object) -> bool:
    """Whether x is an array or a tensor of floats, which are examples as they are."""
    return isinstance(x, Tensor | np.ndarray) and torch.as_tensor(x[:0]).is_floating_point()


def open_given(x: Images, settings: DataSettings, domain: Domain) -> list[DataSet]:
    """x as data sets for a run with these settings of data, in its order.

    Raises DataError for what cannot be read, and for what does not fit the run.
    """
    if isinstance(x, list | tuple):
        if not x:
            raise DataError("the list of images is empty: name some")
        return [data for one in x for data in open_given(one, settings, domain)]
    if isinstance(x, DataSet):
        return [x]
    if isinstance(x, str | Path):
        return _files(str(x), settings, domain)
    if isinstance(x, Image.Image):
        source = Source("a picture", parts=(Part(0, 1, lambda: [_encoded(x)]),))
    elif isinstance(x, Tensor | np.ndarray):
        source = from_arrays(Path("the array"), _several(np.asarray(x), domain))
    else:
        raise DataError(
            f"of type {type(x).__name__} are no images: give paths, pictures of Pillow, arrays, "
            "tensors or a data set"
        )
    if len(domain.shape) == 3:
        settings = resolve_settings(settings, domain)
    return [prepare_like(source, settings, domain, torch.arange(source.count))[0]]


def _files(word: str, settings: DataSettings, domain: Domain) -> list[DataSet]:
    found, skipped = open_images([word], settings, domain, trained_on=True)
    if skipped:
        where, reason = skipped[0]
        more = f", nor {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise DataError(f"{where} cannot be read ({reason}){more}: leave it out")
    return [one.data for one in found]


def _encoded(image: Image.Image) -> bytes:
    """As a file that keeps all that the picture holds."""
    upright, file = ImageOps.exif_transpose(image), io.BytesIO()
    png = upright.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    upright.save(file, "PNG" if png else "TIFF")
    return file.getvalue()


def _several(x: NDArray[Any], domain: Domain) -> NDArray[Any]:
    """One image as a stack of one."""
    if x.ndim == 2:
        return x[None]
    if x.ndim == 3:
        last = x.shape[2] <= NARROW < min(x.shape[:2])
        first = domain.shape[0] == x.shape[0] > 1
        return x[None] if last or first else x
    return x
