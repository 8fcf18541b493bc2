"""All that is scored of a run in one call: samples, classes, other data, defects."""

from collections.abc import Sequence
from pathlib import Path

from energan.core import SettingError
from energan.evaluation.classification import evaluate_classification
from energan.evaluation.defects import evaluate_defects
from energan.evaluation.evaluate import Evaluation, Say, evaluate, parse_metrics
from energan.evaluation.metrics_file import CLASSES, DEFECTS, OUTSIDE
from energan.evaluation.ood import out_of_distribution
from energan.inference.run import Run
from energan.metrics.catalogue import scorers_of

CLASS_METRICS = scorers_of("classes")


def wants_classes(run: Run, metrics: Sequence[str], labels: str | None, every: bool) -> bool:
    """Whether the run's classes are to be scored: they are named, or `every` metric is wanted.

    Raises SettingError if they are named, and it has none.
    """
    named = [name for name in metrics if name in CLASS_METRICS]
    if named and not run.classifies:
        raise SettingError(
            f"--metrics {named[0]} does not apply: the model {run.job.model} does not classify"
        )
    if labels is not None and not run.classifies:
        raise SettingError(f"--labels: the model {run.job.model} does not classify; leave it out")
    return run.classifies and (every or bool(named))


def evaluate_run(
    run: Run,
    metrics: Sequence[str],
    reference: str | None,
    labels: str | None,
    other_data: Sequence[str],
    defects: str | None,
    masks: Path | None,
    groups: str | None,
    smooth: float,
    samples: int,
    extractor: str | None,
    seed: int,
    resamples: int,
    say: Say,
) -> Evaluation:
    """The scores that are asked for, together. See `energan.evaluate`."""
    of_samples = [name for name in metrics if name not in CLASS_METRICS]
    parse_metrics(of_samples)  # a misspelt one is told before anything is done
    for option, value in (("masks", masks), ("groups", groups)):
        if value is not None and defects is None:
            raise SettingError(
                f"--{option} applies to --defects only: add --defects, or leave it out"
            )
    every = "all" in metrics or not (metrics or other_data or defects)
    classify = wants_classes(run, metrics, labels, every)
    made = Evaluation([], {}, {})
    if other_data:
        ood = out_of_distribution(run, other_data, samples=samples, seed=seed, say=say)
        made = made.joined(ood.results, {OUTSIDE: ood.record})
    if defects is not None:
        found = evaluate_defects(
            run, defects, masks, groups, smooth=smooth, resamples=resamples, seed=seed
        )
        made = made.joined(found.results, {DEFECTS: found.record})
    if classify:
        classes = evaluate_classification(run, reference=reference, labels=labels)
        made = made.joined(classes.results, {CLASSES: classes.record})
    if (every and (run.makes_samples or run.given or not classify)) or of_samples:
        own = evaluate(
            run, metrics=of_samples, samples=samples, reference=reference, extractor=extractor,
            seed=seed, resamples=resamples, say=say,
        )  # fmt: skip
        made = made.joined(own.results, own.record, own.left_out)
    return made
