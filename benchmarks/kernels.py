"""Effective samples a second of each kernel of chains: docs/results/kernels.json.

    python benchmarks/kernels.py [--seconds 6] [--out docs/results]

Two densities: a Gaussian of 100 coordinates whose covariance has condition number 100, turned at
random, and a double well of 10 coordinates. 32 chains start from the density itself, adapt or take
the step that is named, and go on for so many seconds each, in turns, so that load on the machine
meets all alike. The effective sample size is the least over coordinates (and squares, which tell
widths). Langevin and underdamped chains have an error of their own: the worst variance over the
true one is told beside.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from energan.core import ChainState, Kernel, StepRule
from energan.metrics import effective_sample_size, split_rhat
from energan.samplers import kernel_of
from energan.samplers.adaptation import Adaptation
from energan.samplers.dynamics import TorchDraws

CHAINS, WARMUP, TURNS, SEEN = 32, 500, 5, 32


@dataclass(frozen=True)
class Target:
    """energy: x (B, D) -> U (B,). start: x (B, D) of exp(−U)/Z. variance: (D,), the true one.
    least: the smallest standard deviation."""

    energy: Callable[[Tensor], Tensor]
    start: Tensor
    variance: Tensor
    least: float


def gaussian(g: torch.Generator) -> Target:
    scales = torch.logspace(-1, 0, 100)  # covariances from 0.01 to 1
    turn, _ = torch.linalg.qr(torch.randn(100, 100, generator=g))
    precision = turn @ torch.diag(scales**-2) @ turn.T
    start = torch.randn(CHAINS, 100, generator=g) * scales @ turn.T
    variance = (turn.square() * scales**2).sum(1)
    return Target(lambda x: (x @ precision * x).sum(1) / 2, start, variance, 0.1)


def double_well(g: torch.Generator) -> Target:
    """U = 2·(x₁² − 1)² + Σ x_i²/2: a barrier of 2 between two wells."""
    grid = torch.linspace(-3, 3, 6001)
    weight = (-2 * (grid**2 - 1) ** 2).exp()
    start = torch.randn(CHAINS, 10, generator=g)
    start[:, 0] = grid[weight.multinomial(CHAINS, generator=g)]
    variance = torch.ones(10)
    variance[0] = (weight * grid**2).sum() / weight.sum()

    def energy(x: Tensor) -> Tensor:
        return 2 * (x[:, 0] ** 2 - 1).square() + x[:, 1:].square().sum(1) / 2

    return Target(energy, start, variance, 0.25)


def kernels(least: float) -> dict[str, tuple[Kernel, float, float | None]]:
    """name -> (kernel, ε at first, the acceptance that it is adapted to). Langevin's ε makes the
    narrowest variance 5% too wide; underdamped takes half the narrowest width at a time."""
    return {
        "langevin": (kernel_of("langevin"), 4 * least**2 * (1 - 1 / 1.05), None),
        "underdamped": (kernel_of("underdamped", friction=1.0), (least / 2) ** 2, None),
        "mala": (kernel_of("mala"), least**2, 0.574),
        "hmc": (kernel_of("hmc", leapfrog=16), (least / 2) ** 2, 0.8),
    }


@dataclass
class Racer:
    """Chains of one kernel: moves them for a while, keeps every x, and counts the time."""

    target: Target
    kernel: Kernel
    rule: StepRule
    draws: TorchDraws
    state: ChainState
    kept: list[Tensor]
    seconds: float = 0.0

    @classmethod
    def warmed(
        cls, target: Target, kernel: Kernel, step_size: float, goal: float | None, seed: int
    ) -> "Racer":
        draws = TorchDraws(target.start, torch.Generator().manual_seed(seed))
        rule, state = StepRule(step_size), kernel.init(target.energy, target.start)
        adaptation = Adaptation.of(kernel, goal, CHAINS, target.start.device)
        for k in range(WARMUP if adaptation is not None else 0):
            state = kernel.step(target.energy, state, rule, draws)
            if adaptation is not None:
                state = adaptation.apply(state, last=k == WARMUP - 1)
        return cls(target, kernel, rule, draws, state.restarted(), [])

    def go(self, seconds: float) -> None:
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            self.state = self.kernel.step(self.target.energy, self.state, self.rule, self.draws)
            self.kept.append(self.state.x)
        self.seconds += time.perf_counter() - begun

    def figures(self) -> dict[str, float]:
        x = torch.stack(self.kept)  # (S, B, D)
        columns = range(0, x.shape[2], max(1, x.shape[2] // SEEN))
        ess = min(min(effective_sample_size(x[:, :, i]), effective_sample_size(x[:, :, i] ** 2))
                  for i in columns)  # fmt: skip
        wide = x.flatten(0, 1).var(0) / self.target.variance
        found = {
            "ess_per_second": ess / self.seconds, "ess": ess, "draws": x.shape[0] * CHAINS,
            "rhat": max(split_rhat(x[:, :, i]) for i in columns),
            "worst_variance_ratio": float(wide[(wide - 1).abs().argmax()]),
        }  # fmt: skip
        if self.state.accepted is not None:
            found["acceptance"] = float(self.state.accepted.mean()) / len(self.kept)
        scale = 1.0 if self.state.scale is None else float(self.state.scale.median())
        return {**found, "step_size": self.rule.step_size * scale}


def race(target: Target, seconds: float, seed: int) -> dict[str, Any]:
    racers = {
        name: Racer.warmed(target, *settings, seed)
        for name, settings in kernels(target.least).items()
    }
    for _ in range(TURNS):
        for racer in racers.values():
            racer.go(seconds / TURNS)
    found: dict[str, Any] = {name: racer.figures() for name, racer in racers.items()}
    for figures in found.values():
        figures["ratio_to_mala"] = figures["ess_per_second"] / found["mala"]["ess_per_second"]
    return {
        name: {k: float(f"{v:.4g}") for k, v in figures.items()} for name, figures in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="effective samples a second of each kernel")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each kernel and density")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(asked.seed)
    found = {
        "chains": CHAINS, "warmup": WARMUP, "seconds": asked.seconds, "seed": asked.seed,
        "threads": 1, "torch": str(torch.__version__),
        "gaussian_100": race(gaussian(g), asked.seconds, asked.seed),
        "double_well_10": race(double_well(g), asked.seconds, asked.seed),
    }  # fmt: skip
    text = json.dumps(found, indent=1)
    (asked.out / "kernels.json").write_text(text + "\n", encoding="utf8")
    print(text)


if __name__ == "__main__":
    main()
