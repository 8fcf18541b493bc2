"""Langevin steps per second beside the plain loop, what each part of the gain brings, memory by K.

    python benchmarks/langevin.py [--threads N] [--rounds R] [--steps K] [--batch B] [--out FILE]

The network is that of `igebm-cifar10`. The plain loop is what one writes first: 3×3 convolutions
and the mean of 2×2 after them, spectral norm's power iteration in each call, float32 in torch's own
memory order, `torch.autograd.grad` for each step. Both have the same weights, and their gradients
are compared before anything is timed. They take turns, and a ratio is the median over the rounds;
run it with nothing else running. Memory is the most that a process of its own had resident beyond
what it held before its chains, with the plain loop, and with one that keeps the graph of all steps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from energan.core import frozen_weights, value_and_gradient
from energan.nets.resnet import ResidualEnergy
from energan.samplers import langevin
from energan.training.device import EngineSettings, choose

EVENT, STAGES, BLOCKS = (3, 32, 32), (128, 256, 256), (2,)
STEP, NOISE, CLIP = 10.0, 0.005, 0.01
COUNTS = (1, 5, 20, 60)


class PlainBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.second = spectral_norm(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.around = spectral_norm(nn.Conv2d(inputs, outputs, 1)) if inputs != outputs else None
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        around = x if self.around is None else self.around(x)
        return F.avg_pool2d(hidden + around, 2) if self.halve else hidden + around


class Plain(nn.Module):
    """The network as the paper's appendix draws it; its parameters are named as ours are."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = spectral_norm(nn.Conv2d(EVENT[0], STAGES[0], 3, padding=1))
        widths = [STAGES[0], *(width for width in STAGES for _ in range(BLOCKS[0]))]
        self.body = nn.ModuleList(
            PlainBlock(inputs, outputs, place % BLOCKS[0] == 0)
            for place, (inputs, outputs) in enumerate(pairwise(widths))
        )
        self.out = spectral_norm(nn.Linear(STAGES[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.enter(x)
        for block in self.body:
            maps = block(maps)
        energy: Tensor = self.out(F.leaky_relu(maps, 0.2).sum((2, 3)))
        return energy


def pair(placed: Callable[[nn.Module], nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Our network as the engine places it and the plain one, with the same weights."""
    torch.manual_seed(0)
    plain = Plain()
    with torch.no_grad():
        for _ in range(50):  # power iterations, until σ no longer moves
            plain(torch.zeros(1, *EVENT))
    ours = ResidualEnergy(EVENT, STAGES, BLOCKS)
    ours.load_state_dict(plain.state_dict())
    return placed(ours), plain


def descend(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    """The plain loop."""
    for _ in range(steps):
        x = (x + NOISE * torch.randn_like(x)).requires_grad_()
        (gradient,) = torch.autograd.grad(network(x).sum(), x)
        x = (x.detach() - STEP * gradient.clamp(-CLIP, CLIP)).clamp(0, 1)
    return x


def keep_graph(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    """The loop that forgets to detach: each step's graph stays until the last."""
    x = x.requires_grad_()
    for _ in range(steps):
        x = x + NOISE * torch.randn_like(x)
        (gradient,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        x = (x - STEP * gradient.clamp(-CLIP, CLIP)).clamp(0, 1)
    return x


def ours(network: nn.Module, x: Tensor, steps: int) -> Tensor:
    return langevin(
        lambda x: network(x).squeeze(1), x, steps=steps, step_size=STEP, noise=NOISE, clip=CLIP,
        low=0, high=1, noise_first=True,
    ).x  # fmt: skip


def ways(network: nn.Module, plain: nn.Module) -> dict[str, Callable[[Tensor, int], Tensor]]:
    """The plain loop, what is done about it one thing after the other, and what comes out."""
    in_order, last = Plain(), torch.channels_last
    in_order.load_state_dict(plain.state_dict())
    in_order.to(memory_format=last).requires_grad_(False)  # type: ignore[call-overload]
    still = Plain()
    still.load_state_dict(plain.state_dict())
    still.requires_grad_(False)

    def once(of: nn.Module, x: Tensor, steps: int) -> Tensor:
        with parametrize.cached():
            return descend(of, x, steps)

    return {
        "plain": lambda x, steps: descend(plain, x, steps),
        "spectral norm once": lambda x, steps: once(still, x, steps),
        "channels-last": lambda x, steps: once(in_order, x.contiguous(memory_format=last), steps),
        "mean first": lambda x, steps: once(network, x, steps),
        "energan": lambda x, steps: ours(network, x, steps),
    }


def differences(network: nn.Module, plain: nn.Module, x: Tensor) -> dict[str, list[float]]:
    """Of each image's gradient from that of the plain network in float64, relative.

    A value near 0 that falls on the other side of LeakyReLU changes its image's gradient by some
    thousandths, whatever computes it: so the median is what tells.
    """

    def energies(net: nn.Module, x: Tensor) -> Tensor:
        found: Tensor = net(x).squeeze(1)
        return found

    exact = Plain().double()
    exact.load_state_dict(plain.state_dict())
    nets = {"plain": plain, "energan": network, "exact": exact}
    found = {}
    with frozen_weights():
        for name, net in nets.items():
            training, _ = net.training, net.eval()
            at = x.double() if name == "exact" else x
            found[name] = value_and_gradient(partial(energies, net), at)[1].flatten(1)
            net.train(training)
    right = found.pop("exact")
    return {k: ((v - right).norm(dim=1) / right.norm(dim=1)).tolist() for k, v in found.items()}


def compare(asked: argparse.Namespace) -> dict[str, Any]:
    engine = choose(EngineSettings(threads=asked.threads))
    network, plain = pair(lambda net: engine.place(net).requires_grad_(False))
    x = torch.rand(asked.batch, *EVENT)
    off = differences(network, plain, x)
    assert all(statistics.median(of) < 1e-4 and max(of) < 0.02 for of in off.values()), off
    made = ways(network, plain)
    rates: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(asked.rounds + 1):
        for name, way in made.items():
            with engine.autocast() if name == "energan" else nullcontext():
                begun, worked = time.perf_counter(), time.process_time()
                way(x, asked.steps)
                taken = time.perf_counter() - begun, time.process_time() - worked
            if turn:  # the first warms
                rates[name].append(
                    asked.steps / (taken[1] / engine.threads if asked.cpu else taken[0])
                )
    first = rates["plain"]
    return {
        **engine.describe(), "torch": torch.__version__, "batch": asked.batch,
        "steps": asked.steps, "rounds": asked.rounds, "clock": "cpu" if asked.cpu else "wall",
        "differences": off, "steps_per_s": rates,
        "ratio": {k: [a / b for a, b in zip(v, first, strict=True)] for k, v in rates.items()},
    }  # fmt: skip


def show(found: dict[str, Any]) -> None:
    print(
        f"{found['device']}, {found['threads']} threads, energan {found['precision']}, plain 32; "
        f"batch {found['batch']}, chains of {found['steps']} steps, {found['rounds']} rounds, "
        f"{found['clock']} clock"
    )
    for name, off in found["differences"].items():
        print(
            f"  {name}: gradient off by {statistics.median(off):.1e} in the median image, "
            f"{max(off):.1e} in the worst"
        )
    for name, rates in found["steps_per_s"].items():
        ratio = found["ratio"][name]
        print(
            f"  {name:20}{statistics.median(rates):7.2f} steps/s, ratio "
            f"{statistics.median(ratio):.2f} ({min(ratio):.2f} to {max(ratio):.2f})"
        )


def peak() -> int:
    """MiB: the most this process has held (getrusage counts its parent's as well)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def held(name: str, steps: int, threads: int | None) -> int:
    """MiB that a chain of 2 images takes at most, in this process."""
    engine = choose(EngineSettings(threads=threads))
    network, plain = pair(lambda net: engine.place(net).requires_grad_(False))
    x, before = torch.rand(2, *EVENT), peak()
    if name == "energan":
        ours(network, x, steps)
    else:
        (descend if name == "plain" else keep_graph)(plain, x, steps)
    return peak() - before


def memory(threads: int | None) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for name in ("energan", "plain", "graph kept"):
        found[name] = {}
        for steps in COUNTS:
            words = [sys.executable, __file__, "--held", name, str(steps)]
            words += ["--threads", str(threads)] if threads else []
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found[name][steps] = int(done.stdout)
        print(
            f"  {name:12}", ", ".join(f"K {k}: {v} MiB" for k, v in found[name].items()), flush=True
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Langevin steps per second beside the plain loop")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores if not given")
    parser.add_argument("--rounds", type=int, default=7, help="turns that each loop takes")
    parser.add_argument("--steps", type=int, default=10, help="steps of the chain in a turn")
    parser.add_argument("--batch", type=int, default=16, help="chains at once")
    parser.add_argument("--cpu", action="store_true", help="the process's time, not the clock's")
    parser.add_argument("--no-memory", action="store_true", help="leave out memory by K")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    parser.add_argument("--held", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.held:
        print(held(asked.held[0], int(asked.held[1]), asked.threads))
        return
    found = compare(asked)
    show(found)
    if not asked.no_memory:
        found["memory_mib"] = memory(asked.threads)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
