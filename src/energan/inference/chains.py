"""Long Langevin chains on trained energies: on one, on several in turn, or on their sum.

Any trained energy will do: IGEBM's, an EBGAN's D, a GAN's negated logit. Several runs, or several
checkpoints of one, can move one set of chains, each for a few steps before the next takes over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from energan.core import Kernel, PerSample, Randomness, SettingError, StepRule
from energan.data import DataSet, open_data
from energan.inference.chain_rules import (
    TURN,
    ChainSchedule,
    check_finite,
    kernel_for,
    move_chains,
    rule_for,
)
from energan.inference.chain_traces import Mixing, Trace, mixing_of
from energan.inference.composition import TrainedEnergy, check_alike, classes_of, runs_of
from energan.inference.conditions import check_room, classes_in_turn
from energan.io.console import progress
from energan.samplers.chains import chains_at_once
from energan.samplers.dynamics import Chains
from energan.samplers.kernels import HMC_TARGET, Dynamics, kernel_of

Start = Literal["noise", "buffer", "data"]
BOX = 4.0
"""Chains start uniformly in ±BOX if the data has no bounds and the run no chains of its own."""


@dataclass(frozen=True)
class ChainSamples:
    """Chains, and what was recorded on the way. R energies moved N chains, S snapshots were taken.

    Attributes:
        x: end points of the chains, (N, *event), on the CPU.
        labels: int64 (N,), for conditional energies; None otherwise.
        steps: the steps of the snapshots, from 0 to the last.
        snapshots: (S, N, *event).
        energies: U of each energy at each snapshot, (S, R, N).
        gradient_norm: mean over steps of the norm of ∇U, (N,).
        acceptance: fraction of accepted moves, (N,), for kernels with a Metropolis test.
        mixing: split R-hat and effective sample size of chains on one energy, or on a sum; None
            for energies that took turns, which have no common density, and for too few steps.
        step_size: adapted step size of each chain, (N,); None if it was not adapted.
    """

    x: Tensor
    labels: Tensor | None
    steps: tuple[int, ...]
    snapshots: Tensor
    energies: Tensor
    gradient_norm: Tensor
    acceptance: Tensor | None = None
    mixing: Mixing | None = None
    step_size: Tensor | None = None


def sample_chains(
    runs: TrainedEnergy | Sequence[TrainedEnergy],
    count: int = 64,
    *,
    steps: int = 500,
    start: Start | Tensor = "noise",
    turn: int = TURN,
    rules: StepRule | Sequence[StepRule] | None = None,
    anneal: float = 0.0,
    labels: Tensor | None = None,
    seed: int = 0,
    dynamics: Dynamics | Kernel | None = None,
    target_acceptance: float | None = None,
    warmup: int | None = None,
    snapshots: int = 10,
    data: DataSet | None = None,
) -> ChainSamples:
    """Run chains on the energy of a trained run, on a sum of runs, or on several runs in turn.

    Chains are reproducible: the same seed gives the same chains, and the first ones do not
    depend on `count`.

    Args:
        runs: a run, a sum of runs (`run_a + run_b`), or a list of these, over the same space.
        count: number of chains.
        steps: number of steps of each chain.
        start: where chains start: "noise" over the range of the data, "buffer" (the replay
            buffers of the runs, in equal parts), "data" (training examples), or points (count,
            *event).
        turn: with several energies, steps on each before the next takes over.
        rules: settings of a step, one for all energies or one for each; those of the runs if not
            given.
        anneal: fraction of the steps, at the end, over which step size and noise fall to 0.
        labels: int64 (count,), for conditional energies; all classes in turn if not given.
        seed: seed of the chains.
        dynamics: "langevin", "mala", "hmc", "underdamped", or a `Kernel`; as in training if not
            given.
        target_acceptance: for "mala" and "hmc": acceptance rate that the step size of each chain
            is adapted to during warm-up. "hmc" without `rules` adapts to 0.8.
        warmup: steps at the start that R-hat and the effective sample size leave out; half of
            the steps if not given.
        snapshots: number of snapshots, the start and the end included.
        data: training data for `start="data"`; the first run's own if not given.

    Returns:
        The chains, with snapshots, energies and diagnostics.

    Raises:
        SettingError: if the runs are over different spaces, have no buffer to start from, or the
            chains do not stay finite.
    """
    parts = _parts(runs, count, snapshots)
    schedule = _schedule(parts, rules, steps, turn, anneal, dynamics, target_acceptance, warmup)
    x, labels = _start(parts, count, start, labels, seed, data)
    at = sorted({round(i * steps / (snapshots - 1)) for i in range(snapshots)})
    stages, chains, traces = _move_all(parts, schedule, x, labels, at, seed)
    whole = torch.cat(stages, 1)  # (S, N, *event)
    energies = [
        torch.stack([part.energy(x, labels if part.classes else None) for part in parts])
        for x in whole
    ]
    scales = [made.scale.cpu() for made in chains if made.scale is not None]
    accepted = [made.acceptance.cpu() for made in chains if made.acceptance is not None]
    return ChainSamples(
        whole[-1], labels, tuple(at), whole, torch.stack(energies),
        torch.cat([made.gradient_norm.cpu() for made in chains]),
        torch.cat(accepted) if schedule.tested else None,
        mixing_of(torch.cat(traces, 1), labels) if len(parts) == 1 else None,
        schedule.rules[0].step_size * torch.cat(scales) if scales else None,
    )  # fmt: skip


def _parts(
    runs: TrainedEnergy | Sequence[TrainedEnergy], count: int, snapshots: int
) -> list[TrainedEnergy]:
    """The energies, checked, as are the numbers of chains and of snapshots."""
    parts = [runs] if isinstance(runs, TrainedEnergy) else list(runs)
    if not parts:
        raise SettingError("chains need an energy: name a run")
    if count < 1:
        raise SettingError(f"give at least 1 chain, not {count}")
    if snapshots < 2:
        raise SettingError(f"give at least 2 snapshots, the start and the end, not {snapshots}")
    check_room(count, (snapshots + 1) * parts[0].domain.size, "chains")
    check_alike(runs_of(parts))
    return parts


def _schedule(
    parts: Sequence[TrainedEnergy],
    rules: StepRule | Sequence[StepRule] | None,
    steps: int,
    turn: int,
    anneal: float,
    dynamics: Dynamics | Kernel | None,
    target_acceptance: float | None,
    warmup: int | None,
) -> ChainSchedule:
    asked = kernel_of(dynamics) if isinstance(dynamics, str) else dynamics
    if rules is None:
        given = tuple(rule_for(part, asked) for part in parts)
        if asked is not None and asked.name == "hmc" and len(parts) == 1:
            target_acceptance = target_acceptance or HMC_TARGET
    else:
        given = (rules,) * len(parts) if isinstance(rules, StepRule) else tuple(rules)
    if len(given) != len(parts):
        raise SettingError(f"{len(given)} rules for {len(parts)} energies: give one each, or one")
    kernels = tuple(kernel_for(*of, asked) for of in zip(parts, given, strict=True))
    warmup = steps // 2 if warmup is None else warmup
    return ChainSchedule(given, steps, turn, anneal, kernels, target_acceptance, warmup)


def _move_all(
    parts: Sequence[TrainedEnergy],
    schedule: ChainSchedule,
    x: Tensor,
    labels: Tensor | None,
    at: Sequence[int],
    seed: int,
) -> tuple[list[Tensor], list[Chains], list[Tensor]]:
    """Snapshots, how it went, and traces, of some of the chains from x at a time."""
    stages, moved, traces = [], [], []
    chunks = list(torch.arange(len(x)).split(chains_at_once(x)))
    with progress("chains", schedule.steps * len(chunks), "steps") as advance:
        for rows in chunks:
            y = None if labels is None else labels[rows]
            draws = PerSample(seed, x.shape[1:], parts[0].engine.device)
            draws.at("chains", int(rows[0]))
            trace = Trace(schedule.steps, schedule.warmup, x.shape[1:])
            seen, made = _move_chunk(parts, schedule, x[rows], y, at, draws, advance, trace)
            stages.append(seen)
            moved.append(made)
            traces.append(trace.values())
    return stages, moved, traces


def _move_chunk(
    parts: Sequence[TrainedEnergy],
    schedule: ChainSchedule,
    x: Tensor,
    labels: Tensor | None,
    at: Sequence[int],
    draws: Randomness,
    advance: Callable[[], None],
    trace: Trace,
) -> tuple[Tensor, Chains]:
    """Snapshots (S, B, *event), after `at` steps, of chains from x, and how they went."""
    energies = [part.potential(labels if part.classes else None) for part in parts]
    seen = [x]

    def watch(k: int, now: Tensor) -> None:
        if k in at:
            check_finite(now, k, schedule)
            seen.append(now.float().cpu().clone())
        advance()

    made = move_chains(energies, schedule, x.to(draws.device), draws, watch=watch, observe=trace)
    return torch.stack(seen), made


# --- where chains start ---------------------------------------------------------------------------


def _start(
    parts: Sequence[TrainedEnergy],
    count: int,
    start: Start | Tensor,
    labels: Tensor | None,
    seed: int,
    data: DataSet | None,
) -> tuple[Tensor, Tensor | None]:
    """Where chains start, float (count, *event) on the CPU, and their labels."""
    runs = runs_of(parts)
    classes = classes_of(parts)
    if labels is not None and (classes is None or labels.shape != (count,)):
        raise SettingError(
            f"labels of shape {tuple(labels.shape)}: "
            + ("no energy here takes any" if classes is None else f"{count} chains need ({count},)")
        )
    if labels is None and classes and start != "data":
        labels = classes_in_turn(count, classes)
    if isinstance(start, Tensor):
        if start.shape != (count, *parts[0].domain.shape) or not start.isfinite().all():
            raise SettingError(
                f"chains must start at finite x of shape {(count, *parts[0].domain.shape)}, not "
                f"{tuple(start.shape)}"
            )
        return start.detach().float().cpu(), labels
    if start == "noise":
        return start_noise(runs[0], count, seed), labels
    if start == "buffer":
        return _from_buffer(runs, count, labels, seed), labels
    if start != "data":
        raise SettingError(f"start {start!r}: give noise, buffer, data, or a tensor x")
    return _from_data(runs[0], count, labels, bool(classes), seed, data)


def start_noise(run: Any, count: int, seed: int) -> Tensor:
    """Uniform over the data's range, or the box that the run's own chains started in."""
    low, high = run.sampler.start_range or (run.domain.low, run.domain.high)
    if low is None or high is None:
        low, high = -BOX, BOX
    return Randomness([seed]).at("chains", "start").uniform(low, high, count, *run.domain.shape)


def _from_buffer(runs: Sequence[Any], count: int, labels: Tensor | None, seed: int) -> Tensor:
    """Chains of the runs' buffers, the i-th of the one whose turn it is."""
    x, filled = torch.empty(count, *runs[0].domain.shape), False
    of = [run.replayed(count, seed, labels if run.classes else None) for run in runs]
    kept = [chains for chains in of if chains is not None]
    for i, chains in enumerate(kept):
        x[i :: len(kept)], filled = chains[i :: len(kept)], True
    if not filled:
        raise SettingError(
            f"{runs[0].path}: the model {runs[0].job.model} stores no chains to start from: "
            "start from noise or data"
        )
    return x


def _from_data(
    run: Any, count: int, labels: Tensor | None, labelled: bool, seed: int, data: DataSet | None
) -> tuple[Tensor, Tensor | None]:
    """Training examples at random, without repetition while there are enough; and their labels.

    Of streamed data only the first examples are in memory: those are chosen from.
    """
    data = data or open_data(run.job.settings.data)
    if data.domain.shape != run.domain.shape:
        raise SettingError(
            f"{data.name} holds examples of shape {data.domain.shape}, and {run.path} takes "
            f"{run.domain.shape}: name the run's own data"
        )
    draws = Randomness([seed]).at("chains", "data")
    order = draws.uniform(0, 1, data.in_memory).argsort()
    if labels is None:
        rows = order[torch.arange(count) % len(order)]
        of = data.labels[rows].long() if labelled and data.labels is not None else None
        return data.gather(rows).x.float().cpu(), of
    if data.labels is None:
        raise SettingError(
            f"{data.name} has no labels, so chains of a class cannot start there: name data with "
            "classes, or start from noise"
        )
    rows = torch.empty(count, dtype=torch.int64)
    for label in labels.unique():
        wanted = labels == label
        of_label = order[data.labels[order] == label]
        if not len(of_label):
            raise SettingError(f"{data.name} holds no example of class {int(label)} to start from")
        rows[wanted] = of_label[torch.arange(int(wanted.sum())) % len(of_label)]
    return data.gather(rows).x.float().cpu(), labels
