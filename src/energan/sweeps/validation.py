"""Whether a sweep can be run, told before anything is; what its trials are scored by."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain

from energan.core import SettingError
from energan.data import DataSet
from energan.errors import describe
from energan.evaluation.classifier import why_no_classifier
from energan.evaluation.distances import MOST_PIXELS
from energan.experiment.callbacks.held_out import no_errors
from energan.experiment.settings import Job, load
from energan.io.text import settings_text, value_text
from energan.metrics.catalogue import METRICS, metrics_named
from energan.sweeps.grid import Sweep, Values
from energan.sweeps.trials import trial_id

MOST = 20_000
"""Trials that are looked at beforehand; of larger sweeps the others are when their turn comes."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def checked(sweep: Sweep, where: str) -> Sweep:
    """The sweep, its metrics by the names of their results.

    Raises SettingError, which begins with `where`, if it is empty, if a trial does not fit the
    recipe, or if two trials are the same.
    """
    try:
        _check_parts(sweep)
        sweep = replace(sweep, metrics=ranking(sweep.metrics))
        _check_trials(sweep)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from None
    return sweep


def _check_parts(sweep: Sweep) -> None:
    if not NAME.fullmatch(sweep.name):
        raise SettingError(
            f"name {sweep.name!r}: use letters, digits, '.', '_' and '-', because it names a folder"
        )
    if not isinstance(sweep.axes, Mapping) or not sweep.axes:
        raise SettingError("there are no axes: name a setting and the values to try")
    for axis, values in sweep.axes.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise SettingError(f"axis {axis}: {describe(values)} is not a list of values")
        if not values:
            raise SettingError(f"axis {axis} has no values")
        for i, value in enumerate(values):
            if isinstance(value, Mapping):
                raise SettingError(f"axis {axis}: give {describe(dict(value))} a name")
            if value in values[:i]:
                raise SettingError(f"axis {axis} has {value_text(value)} twice")


def _check_trials(sweep: Sweep) -> None:
    """All of them, since a value may fit beside some and not beside others."""
    recipe = load(sweep.recipe)
    if recipe.origin:
        raise SettingError(
            f"recipe {sweep.recipe} starts from the weights of {recipe.origin}, and trials start "
            "anew: name a recipe or a settings file without them"
        )
    seen: dict[str, Values] = {}
    for values, _ in zip(sweep.values(), range(MOST), strict=False):
        job = _job(sweep, values)
        same = seen.setdefault(_identity(job), values)
        if same is not values:
            differ = [axis for axis in values if values[axis] != same[axis]]
            one, other = (settings_text(own, differ) for own in (same, values))
            raise SettingError(
                f"{one} and {other} are the same trial, so their results cannot differ: remove one"
            )


def _job(sweep: Sweep, values: Values) -> Job:
    trial = f"trial ({settings_text(values, list(values))})"
    try:
        return sweep.job(values)
    except SettingError as error:
        place = _place(sweep, values, str(error)) or trial
        said = str(error).removeprefix(f"{place.removeprefix('axis ')}: ")
        raise SettingError(f"{place}: {said}") from None
    except Exception as error:  # `settings` of a user's file may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SettingError(f"{trial}: {describe(reason)}") from error


def _place(sweep: Sweep, values: Values, error: str) -> str | None:
    """The part of the definition that gives this error alone, None if it takes several.

    A user's function of the values may fail on a part of them, and then tells nothing.
    """
    parts: dict[str, Values] = {"base": {}}
    parts |= {f"axis {axis}": {axis: value} for axis, value in values.items()}
    for place, part in parts.items():
        try:
            sweep.job(part)
        except Exception as alone:
            if str(alone) == error:
                return place
    return None


def _identity(job: Job) -> str:
    """What the result depends on, the data by what is asked of it instead of its contents."""
    data = job.settings.data.model_dump(mode="json", exclude={"storage", "download"})
    return trial_id(job, json.dumps(data, sort_keys=True))


def ranking(names: Sequence[str]) -> tuple[str, ...]:
    """The names of results, as records have them, of metrics as users write them.

    Raises SettingError for one that is unknown, and for a first one that ranks nothing, as a
    variance ratio.
    """
    found: list[str] = []
    for name in names:
        metrics = [metric for metric in metrics_named(name) if METRICS[metric].scored]
        if not metrics:
            scored = {n: m.aliases for n, m in METRICS.items() if m.scored}
            known = sorted({*scored, *chain.from_iterable(scored.values())})
            near = get_close_matches(name.lower().replace("-", "_"), known, 3)
            among = f"there are {', '.join(sorted(scored))}"
            hint = f"did you mean {' or '.join(near)}?" if near else among
            raise SettingError(f"metrics: there is no {describe(name)}: {hint}")
        found += metrics
    if found and METRICS[found[0]].better is None:
        fit = ", ".join(name for name, m in METRICS.items() if m.better and m.scored)
        raise SettingError(f"metrics: {found[0]} cannot rank trials; put one of {fit} first")
    return tuple(dict.fromkeys(found))


def suited(job: Job, data: DataSet) -> tuple[str, ...]:
    """What ranks trials on this data, first, and what stands beside it.

    The error of models that classify, I′ of labelled images, modes of toys that have them, the
    Fréchet distance of small images without labels; else the sliced Wasserstein distance.
    """
    if data.domain.paired:
        return ("l1", "ssim")
    if data.domain.condition_shape is not None:
        return ("precision_at_10",)
    if not no_errors(job, data):
        return ("error",)
    if not why_no_classifier(data):
        return ("modified_inception_score", "inception_score")
    if data.modes is not None:
        return ("modes", "modes_kl", "high_quality_share")
    if len(data.domain.shape) == 3 and data.domain.size <= MOST_PIXELS:
        return ("frechet_distance", "sliced_wasserstein")
    return ("sliced_wasserstein",)
