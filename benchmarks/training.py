"""Training speed beside a plain loop: images/s, their ratio, the share of the matrix-product peak.

    python benchmarks/training.py [RECIPE ...] [--threads N] [--rounds R] [--cpu-time] [--out FILE]

The plain loop is what one writes first: torch's own layers, float32, eager, the default optimiser,
gradients into every parameter, a number read every step. Both train networks of the same shapes on
the same data; they take turns, and the ratio is the median over the rounds, so that a machine whose
speed drifts does not decide it. Run it with nothing else running; where that cannot be, --cpu-time
with --threads 1 counts the processor's time for this process.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from energan.data import open_data
from energan.experiment.build import cohort_of
from energan.experiment.settings import Job, load
from energan.training.device import Device, choose
from plain_ladder import plain_ladder

Clock = Callable[[], float]


class PlainMaxout(nn.Module):
    def __init__(self, inputs: int, units: int, pieces: int) -> None:
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, units * pieces), pieces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pieces: torch.Tensor = self.linear(x).view(len(x), -1, self.pieces)
        return pieces.max(-1).values


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


class PlainBlogGenerator(nn.Module):
    """As public copies have it, with batch norm's own eps."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side // 4
        self.first = nn.Linear(62, 128 * self.side**2)
        self.body = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(128, 128, 3, padding=1),
            nn.BatchNorm2d(128), nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2), nn.Conv2d(128, 64, 3, padding=1),
            nn.BatchNorm2d(64), nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(64, channels, 3, padding=1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = self.body(self.first(z).view(-1, 128, self.side, self.side))
        return x


class PlainBlogDiscriminator(nn.Module):
    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side, maps = side // 2, 64 * (side // 2) ** 2
        self.down = nn.Sequential(nn.Conv2d(channels, 64, 3, 2, 1), nn.ReLU())
        self.embedding = nn.Linear(maps, 32)
        self.back = nn.Sequential(
            nn.BatchNorm1d(32), nn.ReLU(inplace=True), nn.Linear(32, maps),
            nn.BatchNorm1d(maps), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(64, channels, 3, padding=1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        code = self.embedding(self.down(x).flatten(1))
        return self.up(self.back(code).view(-1, 64, self.side, self.side)), code


def plain_blog(job: Job, x: torch.Tensor) -> Callable[[int], None]:
    """The loop of public copies, with the same losses as ours; its fakes are drawn once a step."""
    channels, side = x.shape[1], x.shape[2]
    g, d = PlainBlogGenerator(channels, side), PlainBlogDiscriminator(channels, side)
    opt_d = torch.optim.Adam(d.parameters(), 0.0002, betas=(0.5, 0.999))
    opt_g = torch.optim.Adam(g.parameters(), 0.0002, betas=(0.5, 0.999))
    batch = job.settings.training.batch_size

    def step(t: int) -> None:
        real = x[torch.randint(len(x), (batch,))]
        fake = g(torch.randn(batch, 62))
        opt_d.zero_grad()
        still = fake.detach()
        real_energy = (d(real)[0] - real).square().mean((1, 2, 3))
        fake_energy = (d(still)[0] - still).square().mean((1, 2, 3))
        loss = real_energy.mean() + F.relu(1 - fake_energy).mean()
        loss.backward()
        opt_d.step()
        opt_g.zero_grad()
        back, code = d(fake)
        unit = F.normalize(code)
        squared = (unit @ unit.T).square()
        pulling = (squared.sum() - squared.diagonal().sum()) / (batch * (batch - 1))
        loss = (back - fake).square().mean() + 0.1 * pulling
        loss.backward()
        opt_g.step()
        loss.item()

    return step


PLAIN = {
    "ebgan": plain_ebgan,
    "gan": plain_gan,
    "ebgan_blog": plain_blog,
    "ladder": plain_ladder,
    "ebgan_ln": plain_ladder,
}


def operations(step: Callable[[int], None]) -> int:
    """Floating-point operations of the matrix products and convolutions in one step."""
    with FlopCounterMode(display=False) as counter:
        step(0)
    return int(counter.get_total_flops())


def peak(engine: Device, clock: Clock) -> float:
    """Measured operations/s of a 1024³ product in the engine's precision."""
    dtype = torch.bfloat16 if engine.precision == "bf16" else engine.dtype
    a, b = (torch.randn(1024, 1024, device=engine.device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(30):
        begun = clock()
        a @ b
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - begun)
    return 2 * 1024**3 / best


def timed(
    step: Callable[[int], None], steps: int, settle: Callable[[], object], clock: Clock
) -> float:
    begun = clock()
    for t in range(steps):
        step(t)
    settle()
    return steps / (clock() - begun)


def compare(job: Job, rounds: int, steps: int, clock: Clock) -> dict[str, Any]:
    engine = choose(job.settings.engine)
    data = open_data(job.settings.data)
    loop = cohort_of([job], data, engine).loop
    x = data.gather(torch.arange(len(data))).x  # the plain loop holds floats
    plain = PLAIN[job.model](job, x if job.model == "ebgan_blog" else x.flatten(1))

    def advance(t: int) -> None:
        loop.advance()

    for warm in (advance, plain):
        timed(warm, 10, loop.flush_figures, clock)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(timed(advance, steps, loop.flush_figures, clock))
        theirs.append(timed(plain, steps, lambda: None, clock))
    batch, top = job.settings.training.batch_size, peak(engine, clock)
    counts = {"energan": operations(advance), "plain": operations(plain)}
    rates = {"energan": ours, "plain": theirs}
    return {
        "recipe": job.recipe, **engine.describe(), "torch": torch.__version__, "batch": batch,
        "clock": clock.__name__, "rounds": rounds, "steps": steps, "peak_gflops": top / 1e9,
        "images_per_s": {k: [v * batch for v in values] for k, values in rates.items()},
        "ratio": [a / b for a, b in zip(ours, theirs, strict=True)],
        "gflop_per_step": {k: v / 1e9 for k, v in counts.items()},
        "share_of_peak": {k: statistics.median(rates[k]) * counts[k] / top for k in counts},
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['recipe']}: {found['device']}, {found['threads']} threads, "
        f"batch {found['batch']}, "
        f"energan {found['precision']}, plain 32"
    )
    for label in ("energan", "plain"):
        values = found["images_per_s"][label]
        print(
            f"  {label:8} {statistics.median(values):7.1f} images/s  ({min(values):.1f} to "
            f"{max(values):.1f}), {found['gflop_per_step'][label]:.2f} GFLOP a step, "
            f"{found['share_of_peak'][label]:.0%} of the peak"
        )
    ratio = found["ratio"]
    print(f"  ratio    {statistics.median(ratio):7.2f}  ({min(ratio):.2f} to {max(ratio):.2f})")
    print(f"  the peak: {found['peak_gflops']:.0f} GFLOP/s, measured on a 1024³ product")


def main() -> None:
    parser = argparse.ArgumentParser(description="training speed beside a plain float32 eager loop")
    parser.add_argument("recipes", nargs="*", default=["ebgan-blog", "ebgan-mnist", "gan-mnist"])
    parser.add_argument("--threads", type=int, help="CPU threads; all cores if not given")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each loop takes")
    parser.add_argument("--steps", type=int, default=60, help="steps in a turn")
    parser.add_argument(
        "--cpu-time", action="store_const", const=time.process_time, default=time.perf_counter,
        dest="clock", help="measure this process's CPU time, not the time of day",
    )  # fmt: skip
    parser.add_argument("--data", help="another source, for ebgan-blog images of 32x32")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    asked = parser.parse_args()
    found = []
    for name in asked.recipes:
        job = load(name).changed({"engine": {"threads": asked.threads}})
        if asked.data:
            job = job.changed({"data": {"source": asked.data}})
        found.append(compare(job, asked.rounds, asked.steps, asked.clock))
        show(found[-1])
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
