"""The Parzen window beside scikit-learn's KernelDensity: seconds, memory, agreement, in one run.

    python benchmarks/parzen.py [--samples N] [--test M] [--threads T] [--json FILE]

Each is a process of its own on the same MNIST images ($ENERGAN_DATA; random numbers without it):
the first N training images stand for samples. KernelDensity is taken as it comes, and with one
leaf (leaf_size N), where it is exact: with smaller leaves it is far off in high dimension. It has
one thread; so has ours unless --threads says more. Of KernelDensity only --sklearn-test events are
timed, since its time is in proportion to them; the ratio is of seconds for one test event.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIGMA, SIZE = 0.2, 784


def events(samples: int, test: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Images in [0, 1], float64 (N, 784) and (M, 784)."""
    from energan.core import DataError
    from energan.data import DataSettings, open_data

    try:
        settings = DataSettings(source="mnist", range="unit")
        parts = open_data(settings), open_data(settings, "test")
    except DataError:
        rng = np.random.default_rng(0)
        return rng.random((samples, SIZE)), rng.random((test, SIZE)), "random numbers"
    raw = [
        p.raw(slice(n)).flatten(1).double().numpy() / 255
        for p, n in zip(parts, (samples, test), strict=True)
    ]
    return raw[0], raw[1], "mnist"


def peak() -> int:
    """The most memory this process has held, in KiB (getrusage counts its parent's as well)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def child(who: str, folder: Path, test: int, threads: int) -> dict[str, Any]:
    """One way, in this process: seconds, the mean log-likelihood, peak memory beyond the data."""
    import torch

    torch.set_num_threads(threads)
    s, t = np.load(folder / "samples.npy"), np.load(folder / "test.npy")[:test]
    before = peak()
    clock = time.perf_counter()
    if who == "energan":
        from energan.metrics import parzen_log_likelihood

        mean = parzen_log_likelihood(s, t, SIGMA).mean
    else:
        from sklearn.neighbors import KernelDensity

        leaf = {"leaf_size": len(s)} if who == "one leaf" else {}
        mean = float(KernelDensity(bandwidth=SIGMA, **leaf).fit(s).score_samples(t).mean())
    seconds = time.perf_counter() - clock
    mib = (peak() - before) / 1024
    return {"who": who, "test": test, "seconds": seconds, "mean": mean, "mib": mib}


def run(who: str, folder: Path, test: int, threads: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--child", who, str(folder)]
    words += ["--test", str(test), "--threads", str(threads)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--sklearn-test", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        who, folder = asked.child
        print(json.dumps(child(who, Path(folder), asked.test, asked.threads)))
        return
    few = min(asked.sklearn_test, asked.test)
    samples, test, data = events(asked.samples, asked.test)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "samples.npy", samples)
        np.save(folder / "test.npy", test)
        found = [
            run("energan", folder, asked.test, asked.threads),
            run("energan", folder, few, asked.threads),
            run("sklearn", folder, few, 1),
            run("one leaf", folder, few, 1),
        ]
    ours = found[0]["seconds"] / asked.test
    print(f"{asked.samples} samples, {SIZE} numbers, {data}, {asked.threads} threads")
    for f in found:
        each = f["seconds"] / f["test"]
        f["ratio"] = each / ours
        print(
            f"{f['who']:>9}: {f['test']:6d} test events {f['seconds']:8.2f} s, "
            f"{1000 * each:8.3f} ms each, ratio {f['ratio']:6.1f}, "
            f"mean {f['mean']:.6f} nats, peak beyond the data {f['mib']:.0f} MiB"
        )
    if asked.json:
        about = {"data": data, "samples": asked.samples, "sigma": SIGMA, "threads": asked.threads}
        asked.json.write_text(json.dumps({**about, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
