"""A run and real data -> scores, with the protocol that made them, kept in the run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from energan.core import DataError, SettingError
from energan.errors import describe
from energan.evaluation import image_to_image as paired
from energan.evaluation import tagging
from energan.evaluation.inputs import Material
from energan.evaluation.measures import MEASURES
from energan.evaluation.metrics_file import about_run, keep, protocol, read
from energan.evaluation.reference import Reference, View, reference_for
from energan.evaluation.results import Result
from energan.inference.conditions import classes_in_turn
from energan.inference.run import Run
from energan.metrics.catalogue import measure_of
from energan.version import __version__

SAMPLES, RESAMPLES = 10_000, 1000
CONDITIONED = (*paired.MEASURES, *tagging.MEASURES)
"""Measures of runs whose events come with conditions of their own."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """results: in the order of MEASURES; left_out: metric -> why it does not apply.

    record: the entry of metrics.json, with everything that the scores depend on.
    """

    results: list[Result]
    left_out: dict[str, str]
    record: dict[str, Any]

    def __getitem__(self, name: str) -> Result:
        """The result of this name. Raises KeyError if it was not made."""
        return next(r for r in self.results if r.name == name)


def evaluate(
    run: Run,
    *,
    metrics: Sequence[str] = (),
    samples: int = SAMPLES,
    reference: str | None = None,
    extractor: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    say: Say = lambda text: None,
) -> Evaluation:
    """Score `samples` draws of a run's checkpoint and weights, and keep it in metrics.json.

    metrics: names of MEASURES; all that apply if none is named.
    reference: another source of real data than the run's own. extractor: see `extractor_for`.
    seed: of the samples and of the bootstrap, of `resamples` resamples.

    The same call gives the same scores and the same file. Raises SettingError for a metric that is
    unknown, or named but not applicable; DataError if the data cannot be opened.
    """
    if samples < 2:
        raise SettingError(f"--samples {samples}: scores need at least 2 samples")
    if seed < 0:
        raise SettingError(f"--seed {seed}: a seed is not negative")
    if resamples < 2:
        raise SettingError(f"--resamples {resamples}: an interval needs at least 2 resamples")
    wanted = wanted_measures(metrics)
    if run.given and extractor is not None:
        raise SettingError("--extractor: runs of conditions are scored without one; leave it out")
    if run.given:
        return _of_conditions(run, wanted, samples, reference, seed, resamples, say)
    if unfit := [name for name in wanted if name in CONDITIONED]:
        raise SettingError(
            f"--metrics {unfit[0]} does not apply: the run's events come without conditions"
        )
    if not run.makes_samples:
        raise SettingError(
            f"{run.path}: the model {run.job.model} makes no samples to score"
            + ("; what it classifies is scored by --metrics error" if run.classifies else "")
        )
    found = _reference(run, reference)
    say(f"drawing {samples:,} samples of {run.path} (step {run.step}, {run.weights} weights)")
    view = View(run.domain, found.judged.domain.shape)
    drawn = view(run.sample(samples, seed=seed))
    labels = None if run.classes is None else classes_in_turn(samples, run.classes)
    material = Material(drawn, found, extractor, run.energy, seed, resamples, labels=labels)
    results, left_out = measured(material, wanted, say)
    used = material.extractor_used
    asked = {"reference": reference, "extractor": extractor}
    record = {
        **about_run(run, seed, material.count, resamples),
        "images": view.says,
        "extractor": None if used is None else used.about,
        "reference": found.record(),
        "metrics": [result.record() for result in results],
        "asked": {k: v for k, v in asked.items() if v is not None} or None,
        "complete": not wanted,
    }
    keep(run, record)
    return Evaluation(results, left_out, record)


def _of_conditions(
    run: Run,
    wanted: Sequence[str],
    samples: int,
    reference: str | None,
    seed: int,
    resamples: int,
    say: Say,
) -> Evaluation:
    """What `evaluate` does for image to image, and for tags of images."""
    of_run = f"{run.path} (step {run.step}, {run.weights} weights)"
    if run.domain.paired:
        paired.check(wanted)
        pairs = paired.judged(run.job.settings.data, reference)
        count, beside = min(samples, len(pairs.data)), pairs.record()
        says, extractor = "scaled to [0, 1]", None
        say(f"making {count:,} images of {of_run}")
        results = paired.scores(run, pairs, count, wanted=wanted, seed=seed, resamples=resamples)
    else:
        tagging.check(run, wanted, reference)
        tagged = tagging.judged(run, samples)
        count, beside = tagged.count, tagged.record()
        says, extractor = "features, standardised by the training part", tagged.data.about
        say(f"tagging {count:,} images by {of_run}")
        results = tagging.scores(run, tagged, wanted=wanted, seed=seed, resamples=resamples)
    record = {
        **about_run(run, seed, count, resamples),
        "images": says,
        "extractor": extractor,
        "reference": beside,
        "metrics": [result.record() for result in results],
        "asked": None if reference is None else {"reference": reference},
        "complete": not wanted,
    }
    keep(run, record)
    return Evaluation(results, {}, record)


def measured(
    material: Material, wanted: Sequence[str], say: Say
) -> tuple[list[Result], dict[str, str]]:
    """The wanted measures' results, or without any wanted those of all that apply."""
    chosen = {name: m for name, m in MEASURES.items() if not wanted or name in wanted}
    reasons = {name: measure.reason(material) for name, measure in chosen.items()}
    for name, reason in reasons.items():
        if reason and wanted:  # told before anything is computed
            raise SettingError(f"--metrics {name} does not apply: {reason}")
        if not wanted:
            reasons[name] = reason or chosen[name].spared(material)
    results: list[Result] = []
    for name, measure in chosen.items():
        if not reasons[name]:
            say(name.replace("_", " "))
            results += measure.compute(material)
    return results, {name: reason for name, reason in reasons.items() if reason}


def wanted_measures(metrics: Sequence[str]) -> list[str]:
    """Names as the user wrote them -> keys of MEASURES; none for all.

    Raises SettingError for one that is unknown.
    """
    names = [part for name in metrics for part in name.replace(",", " ").split()]
    if "all" in names:
        return []
    wanted = []
    for name in names:
        key = measure_of(name)
        if key not in (*MEASURES, *CONDITIONED):
            raise SettingError(
                f"--metrics {describe(name)}: there is no such metric; there are all, "
                f"{', '.join((*MEASURES, *CONDITIONED))}"
            )
        wanted.append(key)
    return wanted


def _reference(run: Run, source: str | None) -> Reference:
    try:
        return reference_for(run.job.settings.data, run.domain, source)
    except DataError as error:
        if source is not None:
            raise
        raise DataError(f"{error}; or name other data of the same kind by --reference") from None


def found_again(
    run: Run,
    metrics: Sequence[str],
    samples: int,
    reference: str | None,
    extractor: str | None,
    seed: int,
) -> dict[str, Any] | None:
    """The entry of metrics.json that `evaluate` would write anew, if it is there.

    Only the run's own reference is known again without opening data, and only the default
    extractor.
    """
    if reference is not None or extractor is not None:
        return None
    wanted = wanted_measures(metrics)
    for entry in read(run.path).evaluations:
        same = (run.step, run.weights, seed, samples, __version__, run.network.sha256, RESAMPLES)
        if protocol(entry)[: len(same)] != same or entry.get("asked") is not None:
            continue
        if wanted:
            there = {measure_of(m["name"]) for m in entry["metrics"]}
            if set(wanted) <= there:
                return entry
        elif entry.get("complete"):
            return entry
    return None
