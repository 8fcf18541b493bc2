"""Held-out log-likelihood of energies beyond the plane, log Z bounded from both sides."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from energan.core import Domain, Function, PerSample, StepRule
from energan.data import DataSet, open_data
from energan.evaluation.distances import Z
from energan.evaluation.inputs import EvaluationInputs
from energan.evaluation.reference import open_judged_part
from energan.evaluation.results import Result
from energan.inference.chain_rules import ChainSchedule, move_chains
from energan.inference.chain_traces import Mixing, Trace, mixing_of
from energan.inference.run import Run
from energan.io.console import progress, warn
from energan.metrics.mixing import MIXED
from energan.samplers.importance import AnnealedLogZ, NormalBase, annealed_log_z
from energan.samplers.kernels import HMC_TARGET, kernel_of

STAGES, LEAPFROG, LONG, NUMBERS = 500, 5, 400, 2**14
"""β of the path; leapfrog steps of each; steps of the chains that the way back starts from; numbers
of all chains together."""
LEAST, MOST, FITTED, JUDGED, AT_ONCE = 32, 256, 5000, 1000, 256
"""Chains; training events that the base is fitted to; held-out events that are judged."""
FLOOR, MARGIN = 0.05, 0.25
"""Share of the range that the base is wide at least; of the box beyond training data."""


@dataclass(frozen=True)
class Density:
    """exp(−U/T)/Z on the base's range: energy, x -> U(x)/T (B,), and events that it is judged by,
    both in the range of the run's data."""

    energy: Function
    base: NormalBase
    training: Tensor
    judged: Tensor
    split: str


def no_density(inputs: EvaluationInputs) -> str:
    run = inputs.run
    if run is None:
        return "it is of runs that are done"
    if run.temperature is None:
        return (
            f"the energy of {run.job.model} is not a log-density at a temperature fixed by training"
        )
    if run.classes:
        return "an energy conditional on a label has a log Z for each label"
    if run.domain.image_shape is not None:
        return "the energy is computed on windows of images (data.tile)"
    if inputs.reference.named:
        return "it uses the run's own held-out data: leave --reference out"
    return ""


def too_slow(inputs: EvaluationInputs) -> str:
    if not inputs.is_image and inputs.samples.shape[1] <= 2:
        return "energy_log_likelihood is exact in the plane"
    return f"it takes {STAGES} stages of annealing each way"


def score_annealed(inputs: EvaluationInputs) -> list[Result]:
    """log p of held-out events, −U(x)/T − log Z, between the bounds of log Z."""
    run = inputs.run
    assert run is not None
    density = _density(run, inputs.seed)
    with progress("annealing", 3 * STAGES + LONG, "stages") as advance:
        ends, mixing = _long_chains(density, run, inputs.seed, advance)
        draws = PerSample(inputs.seed, run.domain.shape, run.engine.device).at("annealed")
        with torch.no_grad():
            found = annealed_log_z(
                density.energy, density.base, draws, chains=len(ends), stages=STAGES,
                leapfrog=LEAPFROG, step_size=_first_step(density.base), samples=ends,
                advance=advance,
            )  # fmt: skip
    with torch.no_grad():
        device = run.engine.device
        energies = torch.cat(
            [density.energy(x.to(device)).double().cpu() for x in density.judged.split(AT_ONCE)]
        )
    return _results(run.domain, density, energies, found, mixing)


def _density(run: Run, seed: int) -> Density:
    settings, domain = run.job.settings.data, run.domain
    data = open_data(settings)
    judged, split = open_judged_part(settings, data)
    fitted, x = _events(data, FITTED), _events(judged, JUDGED)
    low, high = domain.low, domain.high
    if low is None or high is None:
        both = torch.cat([fitted, x])
        width = float(both.max() - both.min())
        low, high = float(both.min()) - MARGIN * width, float(both.max()) + MARGIN * width
    elif len(domain.shape) == 3:
        x = _dequantised(x, domain, seed)
    std = fitted.std(0).clamp_min(FLOOR * (high - low))
    mean = fitted.mean(0).clamp(low, high)
    temperature, u = run.temperature, run.potential()
    assert temperature is not None
    return Density(lambda x: u(x) / temperature, NormalBase(mean, std, low, high), fitted, x, split)


def _events(data: DataSet, count: int) -> Tensor:
    return data.gather(torch.arange(min(count, len(data)))).x.float().cpu()


def _dequantised(x: Tensor, domain: Domain, seed: int) -> Tensor:
    """Images of 2^depth levels with uniform noise of a level's width: the mean log-density of those
    lies below the log-probability of the levels (Theis et al. 2016)."""
    assert domain.low is not None
    assert domain.high is not None
    levels, width = 2**domain.depth, domain.high - domain.low
    noise = PerSample(seed, x.shape[1:]).at("dequantise").uniform(0, 1, *x.shape)
    whole: Tensor = ((x - domain.low) / width * (levels - 1)).round()
    spread: Tensor = (whole + noise) * (width / levels)
    return spread + domain.low


def _first_step(base: NormalBase) -> float:
    """ε of the first stage: leapfrog steps a fifth as wide as the base."""
    return (0.2 * float(base.std.min())) ** 2


def _long_chains(
    density: Density, run: Run, seed: int, advance: Callable[[], None]
) -> tuple[Tensor, Mixing | None]:
    """Where HMC chains that start at training events end, and how they mixed."""
    count = max(LEAST, min(MOST, NUMBERS // run.domain.size))
    draws = PerSample(seed, run.domain.shape, run.engine.device)
    rows = draws.at("start").order(len(density.training)).cpu()
    x = density.training[rows[torch.arange(count) % len(rows)]].to(run.engine.device)
    base = density.base
    schedule = ChainSchedule(
        (StepRule(_first_step(base), low=base.low, high=base.high),), LONG,
        kernels=(kernel_of("hmc", LEAPFROG),), target_acceptance=HMC_TARGET, warmup=LONG // 2,
    )  # fmt: skip
    trace = Trace(LONG, schedule.warmup, x.shape[1:])
    made = move_chains(
        [density.energy], schedule, x, draws.at("long"), observe=trace,
        watch=lambda k, now: advance(),
    )  # fmt: skip
    return made.x, mixing_of(trace.values(), None)


def _results(
    domain: Domain, density: Density, energies: Tensor, found: AnnealedLogZ, mixing: Mixing | None
) -> list[Result]:
    assert found.upper is not None
    assert found.reverse is not None
    half = Z * float(energies.std()) / len(energies) ** 0.5
    mean = -float(energies.mean())
    low = mean - max(found.lower, found.upper) - half
    high = mean - min(found.lower, found.upper) + half
    middle = mean - (found.lower + found.upper) / 2
    interval = "between the bounds of log Z, ± 1.96 standard errors over examples"
    details = {
        "log_z_lower": found.lower, "log_z_upper": found.upper, "stages": STAGES,
        "chains": len(found.forward), "acceptance": found.acceptance, "events": len(energies),
        "split": density.split, "range": [density.base.low, density.base.high],
    }  # fmt: skip
    note = (
        "nats, of held-out examples; log Z by annealed importance sampling from a normal density "
        "(lower bound) and back from long chains (upper bound, which holds for what those chains "
        "reached: see their R-hat)"
    )
    made = [
        Result("annealed_log_likelihood", middle, low, high, interval, note=note, details=details)
    ]
    if len(domain.shape) == 3 and domain.low is not None and domain.high is not None:
        per, width = domain.size * log(2), log(domain.high - domain.low)

        def bits(nats: float) -> float:
            return domain.depth - nats / per - width / log(2)

        made.append(
            Result(
                "bits_per_dimension", bits(middle), bits(high), bits(low), interval,
                note=f"of {2**domain.depth} levels, dequantised by uniform noise",
            )
        )  # fmt: skip
    if mixing is not None:
        if mixing.rhat > MIXED:
            warn(
                f"split R-hat of the chains is {mixing.rhat:.3g}, above {MIXED}: they did not mix, "
                "so the upper bound of log Z holds only for the modes that they reached, and the "
                "log-likelihood may be too high"
            )
        note = f"HMC from training examples, {mixing.draws:,} draws after warm-up"
        made.append(Result("chain_rhat", mixing.rhat, note=f"{note}; below 1.01 they agree"))
        made.append(Result("chain_ess", mixing.ess, note=f"{note}; the least of U and of x"))
    return made
