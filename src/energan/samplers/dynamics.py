"""Langevin dynamics on any energy: pure functions, `init` and `step` on explicit state, and `run`.

    coupled    x ← x − ½ε∇U(x) + √ε·α                    α ~ N(0, 1) (Du & Mordatch 2019, eq. 2)
    decoupled  x ← x − ε∇U(x) + noise·α                  step and noise set apart, as in practice

On U = x²/2 the coupled chain's stationary variance is 1/(1 − ε/4): the discretisation's error,
which the Metropolis test of `energan.samplers.metropolis` removes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from energan.core import Domain, Energy, SettingError, Stream, exact, frozen
from energan.nets import winograd

Function = Callable[[Tensor], Tensor]
"""x (B, *event) -> U (B,)."""
Normal = Callable[..., Tensor]
"""*shape -> draws of N(0, 1) of that shape."""
Watch = Callable[[int, Tensor], None]
"""Called with (steps done, x) after each step."""


@dataclass(frozen=True)
class Rule:
    """How one step is made.

    step_size: ε. noise: None for the coupled form, else the noise's standard deviation, which is
        no longer tied to ε: the chain then samples exp(−U/T) of T = noise²/(2ε).
    clip: bound on each coordinate of the gradient; None for none.
    low, high: the range that x is clamped to after each step; None for none.
    noise_first: add the noise before the gradient is taken, as the original IGEBM code does.
    """

    step_size: float
    noise: float | None = None
    clip: float | None = None
    low: float | None = None
    high: float | None = None
    noise_first: bool = False

    @property
    def descent(self) -> float:
        """What the gradient is multiplied by."""
        return self.step_size / 2 if self.noise is None else self.step_size

    @property
    def spread(self) -> float:
        """The noise's standard deviation in one step."""
        return self.step_size**0.5 if self.noise is None else self.noise


def default_rule(domain: Domain) -> Rule:
    """For an energy that was trained without chains.

    In a bounded range the published step 10, noise 0.005 and bound 0.01 of [0, 1], rescaled; else
    the coupled form at the text's ε = 1/200.
    """
    if domain.low is None or domain.high is None:
        return Rule(1 / 200)
    return scaled_rule(10.0, 0.005, 0.01, domain.low, domain.high, noise_first=True)


def scaled_rule(
    step_size: float,
    noise: float | None,
    clip: float | None,
    low: float,
    high: float,
    *,
    noise_first: bool,
) -> Rule:
    """The rule on [low, high] whose chains are those of this step, noise and bound on [0, 1]."""
    scale = high - low
    return Rule(
        step_size * scale**2,
        None if noise is None else noise * scale,
        None if clip is None else clip / scale,
        low,
        high,
        noise_first,
    )


def check_spread(rule: Rule) -> None:
    """Raise SettingError if the noise of one step alone fills the range that chains are held in."""
    if rule.low is None or rule.high is None or rule.spread <= (rule.high - rule.low) / 2:
        return
    raise SettingError(
        f"the noise of one step, {rule.spread:.3g}, is wider than half of the range [{rule.low:g}, "
        f"{rule.high:g}]: the coupled form has noise √step_size, so it needs a small step size, as "
        "the text's 0.005, and no bound on the gradient"
    )


@dataclass(frozen=True)
class Walk:
    """The state of chains: where they are, and what was seen on the way.

    x: (B, *event). energy: (B,), U at the last point whose gradient was taken; start: U at the
    first. slopes: (B,), the sum over steps of the norm of ∇U, before clipping. steps: how many.
    Where moves may be refused: gradient, ∇U at x, and accepted (B,), the moves made.
    """

    x: Tensor
    energy: Tensor
    start: Tensor
    slopes: Tensor
    steps: int = 0
    gradient: Tensor | None = None
    accepted: Tensor | None = None


@dataclass(frozen=True)
class Chains:
    """Where chains ended, and how they went.

    x: (B, *event). energy_drop: (B,), U at the start less U at the last point whose energy was
    taken. gradient_norm: (B,), the mean over steps of the norm of ∇U. acceptance: (B,), the share
    of moves that were made, of `mala` alone.
    """

    x: Tensor
    energy_drop: Tensor
    gradient_norm: Tensor
    acceptance: Tensor | None = None


def slope(energy: Function, x: Tensor) -> tuple[Tensor, Tensor]:
    """U(x) (B,) and ∇U(x) (B, *event), both without a graph.

    Raises ValueError if `energy` does not give one number for each x.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        u = exact(energy(x))
        if u.shape != x.shape[:1]:
            raise ValueError(
                f"the energy must give one number for each of {len(x)} events, ({len(x)},): it "
                f"gives {tuple(u.shape)}"
            )
        (gradient,) = torch.autograd.grad(u.sum(), x)
    return u.detach(), gradient


def init(x: Tensor) -> Walk:
    """Chains that start at x (B, *event)."""
    nothing = torch.zeros(len(x), device=x.device)
    return Walk(x.detach(), nothing, nothing, nothing)


def step(
    energy: Function, walk: Walk, rule: Rule, draw: Normal, held: Tensor | None = None
) -> Walk:
    """One step of all chains. held: where no noise comes before the gradient."""
    x = walk.x
    if rule.noise_first:
        moved = x.add(draw(*x.shape), alpha=rule.spread)
        x = moved if held is None else torch.where(held, x, moved)
    u, gradient = slope(energy, x)
    slopes = walk.slopes + lengths(gradient)
    if rule.clip is not None:
        gradient = gradient.clamp_(-rule.clip, rule.clip)
    x = x.add(gradient, alpha=-rule.descent)  # new memory: the caller's x stays
    if not rule.noise_first:
        x.add_(draw(*x.shape), alpha=rule.spread)
    if rule.low is not None or rule.high is not None:
        x.clamp_(rule.low, rule.high)
    return Walk(x, u, u if walk.steps == 0 else walk.start, slopes, walk.steps + 1)


def run(
    energy: Function,
    x: Tensor,
    rule: Rule,
    steps: int,
    draw: Normal,
    *,
    held: Tensor | None = None,
    watch: Watch | None = None,
) -> Chains:
    """`steps` steps from x (B, *event). Memory does not grow with their number.

    draw: *shape -> N(0, 1). held: bool, broadcastable to x: coordinates that stay as they are.
    """
    return follow(lambda walk: step(energy, walk, rule, draw, held), init(x), steps, held, watch)


def follow(
    move: Callable[[Walk], Walk],
    walk: Walk,
    steps: int,
    held: Tensor | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Move `steps` times and tell how it went. Raises ValueError for fewer than one."""
    if steps < 1:
        raise ValueError(f"chains make at least 1 step, not {steps}")
    start = walk.x
    # Weights that are computed from others, as by spectral norm, are computed once.
    with parametrize.cached(), winograd.remembered():
        for k in range(1, steps + 1):
            walk = move(walk)
            if held is not None:
                torch.where(held, start, walk.x, out=walk.x)
            if watch is not None:
                watch(k, walk.x)
    moved = None if walk.accepted is None else walk.accepted / steps
    return Chains(walk.x, walk.start - walk.energy, walk.slopes / steps, moved)


def langevin(
    energy: Function | Energy,
    x: Tensor,
    *,
    steps: int,
    step_size: float,
    noise: float | None = None,
    clip: float | None = None,
    low: float | None = None,
    high: float | None = None,
    noise_first: bool = False,
    held: Tensor | None = None,
    generator: torch.Generator | None = None,
    watch: Watch | None = None,
) -> Chains:
    """Chains of `steps` Langevin steps from x (B, *event).

    energy: x (B, *event) -> U (B,); a module's parameters are frozen meanwhile. With `noise` None
    the coupled form x − ½·step_size·∇U + √step_size·α, with a number the decoupled one x −
    step_size·∇U + noise·α; see `Rule` for the rest. held: bool, broadcastable to x: coordinates
    that stay. generator: of the noise, on x's device; torch's own by default. watch: called with
    (k, x) after each step.

    Raises ValueError for fewer than one step, numbers that are negative or not finite, x that is no
    floating tensor, or an energy of another shape.
    """
    numbers = {"step_size": step_size, "noise": noise, "clip": clip}
    for name, value in numbers.items():
        if value is not None and not 0 <= value < inf:
            raise ValueError(f"{name} must be finite and not negative, not {value}")
    if low is not None and high is not None and not low <= high:
        raise ValueError(f"low {low} lies above high {high}")
    check_points(x)
    rule = Rule(step_size, noise, clip, low, high, noise_first)
    with still(energy) as u:
        return run(u, x, rule, steps, normals(x, generator), held=held, watch=watch)


def check_points(x: Tensor) -> None:
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 1:
        what = f"{x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"chains start at a floating tensor x (B, *event), not {what}")


def normals(x: Tensor, generator: torch.Generator | None) -> Normal:
    """Draws of N(0, 1) on the device and of the type of x."""
    return lambda *shape: torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)


def potential(energy: Energy, condition: Tensor | None = None, stream: Stream = "eval") -> Function:
    """U(x) (B,) of an energy under a condition; the mean over cells of one that has cells."""

    def of(x: Tensor) -> Tensor:
        u = exact(energy(x, condition, stream=stream).energy)
        return u if u.dim() == 1 else u.flatten(1).mean(1)

    return of


@contextmanager
def still(energy: Function | Energy) -> Iterator[Function]:
    """Within it no parameter of `energy` collects gradient, if it has any; it is given as U(x)."""
    if not isinstance(energy, nn.Module):
        yield energy
        return
    with frozen(energy):
        yield potential(energy) if isinstance(energy, Energy) else energy


def lengths(gradient: Tensor) -> Tensor:
    """The norm (B,) of each chain's gradient, float32."""
    norm: Tensor = torch.linalg.vector_norm(exact(gradient).flatten(1), dim=1)
    return norm
