"""What each metric of samples is computed from, when it applies, and what real data would score."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from energan.core import SettingError
from energan.evaluation import annealed, density, distances
from energan.evaluation.classifier import why_no_classifier
from energan.evaluation.inputs import EvaluationInputs
from energan.evaluation.results import Result, with_interval
from energan.metrics.bootstrap import inception_interval
from energan.metrics.classification import error_interval
from energan.metrics.inception import inception_score, modified_inception_score
from energan.metrics.modes import class_coverage

OWN_SCALE = (
    "depends on the classifier: do not compare it with scores by another classifier, published "
    "or not"
)


@dataclass(frozen=True)
class Scorer:
    """compute: inputs -> results. obstacle: why it does not apply; empty if it does.

    too_costly: why it is left out unless it is named; empty if it is not. needs_features: whether
    it needs an extractor.
    """

    compute: Callable[[EvaluationInputs], list[Result]]
    obstacle: Callable[[EvaluationInputs], str] = lambda inputs: ""
    too_costly: Callable[[EvaluationInputs], str] = lambda inputs: ""
    needs_features: bool = False


# --- by p(y|x) ------------------------------------------------------------------------------------


def no_classifier(inputs: EvaluationInputs) -> str:
    """Why there is none; empty if there is. So do all functions that return a string here."""
    if inputs.extractor_name is None and (why := why_no_classifier(inputs.reference.training)):
        return f"it needs a classifier, and {why}"
    if inputs.extractor_name == "pixels":
        return "it needs a classifier, and pixels have none"
    return ""


def score_inception(inputs: EvaluationInputs, *, modified: bool = False) -> list[Result]:
    name, score, note = "inception_score", inception_score, OWN_SCALE
    if modified:
        name, score = "modified_inception_score", modified_inception_score
        note = f"E KL(p(y) ‖ p(y|x)), no exponential (EBGAN, section 4.1); {OWN_SCALE}"
    fake, real = _both(inputs)
    ends = inception_interval(fake, modified=modified, resamples=inputs.resamples, seed=inputs.seed)
    how = f"95% basic bootstrap over samples, {inputs.resamples} resamples"
    value, of_real = score(log_probabilities=fake), score(log_probabilities=real)
    return [with_interval(name, value, ends, how, real=of_real, note=note)]


def score_classes(inputs: EvaluationInputs) -> list[Result]:
    fake, real = _both(inputs)
    classes = fake.shape[1]
    labels = inputs.reference.judged.labels
    told = labels is not None and bool((labels >= 0).all())
    given = labels.numpy() if labels is not None and told else real.argmax(1)  # all that there are
    shares = np.bincount(given, minlength=classes) / len(given)
    found = class_coverage(fake.argmax(1), classes, reference=shares)
    uniform = class_coverage(fake.argmax(1), classes)
    names = inputs.reference.judged.class_names
    details = {
        "classes": classes,
        "kl_to_real": found.kl,
        "kl_to_uniform": uniform.kl,
        "least_share": float(min(found.shares)),
        **({"shares": list(found.shares), "names": list(names or ())} if classes <= 200 else {}),
    }
    there = int((shares > 0).sum())
    note = f"of {classes} classes, by the classifier's word; KL in nats"
    return [
        Result(
            "class_coverage", float(found.covered), real=float(there), note=note,
            details=details,
        ),
        Result("class_kl", found.kl, note="KL(samples' classes ‖ real ones), nats"),
    ]  # fmt: skip


def no_labels(inputs: EvaluationInputs) -> str:
    if inputs.labels is None:
        return "the run was given no labels to sample by"
    if inputs.reference.named:
        return "the reference has other classes than the run"
    if inputs.extractor_name not in (None, "classifier"):
        return "it needs the classifier of the run's own classes"
    return no_classifier(inputs)


def score_labels(inputs: EvaluationInputs) -> list[Result]:
    """The share of samples that the classifier finds to be of the class they were asked to be."""
    fake, real = _both(inputs)
    asked = inputs.labels
    assert asked is not None
    wanted = asked.numpy()
    right = (fake.argmax(1) == wanted).astype(np.float64)
    judged = inputs.reference.judged.labels
    of_real = None
    if judged is not None:
        of_real = float((real.argmax(1) == judged[: len(real)].numpy()).mean())
    found = error_interval(int(right.sum()), len(right))  # Wilson's, of any share
    shares = {str(k): float(right[wanted == k].mean()) for k in np.unique(wanted)}
    return [
        with_interval(
            "label_agreement", float(right.mean()), found, "95% Wilson interval of the share",
            real=of_real, details={"by_class": shares},
            note="samples that the classifier finds to be of the class that was asked for; beside "
            f"it the classifier's own accuracy on {len(real):,} real ones",
        )
    ]  # fmt: skip


def _both(inputs: EvaluationInputs) -> tuple[np.ndarray, np.ndarray]:
    fake, real = inputs.fake.log_probabilities, inputs.real.log_probabilities
    if fake is None or real is None:
        raise SettingError(
            f"the extractor {inputs.extractor.name} gives no log-probabilities: leave out the "
            "inception scores and class_coverage, or give an extractor that classifies"
        )
    return fake, real


# --- all of them ----------------------------------------------------------------------------------


SCORERS: dict[str, Scorer] = {
    "inception_score": Scorer(score_inception, no_classifier, needs_features=True),
    "modified_inception_score": Scorer(
        partial(score_inception, modified=True), no_classifier, needs_features=True
    ),
    "class_coverage": Scorer(score_classes, no_classifier, needs_features=True),
    "label_agreement": Scorer(score_labels, no_labels, needs_features=True),
    "frechet_distance": Scorer(
        distances.score_frechet, distances.too_few, distances.wide_pixels, needs_features=True
    ),
    "kernel_distance": Scorer(distances.score_kernel, distances.too_few, needs_features=True),
    "precision_recall_density_coverage": Scorer(
        distances.score_neighbourhoods, distances.too_few, needs_features=True
    ),
    "sliced_wasserstein": Scorer(distances.score_sliced),
    "variance_ratio": Scorer(distances.score_variance, distances.no_variance),
    "memorisation": Scorer(distances.score_memorisation, distances.nothing_held_out),
    "parzen": Scorer(density.score_parzen, density.no_parzen, density.wide_events),
    "modes": Scorer(density.score_modes, density.no_modes),
    "energy_log_likelihood": Scorer(density.score_energy, density.no_plane),
    "annealed_log_likelihood": Scorer(
        annealed.score_annealed, annealed.no_density, annealed.too_slow
    ),
}
"""By the name of the first metric that each makes, or the catalogue's `scorer`."""
