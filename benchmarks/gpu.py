"""What a GPU does with energan, in at most eight minutes: steps/s, share of the peak, memory.

    python benchmarks/gpu.py [--device cuda:1] [--minutes 8] [--out gpu.json]

Ten recipes at their own width and batch, eager and as CUDA graphs, on random images of their
data's shape; cohorts of seeds beside a single run; Langevin steps beside a plain loop. The share of
the peak is that of the largest product of bf16 matrices measured here. Parts are done in this order
until the time is nearly over, what is left out is said, and the JSON is written after each. Run it
with nothing else on the GPU. --tiny tries all of it on a CPU, with networks that mean nothing.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from energan import models
from energan.core import Domain
from energan.core.accelerators import free_accelerator_memory
from energan.data import DataSet
from energan.experiment.build import build, cohort_of
from energan.experiment.compatibility import jobs_of
from energan.experiment.settings import Job, load
from energan.io.console import show, table_of
from energan.training.capture import CAPTURED
from energan.training.device import Device, EngineSettings, choose
from energan.training.step_cost import META, count_step, time_steps
from langevin import EVENT, descend, ours, pair

RECIPES: dict[str, tuple[int, int, int]] = {
    "ebgan-mnist": (1, 32, 32), "gan-mnist": (1, 28, 28), "ladder-mnist-100": (1, 28, 28),
    "ebgan-ln-mnist-100": (1, 28, 28), "igebm-mnist": (1, 28, 28), "ebgan-blog": (3, 32, 32),
    "r3gan-cifar10": (3, 32, 32), "dcgan-celeba": (3, 64, 64), "ebgan-celeba": (3, 64, 64),
    "igebm-cifar10": (3, 32, 32),
}  # fmt: skip
"""Whose images have which shape."""
COHORTS = [("ebgan-mnist", 1), ("ebgan-mnist", 8), ("ebgan-mnist", 24), ("ladder-mnist-100", 15)]
EVENTS, SECONDS, BATCH, CHAIN = 4096, 3.0, 128, 20
NEEDED = 10.0
"""Seconds that a part may take: none is begun with less left."""
SMALL: dict[str, Any] = {"training": {"batch_size": 4}}


class Bench:
    """Parts in turn while there is time; what each found, or why there is nothing."""

    def __init__(self, engine: Device, minutes: float, tiny: bool, out: Path) -> None:
        self.engine, self.tiny, self.out = engine, tiny, out
        self.end = time.monotonic() + 60 * minutes
        self.seconds = 0.1 if tiny else SECONDS
        self.found: dict[str, Any] = {}

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        if time.monotonic() + NEEDED > self.end:
            self.found[name] = {"left_out": "no time left"}
        else:
            try:
                self.found[name] = measure()
            except Exception as error:  # whatever a GPU or a compiler says: the rest still counts
                text = str(error) or "no reason given"
                self.found[name] = {"failed": f"{type(error).__name__}: {text.splitlines()[0]}"}
            free_accelerator_memory()
        print(f"{name}: {self.found[name]}", flush=True)
        self.out.write_text(json.dumps(self.found, indent=1) + "\n")

    def job(self, recipe: str) -> tuple[Job, DataSet]:
        """The recipe, and random images as it takes them."""
        job, shape = load(recipe), RECIPES[recipe]
        if self.tiny:
            small = models.find(job.model).config.tiny()  # type: ignore[attr-defined]
            job = job.changed({"model": small.model_dump(mode="json"), **SMALL})
            shape = (1, 8, 8)
        low, high = job.settings.data.bounds
        events = torch.randint(256, (256 if self.tiny else EVENTS, *shape), dtype=torch.uint8)
        domain = Domain(shape, low, high, classes=10)
        labels, labelled = torch.arange(len(events)) % 10, job.settings.data.labelled
        return job, DataSet("random", events, domain, labels, labelled=labelled)

    def steps(self, recipe: str, seeds: int = 1, captured: bool = False) -> dict[str, Any]:
        job, data = self.job(recipe)
        reset_peak_memory(self.engine)
        engine = replace(self.engine, captures=captured and self.engine.captures)
        loop = cohort_of(jobs_of(job, seeds), data, engine).loop
        said: list[str] = []
        loop.passes.say = said.append
        seconds = time_steps(loop, self.seconds, warm_up=CAPTURED + 1)
        with META:
            model = build(job, data.domain, 0)
        operations, _ = count_step(model, data.domain, job.settings.training.batch_size)
        share = seeds * operations / seconds / (self.found["peak"]["tflops"] * 1e12)
        return {
            "steps_per_second": round(1 / seconds, 2), "share_of_peak": round(share, 6),
            "memory_mb": round(most_memory(self.engine) / 1e6), "note": " ".join(said),
        }  # fmt: skip

    def chains(self) -> dict[str, Any]:
        """Steps of chains on the energy of igebm-cifar10, by energan and by a plain loop."""
        network, plain = pair(self.engine.place)
        network.requires_grad_(False)
        plain.to(self.engine.device)
        batch, steps = (2, 2) if self.tiny else (BATCH, CHAIN)
        x = torch.rand(batch, *EVENT, device=self.engine.device)

        def per_second(walk: Callable[[torch.Tensor, int], torch.Tensor]) -> float:
            walk(x, 2)
            synchronize(self.engine)
            begun = time.perf_counter()
            walk(x, steps)
            synchronize(self.engine)
            return steps / (time.perf_counter() - begun)

        def in_autocast(x: torch.Tensor, steps: int) -> torch.Tensor:
            with self.engine.autocast():
                return ours(network, x, steps)

        own, other = per_second(in_autocast), per_second(lambda x, steps: descend(plain, x, steps))
        return {"energan": round(own, 1), "plain": round(other, 1), "ratio": round(own / other, 2)}

    def peak(self) -> dict[str, Any]:
        """TFLOP/s of a large product of bf16 matrices."""
        side, times = (256, 3) if self.tiny else (8192, 20)
        a = torch.randn(side, side, device=self.engine.device, dtype=torch.bfloat16)
        a @ a
        synchronize(self.engine)
        begun = time.perf_counter()
        for _ in range(times):
            a @ a
        synchronize(self.engine)
        seconds = time.perf_counter() - begun
        return {"tflops": round(2 * side**3 * times / seconds / 1e12, 4)}


def synchronize(engine: Device) -> None:
    if engine.device.type != "cpu":
        torch.accelerator.synchronize(engine.device)


def reset_peak_memory(engine: Device) -> None:
    if engine.device.type != "cpu":
        torch.accelerator.reset_peak_memory_stats(engine.device)


def most_memory(engine: Device) -> int:
    """Bytes of the device that tensors held at most; 0 of a CPU, which does not say."""
    on_gpu = engine.device.type != "cpu"
    return torch.accelerator.max_memory_allocated(engine.device) if on_gpu else 0


def print_table(found: dict[str, Any]) -> None:
    table = table_of("part", "steps/s", "of the peak", "memory MB", "")
    for name, own in found.items():
        said = own.get("left_out") or own.get("failed") or own.get("note", "")
        if "ratio" in own:
            said = f"energan {own['energan']} steps/s, plain {own['plain']}: {own['ratio']} times"
        share = f"{own['share_of_peak']:.2%}" if "share_of_peak" in own else ""
        rate, memory = (str(own.get(key, "")) for key in ("steps_per_second", "memory_mb"))
        table.add_row(name, rate, share, memory, said)
    show(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    words = parser.parse_args()
    engine = choose(EngineSettings(device=words.device))
    if engine.device.type == "cpu" and not words.tiny:
        parser.error("there is no GPU here: --tiny tries this script on a CPU")
    bench = Bench(engine, words.minutes, words.tiny, words.out)
    name = "cpu" if engine.device.type == "cpu" else torch.cuda.get_device_name(engine.device)
    bench.found["machine"] = {"name": name, "torch": torch.__version__, **engine.describe()}
    bench.part("peak", bench.peak)
    for recipe in RECIPES:
        bench.part(recipe, lambda recipe=recipe: bench.steps(recipe))  # type: ignore[misc]
    for recipe, seeds in COHORTS:
        bench.part(f"{recipe}, {seeds} seeds", lambda r=recipe, n=seeds: bench.steps(r, n))  # type: ignore[misc]
    bench.part("langevin, igebm-cifar10", bench.chains)
    for recipe in RECIPES:
        part = f"{recipe}, captured"
        bench.part(part, lambda r=recipe: bench.steps(r, captured=True))  # type: ignore[misc]
    print_table({part: own for part, own in bench.found.items() if part not in ("machine", "peak")})
    machine = bench.found["machine"]
    print(f"{machine['name']}, {bench.found['peak']['tflops']} TFLOP/s in bf16; {bench.out}")


if __name__ == "__main__":
    main()
