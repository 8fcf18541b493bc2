"""Training speed beside a plain loop: steps/s, their ratio, the share of the matrix-product peak.

    python benchmarks/training.py [RECIPE ...] [--threads N] [--rounds R]

The plain loop is what one writes first: torch's own layers, float32, eager, the default optimiser,
a fresh batch of latents for each network's step, gradients into every parameter. Both train the
same networks on the same data; they take turns, and the ratio is the median over the rounds, so
that a machine whose speed drifts does not decide it. Run it with nothing else running.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from energan import experiment
from energan.data import open_data
from energan.nets.dense import Dense, Maxout
from energan.settings import Job, load
from energan.training.engine import Engine, choose
from energan.training.loop import Loop


class PlainMaxout(nn.Module):
    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, units * pieces), pieces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x).view(len(x), -1, self.pieces).max(-1).values


def plain_generator(hidden: tuple[int, ...], norm: bool, last: nn.Module, out: int) -> nn.Module:
    layers: list[nn.Module] = []
    width = 100
    for h in hidden:
        layers += [nn.Linear(width, h), *([nn.BatchNorm1d(h)] if norm else []), nn.ReLU()]
        width = h
    return nn.Sequential(*layers, nn.Linear(width, out), last)


def plain_ebgan(job: Job, x: torch.Tensor) -> Callable[[int], None]:
    """Figure 4's EBGAN as a script."""
    m = job.settings.model
    g = plain_generator(m.generator, True, nn.Tanh(), x.shape[1])
    code = m.encoder[0]
    d = nn.Sequential(nn.Linear(x.shape[1], code), nn.ReLU(), nn.Linear(code, x.shape[1]))
    opt_d = torch.optim.Adam(d.parameters(), 0.001, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(g.parameters(), 0.001, betas=(0.5, 0.999))
    batch = job.settings.training.batch_size

    def step(t: int) -> None:
        real = x[torch.randint(len(x), (batch,))]
        fake = g(torch.randn(batch, 100)).detach()
        opt_d.zero_grad()
        loss = (d(real) - real).norm(dim=1).mean() + F.relu(
            float(m.margin) - (d(fake) - fake).norm(dim=1)
        ).mean()
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        fake = g(torch.randn(batch, 100))
        loss = (d(fake) - fake).norm(dim=1).mean()
        loss.backward()
        opt_g.step()
        loss.item()

    return step


def plain_gan(job: Job, x: torch.Tensor) -> Callable[[int], None]:
    """The 2014 GAN as a script."""
    m = job.settings.model
    g = plain_generator(m.generator, False, nn.Sigmoid(), x.shape[1])
    first, second = m.discriminator
    d = nn.Sequential(
        nn.Dropout(0.2),
        PlainMaxout(x.shape[1], first, m.maxout_pieces),
        nn.Dropout(),
        PlainMaxout(first, second, m.maxout_pieces),
        nn.Dropout(),
        nn.Linear(second, 1),
    )
    opt_d = torch.optim.SGD(d.parameters(), 0.1, momentum=0.5)
    opt_g = torch.optim.SGD(g.parameters(), 0.1, momentum=0.5)
    batch = job.settings.training.batch_size

    def z() -> torch.Tensor:
        return (torch.rand(batch, 100) * 2 - 1) * 3**0.5

    def step(t: int) -> None:
        real = x[torch.randint(len(x), (batch,))]
        opt_d.zero_grad()
        loss = F.softplus(-d(real)).mean() + F.softplus(d(g(z()).detach())).mean()
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss = F.softplus(-d(g(z()))).mean()
        loss.backward()
        opt_g.step()
        loss.item()

    return step


PLAIN = {"ebgan": plain_ebgan, "gan": plain_gan}


def operations(loop: Loop, batch: int) -> tuple[float, str]:
    """Floating-point operations of the matrix products in one step, and the formula."""

    def weights(network: nn.Module) -> tuple[int, int]:
        dense = [layer for layer in network.modules() if isinstance(layer, Dense)]
        assert all(isinstance(m, Dense | Maxout) or not list(m.parameters(recurse=False))
                   or "Norm" in type(m).__name__ for m in network.modules())  # fmt: skip
        return sum(layer.weight.numel() for layer in dense), dense[0].weight.numel()

    (d, d1), (g, g1) = weights(loop.energy), weights(loop.sampler)
    energy_step = 2 * (3 * d - d1)  # two batches, forward and both gradients, none into the images
    sampler_step = 3 * g - g1 + 2 * d  # G forward (shared with D's step) and back, through D
    formula = (
        f"2·B·(2·(3·D − D1) + 3·G − G1 + 2·D), B {batch}, weights D {d:,} (first layer D1 {d1:,}), "
        f"G {g:,} (G1 {g1:,})"
    )
    return 2.0 * batch * (energy_step + sampler_step), formula


def peak(engine: Engine) -> float:
    """Measured operations/s of a 1024³ product in the engine's precision."""
    dtype = torch.bfloat16 if engine.precision == "bf16" else engine.dtype
    a, b = (torch.randn(1024, 1024, device=engine.device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(30):
        begun = time.perf_counter()
        a @ b
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2 * 1024**3 / best


def timed(step: Callable[[int], None], steps: int, settle: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for t in range(steps):
        step(t)
    settle()
    return steps / (time.perf_counter() - begun)


def compare(name: str, threads: int | None, rounds: int, steps: int) -> None:
    job = load(name).changed({"engine": {"threads": threads}})
    engine = choose(job.settings.engine)
    data = open_data(job.settings.data)
    loop = experiment.assemble(job, data.to(engine.device), engine, [job.settings.seed])
    x = data.gather(torch.arange(len(data))).x.flatten(1)  # the plain loop holds floats
    plain = PLAIN[job.model](job, x)
    ours, theirs, ratios = [], [], []
    for warm in (lambda t: loop.advance(), plain):
        timed(warm, 10, loop.settle)
    for _ in range(rounds):
        ours.append(timed(lambda t: loop.advance(), steps, loop.settle))
        theirs.append(timed(plain, steps, lambda: None))
        ratios.append(ours[-1] / theirs[-1])
    count, formula = operations(loop, job.settings.training.batch_size)
    top = peak(engine)
    share = statistics.median(ours) * count / top
    print(f"{name}: {engine.describe()}")
    for label, values in (("energan", ours), ("plain", theirs), ("ratio", ratios)):
        middle, low, high = statistics.median(values), min(values), max(values)
        unit = "steps/s" if label != "ratio" else "       "
        print(f"  {label:8} {middle:7.2f} {unit}  ({low:.2f} to {high:.2f})")
    print(f"  {count / 1e9:.2f} GFLOP a step = {formula}")
    print(f"  {share:.0%} of the peak of {top / 1e9:.0f} GFLOP/s, measured on a 1024³ product")


def main() -> None:
    parser = argparse.ArgumentParser(description="training speed beside a plain float32 eager loop")
    parser.add_argument("recipes", nargs="*", default=["ebgan-mnist", "gan-mnist"])
    parser.add_argument("--threads", type=int, help="CPU threads; all cores if not given")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each loop takes")
    parser.add_argument("--steps", type=int, default=60, help="steps in a turn")
    asked = parser.parse_args()
    for name in asked.recipes:
        compare(name, asked.threads, asked.rounds, asked.steps)


if __name__ == "__main__":
    main()
