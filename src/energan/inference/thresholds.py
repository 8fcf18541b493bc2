"""The threshold that a run keeps: made where there is none, changed to another rate."""

from energan.anomaly.calibration import FPR, Calibration, lowest_rate
from energan.anomaly.normal_data import nearly_trained, normal_events
from energan.core import DataError, SettingError
from energan.data import DataSet
from energan.inference.run import Run
from energan.io.console import say, warn
from energan.io.text import agree, plural


def kept_calibration(
    run: Run, fpr: float | None, smooth: float = 0.0, *, maps: bool = False
) -> Calibration:
    """The run's calibration at a rate, its own or the usual one if none is asked for; made anew on
    the run's held-out part, with a line, where there is none of this checkpoint.

    smooth: as of `Run.heatmap`. maps: make it anew too where it has no threshold of maps smoothed
    so. Raises SettingError if one of another checkpoint is of images that the user gave.
    """
    kept = run.calibration
    if kept is None:
        say("no threshold yet: calibrating on the run's own held-out part")
        return _calibrate_on_held_out(run, fpr, smooth)
    rate = kept.fpr if fpr is None else fpr
    if kept.network != run.network:
        if kept.part == "given":
            raise SettingError(
                f"{run.path} was calibrated on {kept.source} with {kept.network}, and this is "
                f"{run.network}: calibrate again, with energan score --calibrate {kept.source}"
            )
        say(f"calibrated with {kept.network}, and this is {run.network}: calibrating again")
        return _calibrate_on_held_out(run, rate, smooth)
    if maps and kept.part == "held-out" and not kept.judges_maps(smooth):
        say("calibrated without such heat maps: calibrating again on the run's own held-out part")
        return _calibrate_on_held_out(run, rate, smooth)
    if rate != kept.fpr:
        kept = kept.at(rate)
        kept.save(run.path)
    return kept


def _calibrate_on_held_out(run: Run, fpr: float | None, smooth: float) -> Calibration:
    """The run calibrated on its held-out part. fpr: None for the usual one, or for the lowest that
    these allow if they are few, with a line."""
    data = normal_events(None, run.job.settings.data, run.domain.whole)
    if fpr is None:
        count = len(data) if data.groups is None else len(data.groups.unique())
        fpr = max(FPR, lowest_rate(count))
        if fpr > FPR:
            what = "held-out image" if data.groups is None else "held-out group"
            say(
                f"the threshold allows {100 * fpr:g} % false positives, as {plural(count, what)} "
                f"allow no less; calibrate on more images for {100 * FPR:g} % (--calibrate)"
            )
    made = run.calibrate(None, fpr, smooth=smooth)
    remedy = (
        "use --calibrate with other images, or train with --data.groups, which keeps similar "
        "images together"
    )
    warn_of_trained(run, data, "held-out image", remedy)
    return made


def warn_of_trained(run: Run, data: DataSet, what: str, remedy: str) -> None:
    """Warn where images that set the threshold are too much like those that were trained on."""
    try:
        near = nearly_trained(data, run.job.settings.data, run.domain.whole)
    except DataError as error:  # the training images may be elsewhere
        say(f"not compared with the training images: {error}")
        return
    if near is None or not bool(near.any()):
        return
    count = int(near.sum())
    warn(
        f"{count:,} of {plural(len(near), what)} {agree(count, 'are')} almost identical to "
        f"training images, so the threshold is too low for new images: {remedy}"
    )
