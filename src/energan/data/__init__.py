"""Real events by name or by path, with one treatment of range, padding, limit and held-out part."""

import difflib
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import DataError, Domain, describe
from energan.data.arrays import arrays
from energan.data.dataset import DataSet, Source, mean_event
from energan.data.digits import digits
from energan.data.feed import Feed
from energan.data.idx import Split, idx_file, idx_folder, idx_named, is_idx
from energan.data.settings import DataSettings
from energan.data.toys import TOYS

__all__ = ["SOURCES", "DataSet", "DataSettings", "Feed", "open_data"]

SOURCES: dict[str, str] = {
    "digits": "1,797 scans of handwritten digits, 8x8, 10 classes; comes with scikit-learn",
    "ring": "8 Gaussians on a circle in the plane, 50,000 points",
    "grid": "25 Gaussians on a square grid in the plane, 50,000 points",
    "moons": "two interleaved half circles in the plane, 50,000 points",
    "swissroll": "a spiral in the plane, 50,000 points",
    "mnist": "60,000 handwritten digits, 28x28, 10 classes; IDX files in $ENERGAN_DATA/mnist",
    "fashion-mnist": "60,000 pieces of clothing, 28x28, 10 classes; IDX files in "
    "$ENERGAN_DATA/fashion-mnist",
}
"""The names that `data.source` knows, each with a line about it."""


def open_data(settings: DataSettings, split: Split = "train") -> DataSet:
    """The data that `settings` describes, on the CPU, with its held-out part.

    A name of SOURCES wins over a file of that name: write ./digits for the file. split "test" gives
    the separate test set of MNIST and its kin, whole: `limit` and `held_out` concern training.

    Raises DataError for a source that is unknown or unreadable, and settings that do not fit it.
    """
    source = _open(settings.source, split)
    if split == "test":
        # What a model is initialised from is training data, so this domain claims no mean.
        domain = _domain(source, settings)
        events = _prepare(source.events, source, domain, settings)
        return DataSet(source.name, events, domain, source.labels)
    held_out = source.held_out if settings.held_out is None else settings.held_out
    left = len(source.events) - held_out
    if left < 1:
        raise DataError(
            f"{source.name} has {len(source.events)} events: holding out {held_out} leaves none to "
            "train on; lower data.held_out"
        )
    if settings.limit is not None and settings.limit > left:
        raise DataError(
            f"{source.name} has {left} training events beside {held_out} held out: data.limit "
            f"{settings.limit} is too large"
        )
    domain = _domain(source, settings)
    training, rest = slice(0, settings.limit or left), slice(left, None)
    events = _prepare(_take(source.events, source, training), source, domain, settings)
    domain = Domain(
        domain.shape, domain.low, domain.high, domain.classes, mean_event(events, domain)
    )

    def part(events: Tensor, rows: slice, held_out: DataSet | None) -> DataSet:
        labels = None if source.labels is None else _take(source.labels, source, rows)
        return DataSet(source.name, events, domain, labels, held_out, source.modes, source.mode_std)

    kept = None
    if held_out:
        taken = _take(source.events, source, rest)
        kept = part(_prepare(taken, source, domain, settings), rest, None)
    return part(events, training, kept)


def _open(source: str, split: Split) -> Source:
    if source in ("mnist", "fashion-mnist"):
        return idx_named(source, split)
    path, is_array = None, False
    if source not in SOURCES:
        try:
            path = Path(source).expanduser()
            if path.is_dir():
                return idx_folder(path, split)
            if not path.exists():
                raise DataError(_unknown(source))
            is_array = path.suffix in (".npy", ".npz")
            if not is_array and not (path.is_file() and is_idx(path)):
                raise DataError(f"{path} is neither a .npy or .npz file nor an IDX file")
        except (OSError, RuntimeError) as error:  # RuntimeError: a ~user that does not exist
            raise DataError(f"{describe(source)} cannot be read: {describe(error)}") from error
    if split == "test":
        raise DataError(f"{source} has no test set of its own: use the held-out part")
    if path is not None:
        return arrays(path) if is_array else idx_file(path)
    return digits() if source == "digits" else TOYS[source]()


def _unknown(source: str) -> str:
    near = difflib.get_close_matches(source.lower(), SOURCES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"there is no data source, file or folder {describe(source)!r}{hint}: the sources are "
        f"{', '.join(SOURCES)}, and a path also works"
    )


def _domain(source: Source, settings: DataSettings) -> Domain:
    """Shape and range after padding; DataError if the events cannot be padded so."""
    shape = tuple(source.events.shape[1:])
    classes = None if source.labels is None else int(source.labels.max()) + 1
    if len(shape) == 1:
        if settings.pad is not None:
            raise DataError(f"{source.name} holds points, not images: leave data.pad unset")
        return Domain(shape, classes=classes)
    channels, height, width = shape
    if settings.pad is not None:
        if height != width:
            raise DataError(
                f"{source.name} has images of {height}x{width}: data.pad is for square ones"
            )
        if settings.pad < height:
            raise DataError(
                f"{source.name} has images of {height}x{width}: data.pad {settings.pad} would cut "
                f"them; use at least {height}"
            )
        height = width = settings.pad
    low = -1.0 if settings.range == "signed" else 0.0
    return Domain((channels, height, width), low, 1.0, classes)


def _take(values: Tensor, source: Source, rows: slice) -> Tensor:
    """The part `rows` of the source's order, without a copy where that is the order on disk."""
    return values[rows] if source.order is None else values.index_select(0, source.order[rows])


def _prepare(events: Tensor, source: Source, domain: Domain, settings: DataSettings) -> Tensor:
    """Events padded and, if they are float images, brought from their own range to the domain's."""
    border = 0.0
    if events.ndim == 4 and events.dtype != torch.uint8:
        assert source.low is not None
        assert source.high is not None
        assert domain.low is not None
        assert domain.high is not None
        if (source.low, source.high) != (domain.low, domain.high):
            scale = (domain.high - domain.low) / (source.high - source.low)
            events = (events - source.low).mul_(scale).add_(domain.low)
        border = domain.low
    if settings.pad is None or settings.pad == events.shape[-1]:
        return events
    before, odd = divmod(settings.pad - events.shape[-1], 2)
    after = before + odd  # an odd pixel goes to the right and the bottom
    return F.pad(events, (before, after, before, after), value=border)
