"""Images/s of training data as a trainer reads it: JPEGs decoded once, and decoded in each epoch.

    python benchmarks/input_pipeline.py [--images N] [--side 256] [--batch B] [--out FILE]

Drawn JPEGs are written into one Parquet file. Each way reads one epoch of batches in a process of
its own, after it was opened: from the cache, into which all were decoded then, and as a stream that
decodes on the way. CPU time is that of all threads, and says more than the time of day where other
programs run. Bytes to the device are those of the images as they are kept, which become floats
there.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from memory import generate

WAYS = {"decode once": "cache", "opened again": "cache", "decode each epoch": "stream"}


def read(source: str, storage: str, batch: int) -> None:
    """Open the set, read an epoch, and print what both took."""
    from energan.data import DataSettings, open_data

    begun, cpu = time.perf_counter(), time.process_time()
    found = open_data(DataSettings.model_validate({"source": source, "storage": storage}))
    opened, opened_cpu = time.perf_counter() - begun, time.process_time() - cpu
    feed = found.feed([0], batch)
    steps = len(found) // batch
    begun, cpu = time.perf_counter(), time.process_time()
    for step in range(steps):
        feed(step)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    images = steps * batch
    print(json.dumps({
        "images": len(found), "open_s": round(opened, 2), "open_cpu_s": round(opened_cpu, 2),
        "epoch_images_per_s": round(images / seconds),
        "epoch_cpu_ms_per_image": round(1e3 * cpu_seconds / images, 4),
        "bytes_to_device_per_image": found.events[0].nbytes,
        "bytes_as_floats": 4 * found.events[0].numel(),
    }))  # fmt: skip


def measure(count: int, side: int, batch: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "ENERGAN_CACHE": f"{place}/cache"}
        source = Path(place) / "images"
        generate(source, count, side)
        size = sum(path.stat().st_size for path in source.iterdir())
        for way, storage in WAYS.items():
            words = [sys.executable, __file__, "--read", str(source), storage]
            done = subprocess.run(
                [*words, "--batch", str(batch)], env=environment, capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            case = {"way": way, "side": side, "bytes_as_jpeg": round(size / count)}
            found.append({**case, **json.loads(done.stdout)})
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="images/s of data decoded once or in each epoch")
    parser.add_argument("--images", type=int, default=100_000, help="a multiple of 500")
    parser.add_argument("--side", type=int, default=256, help="pixels a side")
    parser.add_argument("--batch", type=int, default=64, help="images in a batch")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        source, storage = asked.read
        read(source, storage, asked.batch)
        return
    if asked.images < 500 or asked.images % 500:
        parser.error("--images must be a multiple of 500")
    found = measure(asked.images, asked.side, asked.batch)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
