"""Data that a user gives from Python: files and folders, pictures, arrays, tensors, data sets."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from energan.core import DataError, Domain, describe
from energan.data.dataset import DataSet
from energan.data.inference import open_images, prepare_like, resolve_settings
from energan.data.settings import DataSettings
from energan.data.source import Part, Source
from energan.data.sources.arrays.arrays import from_arrays
from energan.io.files import aside

One = str | Path | bytes | Image.Image | NDArray[Any] | Tensor | DataSet
Images = One | Sequence[One]
"""A path or a source, the contents of an image file, Pillow images, arrays of images as files hold
them, examples as a run takes them, a data set; or several of these."""
TrainingData = Tensor | NDArray[Any] | tuple[Any, Any] | Dataset[Any]
"""Examples to train on, (N, ...): a tensor or an array; (examples, labels); a torch data set of
examples or of (example, label)."""
NARROW = 4
"""The last axis of an array is taken for its channels if it is at most this long and the others are
longer."""


def is_examples(x: object) -> bool:
    """Whether x is an array or a tensor of floats, which are examples as they are."""
    return isinstance(x, Tensor | np.ndarray) and torch.as_tensor(x[:0]).is_floating_point()


def open_given(x: Images, settings: DataSettings, domain: Domain) -> list[DataSet]:
    """x as data sets for a run with these settings of data, in its order.

    Raises DataError for what cannot be read, and for what does not fit the run.
    """
    if isinstance(x, list | tuple):
        if not x:
            raise DataError("the list of images is empty: give at least one")
        return [data for one in x for data in open_given(one, settings, domain)]
    if isinstance(x, DataSet):
        return [x]
    if isinstance(x, str | Path):
        return _files(str(x), settings, domain)
    if isinstance(x, Image.Image):
        source = Source("a picture", parts=(Part(0, 1, lambda: [_encoded(x)]),))
    elif isinstance(x, bytes):
        source = Source("an image file", parts=(Part(0, 1, lambda: [x]),))
    elif isinstance(x, Tensor | np.ndarray):
        source = from_arrays(Path("the array"), _several(np.asarray(x), domain))
    else:
        raise DataError(
            f"{type(x).__name__} is not a type of image: give paths, bytes of image files, "
            "Pillow images, arrays, tensors or a data set"
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


# --- data to train on -----------------------------------------------------------------------------


def training_arrays(data: TrainingData) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The examples and, where there are any, their labels, as arrays.

    Raises DataError for what is neither, and for examples that a run cannot be trained on.
    """
    if isinstance(data, Dataset):
        x, y = _stacked(data)
    elif isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"data is a tuple of {len(data)}: give (examples, labels)")
        x, y = _array(data[0], "examples"), _array(data[1], "labels")
    elif isinstance(data, Tensor | np.ndarray):
        x, y = _array(data, "examples"), None
    else:
        raise DataError(
            f"data of type {type(data).__name__} is not supported: give a source's name or path, "
            "a tensor, an array, (examples, labels), or a torch data set"
        )
    from_arrays(Path("data"), x, y)
    return x, y


def save_training_data(data: TrainingData, path: Path) -> None:
    """Write the data as a .npz file that `data.source` takes. Raises DataError as
    `training_arrays`."""
    x, y = training_arrays(data)
    arrays = {"x": x} if y is None else {"x": x, "y": y}
    with aside(path) as made, open(made, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _array(values: Any, what: str) -> NDArray[Any]:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.dtype == torch.bfloat16 else values
    try:
        return np.asarray(values)
    except ValueError as error:  # of lists of unlike lengths
        raise DataError(f"the {what} cannot be read as an array: {describe(error)}") from None


def _stacked(data: Dataset[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """All items of a data set, (example, label) or examples alone."""
    if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
        raise DataError(
            f"{type(data).__name__} has no length: give a data set with __len__ and __getitem__"
        )
    items = [data[i] for i in range(len(data))]
    if not items:
        raise DataError(f"{type(data).__name__} is empty")
    pairs = all(isinstance(item, tuple | list) and len(item) == 2 for item in items)
    singles = all(isinstance(item, tuple | list) and len(item) == 1 for item in items)
    if not pairs:
        return _stack(item[0] if singles else item for item in items), None
    return _stack(item[0] for item in items), _stack(item[1] for item in items)


def _stack(values: Iterable[Any]) -> NDArray[Any]:
    parts = [_array(value, "items of the data set") for value in values]
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        some = " and ".join(map(str, sorted(shapes)[:2]))
        raise DataError(
            f"the data set's examples have different shapes, for example {some}: bring them all "
            "to one shape"
        )
    return np.stack(parts)
