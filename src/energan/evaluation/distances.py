"""How far samples are from real events: in features, and as they are."""

import numpy as np

from energan.evaluation.classifier import why_no_classifier
from energan.evaluation.inputs import EvaluationInputs
from energan.evaluation.results import Result, with_interval
from energan.metrics.bootstrap import Interval, interval, mean_interval
from energan.metrics.distance import sliced_wasserstein
from energan.metrics.diversity import variance_ratio
from energan.metrics.frechet import frechet_distance_of, statistics_of
from energan.metrics.kernel import kernel_distance, kernel_distance_error
from energan.metrics.neighbours import (
    memorisation,
    neighbourhoods,
    precision_recall_density_coverage,
)

NEIGHBOURS, CHECKED, FEW = 5, 2000, 100
"""k of the neighbourhoods, events for the costlier metrics, resamples for the costlier ones."""
WIDE, VERY_FEW = 512, 10
"""Features beyond which a Fréchet distance takes seconds, and resamples then."""
MOST_PIXELS = 1024
Z = 1.959964  # 95 % of a normal distribution


def too_few(inputs: EvaluationInputs) -> str:
    fewest = min(inputs.count, len(inputs.reference.judged))
    return "" if fewest > NEIGHBOURS + 1 else f"it needs more than {NEIGHBOURS + 1} examples"


def wide_pixels(inputs: EvaluationInputs) -> str:
    size = inputs.samples[0].numel()
    name = inputs.extractor_name
    pixels = (
        bool(why_no_classifier(inputs.reference.training)) if name is None else name == "pixels"
    )
    if pixels and size > MOST_PIXELS:
        return f"for {size} pixels it means little and takes long: give an extractor"
    return ""


def nothing_held_out(inputs: EvaluationInputs) -> str:
    if inputs.reference.named:
        return "it compares with the run's own training data, and another reference is given"
    if inputs.reference.split == "training":
        return "it needs held-out examples"
    return too_few(inputs)


def score_frechet(inputs: EvaluationInputs) -> list[Result]:
    fake, real = inputs.fake.values, statistics_of(inputs.real.values)

    def distance(rows: np.ndarray) -> float:
        return frechet_distance_of(statistics_of(fake[rows]), real)

    value = distance(np.arange(len(fake)))
    resamples = min(inputs.resamples, VERY_FEW if fake.shape[1] > WIDE else FEW)
    generator = np.random.default_rng(inputs.seed)
    drawn = [distance(generator.integers(0, len(fake), len(fake))) for _ in range(resamples)]
    half = Z * float(np.std(drawn, ddof=1)) if len(drawn) > 1 else 0.0
    floor = None
    if inputs.reference.split != "training":
        floor = frechet_distance_of(statistics_of(inputs.training.values), real)
    return [
        with_interval(
            "frechet_distance", value, Interval(max(0.0, value - half), value + half),
            f"95% normal, bootstrap over samples, {resamples} resamples",
            real=floor,
            note=f"in the {fake.shape[1]} features of {inputs.extractor.name}; biased by the "
            "number of samples: compare at equal numbers",
        )
    ]  # fmt: skip


def score_kernel(inputs: EvaluationInputs) -> list[Result]:
    fake, real = inputs.fake.values, inputs.real.values
    value = kernel_distance(fake, real)
    half = Z * kernel_distance_error(fake, real)
    floor = None
    if inputs.reference.split != "training":
        floor = kernel_distance(inputs.training.values, real)
    return [
        with_interval(
            "kernel_distance", value, Interval(value - half, value + half),
            "95% normal over samples, by the first-order standard error",
            real=floor,
            note="unbiased MMD² with the kernel (x·y/D + 1)³; it may be negative",
        )
    ]  # fmt: skip


def score_neighbourhoods(inputs: EvaluationInputs) -> list[Result]:
    k = NEIGHBOURS
    fake, real = inputs.fake.values, inputs.real.values
    count = min(len(fake), len(real))  # more of one kind make smaller balls, and fill larger ones
    floor = None
    if inputs.reference.split != "training":
        training = inputs.training.values
        count = min(count, len(training)) if len(training) > k else count
        floor = precision_recall_density_coverage(real[:count], training[:count], k)
    found = neighbourhoods(real[:count], fake[:count], k)
    parts = {
        "precision": (found.in_real, "samples"),
        "recall": (found.recalled, "real examples"),
        "density": (found.density, "samples"),
        "coverage": (found.covered, "real examples"),
    }
    results = []
    for name, (values, over) in parts.items():
        values = np.asarray(values, np.float64)
        interval = mean_interval(values, resamples=inputs.resamples, seed=inputs.seed)
        how = f"95% percentile bootstrap over {over}, {inputs.resamples} resamples"
        results.append(
            with_interval(
                name, float(values.mean()), interval, how,
                real=None if floor is None else getattr(floor, name),
                note=f"k = {k}, {count} of each kind, features of {inputs.extractor.name} "
                "(Naeem et al. 2020)",
            )
        )  # fmt: skip
    return results


def score_sliced(inputs: EvaluationInputs) -> list[Result]:
    fake, real = inputs.samples[:CHECKED], inputs.real_events[:CHECKED]
    floor = None
    if inputs.reference.split != "training":
        floor = sliced_wasserstein(inputs.training_events[:CHECKED], real)
    resamples = min(inputs.resamples, FEW)
    found = interval(
        lambda rows: sliced_wasserstein(fake[rows], real), len(fake),
        resamples=resamples, seed=inputs.seed, kind="basic",
    )  # fmt: skip
    value = sliced_wasserstein(fake, real)
    how = f"95% basic bootstrap over samples, {resamples} resamples"
    note = f"of {len(fake)} samples and {len(real)} real examples, 128 directions"
    found = Interval(max(0.0, min(found.low, value)), max(found.high, value))
    return [with_interval("sliced_wasserstein", value, found, how, real=floor, note=note)]


def no_variance(inputs: EvaluationInputs) -> str:
    if min(len(inputs.samples), len(inputs.real_events)) < 2:
        return "it needs at least two samples and two real examples"
    alike = bool((inputs.real_events[:CHECKED] == inputs.real_events[:1]).all())
    return "it needs real examples that differ" if alike else ""


def score_variance(inputs: EvaluationInputs) -> list[Result]:
    fake, real = inputs.samples[:CHECKED], inputs.real_events[:CHECKED]
    resamples = min(inputs.resamples, FEW)
    found = interval(
        lambda rows: variance_ratio(fake[rows], real), len(fake),
        resamples=resamples, seed=inputs.seed,
    )  # fmt: skip
    how = f"95% percentile bootstrap over samples, {resamples} resamples"
    note = "total variance of samples over that of real examples; near 1 where they vary alike"
    value = variance_ratio(fake, real)
    return [with_interval("variance_ratio", value, found, how, real=1.0, note=note)]


def score_memorisation(inputs: EvaluationInputs) -> list[Result]:
    reference = inputs.reference
    training = reference.events(reference.training, len(reference.training))
    fake, held_out = inputs.samples[:CHECKED], inputs.real_events[:CHECKED]
    levels = 2**reference.training.domain.depth - 1
    grain = 0.5 / levels if inputs.is_image else 0.0  # half a level: rounding makes no original
    found = memorisation(fake, training, held_out, grain)
    details = {
        "share_nearer_than_1_percent_of_held_out": found.share_below_first_percentile,
        "share_nearer_than_half_of_held_out": found.share_below_median,
        "copies": found.copies,
        "samples": len(fake),
        "training_events": len(training),
    }
    note = (
        "z of the Mann-Whitney test on distances to the nearest training example (Meehan et al. "
        "2020): far below 0, samples lie nearer to training data than held-out data do"
    )
    return [Result("memorisation", found.z, real=0.0, note=note, details=details)]
