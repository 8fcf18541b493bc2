"""Normal events, that a run is calibrated on."""

from pathlib import Path

from torch import Tensor

from energan.anomaly.detection import NORMAL, NOTHING, Wanted, sides_of
from energan.core import DataError, Domain, SettingError
from energan.data import DataSet, DataSettings, open_data
from energan.data.inference import open_images

Normal = Tensor | DataSet | str | Path
"""Events (B, *event) in the data's range, a data set, or a source."""


def normal_events(x: Normal | None, settings: DataSettings, domain: Domain) -> DataSet:
    """x as a data set; None for the held-out part of what `settings` describes.

    Raises SettingError if nothing was held out, DataError for a source that does not fit.
    """
    if x is None:
        return _held_out(settings)
    if isinstance(x, Tensor):
        return DataSet(f"a tensor of {len(x)} events", x.cpu(), domain)
    return x if isinstance(x, DataSet) else normal_images(str(x), settings, domain)


def _held_out(settings: DataSettings) -> DataSet:
    try:
        held_out = open_data(settings).held_out
    except DataError as error:
        raise DataError(
            f"{error} (or calibrate on normal events of your own: --calibrate NORMAL)"
        ) from error
    if held_out is None:
        raise SettingError(
            f"nothing was held out of {settings.source} (data.held_out 0): calibrate on normal "
            "events of your own, as with --calibrate NORMAL"
        )
    return held_out


def normal_images(
    source: str, settings: DataSettings, domain: Domain, wanted: Wanted = NOTHING
) -> DataSet:
    """What a run is calibrated on: of a labelled source only the normal ones, where they are known.

    Raises DataError as `open_images` does, and if the source holds no normal one.
    """
    groups, _ = open_images([source], settings, domain)
    judged = groups[0]
    sides = sides_of(judged, settings.classes, wanted)
    if sides is None or bool((sides == NORMAL).all()):
        return judged.data
    normal = (sides == NORMAL).nonzero().flatten()
    if not len(normal):
        raise DataError(f"--calibrate {source} holds no normal image: name another source")
    return judged.data.subset(normal)
