"""Scores by probability: Parzen windows, modes of known mixtures, densities in the plane."""

from collections.abc import Callable
from math import exp, log, pi

import torch
from torch import Tensor

from energan.evaluation.distances import Z
from energan.evaluation.inputs import EvaluationInputs
from energan.evaluation.published import PARZEN
from energan.evaluation.results import Result
from energan.metrics.modes import modes_covered
from energan.metrics.partition import energy_log_likelihood
from energan.metrics.parzen import parzen_log_likelihood, parzen_validation

VALIDATION, LARGEST = 1000, 4096
"""Events that sigma is chosen on, numbers of an event beyond which Parzen is not the default."""
GRID, FINE, SIGMAS = 512, 1200, 3
"""Places along an axis of the grids of log Z and of the masses of modes; how many standard
deviations a mode reaches."""
FLAWS = (
    "the estimate has high variance and does poorly in high dimension (Goodfellow et al. 2014); "
    "it can rank copies of the training data above a better model (Theis et al. 2016): compare "
    "only scores made from as many samples by the same protocol"
)


def no_parzen(inputs: EvaluationInputs) -> str:
    if inputs.reference.split == "training":
        return "it needs held-out examples"
    if len(inputs.reference.judged) < 4:
        return "it needs at least 4 held-out examples"
    return ""


def wide_events(inputs: EvaluationInputs) -> str:
    size = inputs.samples[0].numel()
    return f"a Parzen window says little of {size} numbers" if size > LARGEST else ""


def score_parzen(inputs: EvaluationInputs) -> list[Result]:
    """Goodfellow et al. 2014, section 5: sigma by validation, then the test set's mean."""
    reference = inputs.reference
    if reference.split == "test" and reference.training.held_out is not None:
        validation = reference.events(reference.training.held_out, VALIDATION)
        test = reference.events(reference.judged, len(reference.judged))
        on = f"the first {len(validation)} held-out examples"
    else:  # one part for both: sigma on its beginning, the score on the rest
        events = reference.events(reference.judged, len(reference.judged))
        half = min(VALIDATION, len(events) // 2)
        validation, test = events[:half], events[half:]
        on = f"the first {half} examples of the evaluated part, which are then left out"
    samples = inputs.samples.flatten(1)
    table = parzen_validation(samples, validation.flatten(1))
    sigma = max(table, key=lambda s: table[s])
    found = parzen_log_likelihood(samples, test.flatten(1), sigma)
    half_width = Z * found.standard_error
    # MNIST's figures are of this protocol alone; TFD's ± is across folds
    protocol = (samples.shape, len(test), len(validation), reference.split)
    published = reference.judged.name != "mnist" or protocol == (
        (10_000, 784), 10_000, VALIDATION, "test"
    )  # fmt: skip
    details = {
        "standard_error": found.standard_error,
        "sigma": sigma,
        "sigma_chosen_on": on,
        "validation": {f"{s:.4g}": value for s, value in table.items()},
        "samples": len(samples),
        "test_events": len(test),
        "numbers": samples.shape[1],
        "published": PARZEN.get(reference.judged.name, []) if published else [],
    }
    return [
        Result(
            "parzen", found.mean, found.mean - half_width, found.mean + half_width,
            "mean ± 1.96 standard errors over test examples",
            note=f"nats, Gaussian Parzen window in [0, 1]; {FLAWS}", details=details,
        )
    ]  # fmt: skip


def no_modes(inputs: EvaluationInputs) -> str:
    judged = inputs.reference.judged
    if judged.modes is None or judged.mode_std is None:
        return f"{judged.name} is not a mixture with known modes"
    return ""


def score_modes(inputs: EvaluationInputs) -> list[Result]:
    judged = inputs.reference.judged
    assert judged.modes is not None
    assert judged.mode_std is not None
    found = modes_covered(inputs.samples, judged.modes, judged.mode_std)
    good = found.high_quality_share
    half = Z * (good * (1 - good) / inputs.count) ** 0.5
    return [
        Result(
            "modes", float(found.covered), real=float(len(judged.modes)),
            note=f"of {len(judged.modes)} modes, those with a sample within 3σ",
            details={"counts": list(found.counts)},
        ),
        Result("modes_kl", found.kl, note="KL(modes' shares ‖ uniform), nats"),
        Result(
            "high_quality_share", good, max(0.0, good - half), min(1.0, good + half),
            "95% normal over samples", note="samples within 3σ of a mode",
        ),
    ]  # fmt: skip


def no_plane(inputs: EvaluationInputs) -> str:
    if inputs.is_image or inputs.samples.shape[1] > 2:
        return (
            "its log Z is a sum over a grid, possible for points with one or two coordinates only"
        )
    return "" if inputs.energy is not None else "the run has no energy to evaluate"


def score_energy(inputs: EvaluationInputs) -> list[Result]:
    """log-likelihood of real examples under exp(-U(x))/Z on the box of real events, enlarged."""
    assert inputs.energy is not None
    points = inputs.real_events.double()
    low, high = points.min(0).values, points.max(0).values
    margin = 0.25 * (high - low)
    low, high = low - margin, high + margin
    function = inputs.energy

    def of(x: torch.Tensor) -> torch.Tensor:
        return function(x.float()).double()

    found = energy_log_likelihood(of, points, low.tolist(), high.tolist(), resolution=GRID)
    half = Z * found.standard_error
    made = [
        Result(
            "energy_log_likelihood", found.mean, found.mean - half, found.mean + half,
            "mean ± 1.96 standard errors over real examples", real=_of_modes(inputs),
            note="nats, of real examples under exp(-U)/Z on their box, a quarter wider each way; "
            "meant for energies trained as densities: a hinge or a logit is none",
            details={"log_z": found.log_z, "log_z_error": found.error, "grid": GRID},
        )
    ]  # fmt: skip
    judged = inputs.reference.judged
    if judged.modes is None or judged.mode_std is None or points.shape[1] != 2:
        return made
    shares = mode_masses(of, judged.modes, judged.mode_std, low, high)
    within, uniform = float(shares.sum()), 1 / len(shares)
    return [
        *made,
        Result(
            "density_in_modes", within, real=1 - exp(-(SIGMAS**2) / 2),
            note=f"the density's own mass within {SIGMAS}σ of a mode",
            details={"shares": shares.tolist()},
        ),
        Result(
            "density_modes_kl", float((uniform * (uniform * within / shares).log()).sum()),
            real=0.0,
            note="KL(uniform ‖ the density's shares of the modes), nats",
        ),
    ]  # fmt: skip


def mode_masses(
    energy: Callable[[Tensor], Tensor], modes: Tensor, std: float, low: Tensor, high: Tensor
) -> Tensor:
    """The mass of exp(−U)/Z within SIGMAS·σ of each mode (K, 2), float64 (K,), by a grid's sum."""
    across, up = (
        torch.linspace(float(a), float(b), FINE, dtype=torch.float64)
        for a, b in zip(low, high, strict=True)
    )
    log_mass, which = [], []
    for part in across.split(64):
        places = torch.cartesian_prod(part, up)
        near = torch.cdist(places, modes.double()).min(1)
        log_mass.append(-energy(places))
        which.append(torch.where(near.values <= SIGMAS * std, near.indices, len(modes)))
    mass = torch.softmax(torch.cat(log_mass), 0)
    of_modes = torch.zeros(len(modes) + 1, dtype=torch.float64)
    return of_modes.index_add_(0, torch.cat(which), mass)[:-1]


def _of_modes(inputs: EvaluationInputs) -> float | None:
    """The mean log-density of the same events under the mixture they were drawn from, if known."""
    judged = inputs.reference.judged
    if judged.modes is None or judged.mode_std is None:
        return None
    modes, x, std = judged.modes.double(), inputs.real_events.double(), judged.mode_std
    squares = torch.cdist(x, modes).square() / (2 * std**2)
    each = (-squares).logsumexp(1) - log(len(modes)) - modes.shape[1] * log(std * (2 * pi) ** 0.5)
    return float(each.mean())
