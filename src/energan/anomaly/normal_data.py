"""Normal events, that a run is calibrated on."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from energan.anomaly.detection import NORMAL, NOTHING, Wanted, sides_of
from energan.core import DataError, Domain, SettingError
from energan.data import DataSet, DataSettings, open_data
from energan.data.inference import open_images, open_training_images
from energan.data.near_duplicates import MOST, is_comparable, near_duplicates
from energan.data.sources.splits import fixed_sample

Normal = Tensor | DataSet | str | Path
"""Examples (B, *event) in the data's range, a data set, or a source."""
MAPPED = 1_000
"""Largest number of normal images whose heat maps set a threshold."""
Groups = str | Sequence[int] | Tensor
"""Which examples belong together: `data.groups` of a source, or a number for each example."""


def normal_events(
    x: Normal | None, settings: DataSettings, domain: Domain, groups: Groups | None = None
) -> DataSet:
    """x as a data set; None for the held-out part of what `settings` describes.

    Raises SettingError if nothing was held out, or groups do not suit x, DataError for a source
    that does not fit.
    """
    if x is None:
        if groups is not None:
            raise SettingError(
                "the groups of the held-out part are those of training: train with data.groups"
            )
        return _held_out(settings)
    if isinstance(x, str | Path) and (groups is None or isinstance(groups, str)):
        return normal_images(str(x), settings, domain, groups=groups)
    if isinstance(x, str | Path) or isinstance(groups, str):
        raise SettingError(
            "give groups as a word for a source, and as a number per example otherwise"
        )
    if isinstance(x, Tensor):
        x = DataSet(f"a tensor of {len(x)} examples", x.cpu(), domain)
    x = x.whole
    if groups is None:
        return x
    # counted from 0: float64, which weights are found in, tells no numbers above 2^53 apart
    return replace(x, groups=torch.as_tensor(groups).unique(return_inverse=True)[1])


def spread(data: DataSet, most: int = MAPPED) -> DataSet:
    """The data, or of more than `most` events that many, drawn from all."""
    return data if len(data) <= most else data.subset(fixed_sample(len(data), most))


def nearly_trained(data: DataSet, settings: DataSettings, domain: Domain) -> Tensor | None:
    """Which of these images are nearly ones that a run with these settings was trained on, bool
    (N,): at another exposure, or saved anew. None of points, and of too many to compare.

    Raises DataError if the training images cannot be opened.
    """
    if not is_comparable(data):
        return None
    known, _ = open_training_images(settings, domain, MOST)
    return near_duplicates(known, data) >= 0 if is_comparable(known) else None


def _held_out(settings: DataSettings) -> DataSet:
    try:
        held_out = open_data(settings).held_out
    except DataError as error:
        raise DataError(
            f"{error} (or calibrate on your own normal images: --calibrate NORMAL)"
        ) from error
    if held_out is None:
        raise SettingError(
            f"nothing was held out of {settings.source} (data.held_out 0): calibrate on your own "
            "normal images, with --calibrate NORMAL"
        )
    return held_out.whole


def normal_images(
    source: str,
    settings: DataSettings,
    domain: Domain,
    wanted: Wanted = NOTHING,
    groups: str | None = None,
) -> DataSet:
    """What a run is calibrated on: of a labelled source only the normal ones, where they are known.

    groups: which of them belong together, as `data.groups`.

    Raises DataError as `open_images` does, and if the source holds no normal one.
    """
    (judged,), _ = open_images([source], settings, domain, groups=groups)
    sides = sides_of(judged, settings.classes, wanted)
    if sides is None or bool((sides == NORMAL).all()):
        return judged.data
    normal = (sides == NORMAL).nonzero().flatten()
    if not len(normal):
        raise DataError(f"--calibrate {source} holds no normal images: name another source")
    return judged.data.subset(normal)
