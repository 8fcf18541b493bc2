"""Long Langevin chains on trained energies: on one, on several in turn, or on their sum.

Any trained energy will do: IGEBM's, an EBGAN's D, a GAN's negated logit. Several runs, or several
checkpoints of one, can move one set of chains, each for a few steps before the next takes over.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from energan.composition import Composable, check_alike, classes_of, runs_of
from energan.core import Randomness, SettingError
from energan.data import DataSet, open_data
from energan.data.bar import progress
from energan.samplers.chains import LEAST_AT_ONCE, NUMBERS_AT_ONCE, LangevinChains
from energan.samplers.dynamics import Function, Normal, Rule, Walk, follow, init, step

Start = Literal["noise", "buffer", "data"]
BOX = 4.0
"""Where data has no bounds, and the run no chains of its own, they start uniformly in ±BOX."""
TURN = 10


@dataclass(frozen=True)
class Followed:
    """Where chains went.

    x: (N, *event), their ends, on the CPU. labels: int64 (N,) of energies that take them.
    steps: when the snapshots (S, N, *event) were taken, the first at 0, the last at the end.
    energies: (S, R, N), U of each of the R energies there. gradient_norm: (N,), mean over steps.
    """

    x: Tensor
    labels: Tensor | None
    steps: tuple[int, ...]
    snapshots: Tensor
    energies: Tensor
    gradient_norm: Tensor


@dataclass(frozen=True)
class Plan:
    """Which energy moves the chains at each step, and how.

    rules: one for each energy. turn: steps of each before the next takes over. anneal: the share of
    the steps, at the end, over which step and noise fall to nothing, which cools the chains.
    """

    rules: tuple[Rule, ...]
    steps: int
    turn: int = TURN
    anneal: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.turn < 1:
            raise SettingError(
                f"chains take at least 1 step, and at least 1 a turn: not {self.steps} and "
                f"{self.turn}"
            )
        if not 0 <= self.anneal <= 1:
            raise SettingError(f"anneal is a share of the steps, 0 to 1, not {self.anneal:g}")

    def at(self, k: int) -> tuple[int, Rule]:
        """The energy of step k (from 0), and its rule there."""
        which = k // self.turn % len(self.rules)
        return which, scaled(self.rules[which], self.share(k))

    def share(self, k: int) -> float:
        """What is left of step and noise at step k."""
        falling = self.anneal * self.steps
        return min(1.0, (self.steps - k) / falling) if falling else 1.0


def scaled(rule: Rule, share: float) -> Rule:
    """The rule with its step and its noise times `share`; so is the temperature."""
    if share == 1:
        return rule
    return replace(rule, step_size=rule.descent * share, noise=rule.spread * share)


def rule_of(
    run: Composable,
    step_size: float | None = None,
    noise: float | Literal["coupled"] | None = None,
    clip: float | Literal["none"] | None = None,
) -> Rule:
    """The run's rule with what is given changed.

    noise: a number, or "coupled" for √step_size with half the gradient; clip: a number or "none".
    Raises SettingError if a number makes no sense.
    """
    rule = run.rule
    if step_size is not None:
        if not 0 < step_size < float("inf"):
            raise SettingError(f"step size {step_size:g}: it must be more than 0")
        rule = replace(rule, step_size=step_size)
    if noise is not None:
        if noise != "coupled" and not 0 <= noise < float("inf"):
            raise SettingError(f"noise {noise:g}: it must not be negative")
        rule = replace(rule, noise=None if noise == "coupled" else noise)
    if clip is not None:
        if clip != "none" and not 0 < clip < float("inf"):
            raise SettingError(f"clip {clip:g}: it must be more than 0; none for no bound")
        rule = replace(rule, clip=None if clip == "none" else clip)
    return rule


def sample_chains(
    runs: Composable | Sequence[Composable],
    count: int = 64,
    *,
    steps: int = 500,
    start: Start | Tensor = "noise",
    turn: int = TURN,
    rules: Rule | Sequence[Rule] | None = None,
    anneal: float = 0.0,
    labels: Tensor | None = None,
    seed: int = 0,
    snapshots: int = 10,
    data: DataSet | None = None,
) -> Followed:
    """`count` chains of `steps` steps on the energies of `runs`, in turn on one set of chains.

    runs: runs, or sums of runs (`run_a + run_b`), of the same events. start: noise over the data's
    range, the runs' replay buffers in equal parts, training data (of `data`, or opened as the first
    run's), or x (count, *event). turn: steps of each energy before the next. rules: one for all, or
    one each; None for those of the runs. anneal: see Plan. labels: int64 (count,) of conditional
    energies; all classes alike, in order, if not given. snapshots: how many, with start and end.

    The same seed gives the same chains. Raises SettingError if the runs are of different events,
    keep no buffer to start from, or the chains do not stay finite.
    """
    parts = [runs] if isinstance(runs, Composable) else list(runs)
    if not parts:
        raise SettingError("chains need an energy: name a run")
    if count < 1 or snapshots < 2:
        raise SettingError("chains are at least 1, and their snapshots at least 2: start and end")
    check_alike(runs_of(parts))
    plan = Plan(_rules(parts, rules), steps, turn, anneal)
    x, labels = _begun(parts, count, start, labels, seed, data)
    taken = sorted({round(i * steps / (snapshots - 1)) for i in range(snapshots)})
    chunk = at_once(x)
    chunks = list(torch.arange(count).split(chunk))
    seen, slopes = [], []
    with progress("chains", steps * len(chunks), "steps") as advance:
        for rows in chunks:
            y = None if labels is None else labels[rows]
            kept, slope = _followed(parts, plan, x[rows], y, taken, seed, int(rows[0]), advance)
            seen.append(kept)
            slopes.append(slope)
    stages = torch.cat(seen, 1)  # (S, N, *event)
    energies = [
        torch.stack([part.energy(x, labels if part.classes else None) for part in parts])
        for x in stages
    ]
    return Followed(
        stages[-1], labels, tuple(taken), stages, torch.stack(energies), torch.cat(slopes)
    )


def moved(
    energies: Sequence[Function],
    plan: Plan,
    x: Tensor,
    draw: Normal,
    *,
    held: Tensor | None = None,
    after: Callable[[Tensor], Tensor] | None = None,
    watch: Callable[[int, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """x (B, *event) after the plan, and the mean norm (B,) of ∇U on the way.

    held: bool, coordinates that stay. after: what each step's x is brought to, as by a constraint.
    """

    def move(walk: Walk) -> Walk:
        which, rule = plan.at(walk.steps)
        made = step(energies[which], walk, rule, draw)
        return made if after is None else replace(made, x=after(made.x))

    made = follow(move, init(x), plan.steps, held, watch)
    return made.x, made.gradient_norm


def at_once(x: Tensor) -> int:
    """Chains that are moved together: all their maps are in memory for a gradient."""
    return max(LEAST_AT_ONCE, NUMBERS_AT_ONCE // x[0].numel())


def check_finite(x: Tensor, k: int, plan: Plan) -> None:
    """Raise SettingError if chains have left the finite numbers by step k."""
    if not x.isfinite().all():
        sizes = ", ".join(f"{rule.step_size:g}" for rule in plan.rules)
        raise SettingError(
            f"the chains are no longer finite by step {k}: use a smaller step size than {sizes}, "
            "or a bound on the gradient (clip)"
        )


# --- one chunk ------------------------------------------------------------------------------------


def _followed(
    parts: Sequence[Composable],
    plan: Plan,
    x: Tensor,
    labels: Tensor | None,
    taken: Sequence[int],
    seed: int,
    place: int,
    advance: Callable[[], None],
) -> tuple[Tensor, Tensor]:
    """Snapshots (S, B, *event) of chains that start at x, and the mean norm of their gradients."""
    device = runs_of(parts)[0].engine.device
    draw = Randomness([seed], device).at("chains", place).normal
    energies = [part.potential(labels if part.classes else None) for part in parts]
    kept = [x]

    def watch(k: int, now: Tensor) -> None:
        if k in taken:
            check_finite(now, k, plan)
            kept.append(now.float().cpu().clone())
        advance()

    _, slopes = moved(energies, plan, x.to(device), draw, watch=watch)
    return torch.stack(kept), slopes.cpu()


def _rules(parts: Sequence[Composable], rules: Rule | Sequence[Rule] | None) -> tuple[Rule, ...]:
    if rules is None:
        return tuple(part.rule for part in parts)
    given = (rules,) * len(parts) if isinstance(rules, Rule) else tuple(rules)
    if len(given) != len(parts):
        raise SettingError(f"{len(given)} rules for {len(parts)} energies: give one each, or one")
    return given


# --- where chains start ---------------------------------------------------------------------------


def _begun(
    parts: Sequence[Composable],
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
        labels = torch.arange(count) * classes // count
    if isinstance(start, Tensor):
        if start.shape != (count, *parts[0].domain.shape) or not start.isfinite().all():
            raise SettingError(
                f"chains start at finite x of shape {(count, *parts[0].domain.shape)}, not "
                f"{tuple(start.shape)}"
            )
        return start.detach().float().cpu(), labels
    if start == "noise":
        return noise(runs[0], count, seed), labels
    if start == "buffer":
        return _replayed(runs, count, labels, seed), labels
    return _drawn(runs[0], count, labels, bool(classes), seed, data)


def noise(run: Any, count: int, seed: int) -> Tensor:
    """Uniform over the data's range, or the box that the run's own chains started in."""
    low, high = run.domain.low, run.domain.high
    if isinstance(run.sampler, LangevinChains):
        low, high = run.sampler.replay.low, run.sampler.replay.high
    elif low is None or high is None:
        low, high = -BOX, BOX
    return Randomness([seed]).at("chains", "start").uniform(low, high, count, *run.domain.shape)


def _replayed(runs: Sequence[Any], count: int, labels: Tensor | None, seed: int) -> Tensor:
    """Chains of the runs' buffers, the i-th of the one whose turn it is."""
    x, filled = torch.empty(count, *runs[0].domain.shape), False
    of = [run.replayed(count, seed, labels if run.classes else None) for run in runs]
    kept = [chains for chains in of if chains is not None]
    for i, chains in enumerate(kept):
        x[i :: len(kept)], filled = chains[i :: len(kept)], True
    if not filled:
        raise SettingError(
            f"{runs[0].path}: the model {runs[0].job.model} keeps no chains to start from: start "
            "them from noise or data"
        )
    return x


def _drawn(
    run: Any, count: int, labels: Tensor | None, labelled: bool, seed: int, data: DataSet | None
) -> tuple[Tensor, Tensor | None]:
    """Training events at random, without repetition while there are enough; and their labels."""
    data = data or open_data(run.job.settings.data)
    if data.domain.shape != run.domain.shape:
        raise SettingError(
            f"{data.name} holds events of shape {data.domain.shape}, and {run.path} takes "
            f"{run.domain.shape}: name the run's own data"
        )
    draws = Randomness([seed]).at("chains", "data")
    order = draws.uniform(0, 1, len(data)).argsort()
    if labels is None:
        rows = order[torch.arange(count) % len(order)]
        of = data.labels[rows].long() if labelled and data.labels is not None else None
        return data.gather(rows).x.float().cpu(), of
    assert data.labels is not None
    rows = torch.empty(count, dtype=torch.int64)
    for label in labels.unique():
        wanted = labels == label
        of_label = order[data.labels[order] == label]
        if not len(of_label):
            raise SettingError(f"{data.name} holds no event of class {int(label)} to start from")
        rows[wanted] = of_label[torch.arange(int(wanted.sum())) % len(of_label)]
    return data.gather(rows).x.float().cpu(), labels
