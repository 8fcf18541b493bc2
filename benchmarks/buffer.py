"""What it costs and what it changes to keep a replay buffer's chains as bytes.

    python benchmarks/buffer.py [RUN]

Memory, time of a batch out and back, time and size of a checkpoint's file, for CIFAR-10's 10,000
chains; with a run of igebm on images also what bytes do to its chains: their energies after many
returns to the buffer, beside chains kept as numbers with the same noise.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from safetensors.torch import save_file

from energan.core import Randomness
from energan.inference.run import Run
from energan.samplers.kernels import LANGEVIN, run_kernel
from energan.samplers.replay import Replay

CAPACITY, EVENT, BATCH, TIMES = 10_000, (3, 32, 32), 128, 30
CHAINS, RETURNS = 200, 40


def costs(packed: bool) -> dict[str, float]:
    replay = Replay(CAPACITY, EVENT, 0.0, 1.0, packed)
    draws = Randomness([0])
    state = replay.start(draws)
    ages = torch.zeros(BATCH, dtype=torch.int64)
    visits, writes = [], []
    for _ in range(TIMES):
        slots = replay.slots(draws, BATCH)
        start = time.perf_counter()
        replay.put(state, slots, replay.get(state, slots), ages)
        visits.append(time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.safetensors"
        for _ in range(5):
            start = time.perf_counter()
            save_file(state, file)
            writes.append(time.perf_counter() - start)
        size = file.stat().st_size
    return {
        "megabytes": round(size / 1e6, 1),
        "visit_ms": round(1e3 * median(visits), 3),
        "write_ms": round(1e3 * median(writes), 1),
    }


def effect(path: str) -> dict[str, dict[str, float]]:
    """Energies of chains that went on from the run's buffer, by how they were kept between."""
    trained = Run(path)
    found = {}
    for name, packed in (("bytes", True), ("numbers", False)):
        low, high = trained.domain.low, trained.domain.high
        assert low is not None
        assert high is not None
        replay = Replay(CHAINS, trained.domain.shape, low, high, packed)
        x = trained.replayed(CHAINS)
        assert x is not None
        draws = Randomness([1]).at("effect")
        for _ in range(RETURNS):
            u = trained.potential()
            x = run_kernel(
                LANGEVIN, u, x, rule=trained.rule, steps=trained.chain_steps, generator=draws
            ).x
            kept = replay.pack(x)
            x = replay.get({"chains": kept}, torch.arange(CHAINS))
        energy = trained.energy(x)
        found[name] = {
            "energy": round(float(energy.mean()), 5),
            "standard_error": round(float(energy.std()) / CHAINS**0.5, 5),
            "mean_pixel": round(float(x.mean()), 4),
            "std_pixel": round(float(x.std()), 4),
        }
    return found


def main() -> None:
    torch.set_num_threads(1)
    made: dict[str, object] = {"bytes": costs(True), "numbers": costs(False)}
    if len(sys.argv) > 1:
        made["chains"] = effect(sys.argv[1])
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
