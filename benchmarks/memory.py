"""Memory of training data as a set grows: 10,000 and 100,000 generated images, cached and streamed.

    python benchmarks/memory.py [--side 64] [--out FILE]

Each case runs in a process of its own, which decodes the set (or opens the stream), reads batches
from all over it, and tells the most memory that it had resident: all of it, mapped pages included.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

COUNTS = (10_000, 100_000)
BATCHES = 1500


def generate(folder: Path, count: int, side: int) -> None:
    """Parquet files of JPEG images of smooth noise, in row groups of 500."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    rng = np.random.default_rng(0)
    folder.mkdir()
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())]))])
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        for start in range(0, count, 500):
            cells = []
            for i in range(start, start + 500):
                coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
                out = io.BytesIO()
                coarse.resize((side, side), Image.Resampling.BICUBIC).save(out, "jpeg")
                cells.append({"bytes": out.getvalue(), "path": f"{i}.jpg"})
            writer.write_table(pa.table({"image": cells}, schema), row_group_size=500)


def read(source: str, storage: str) -> None:
    """Open the set and read batches from all over it; print the peaks in MiB."""
    from energan.data import DataSettings, open_data

    found = open_data(DataSettings.model_validate({"source": source, "storage": storage}))
    opened = resident()
    feed = found.feed([0], 64)
    for step in range(BATCHES):
        feed(step)
    print(json.dumps({"images": len(found), "opened": opened, "read": resident()}))


def resident() -> dict[str, int]:
    """MiB resident: the most ever, and of what is there now the part that is not a file's."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return {
        key: int(lines[name].split()[0]) // 1024
        for key, name in (("peak", "VmHWM"), ("now", "VmRSS"), ("anonymous", "RssAnon"))
    }


def measure(side: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "ENERGAN_CACHE": f"{place}/cache"}
        for count in COUNTS:
            source = Path(place) / f"images-{count}"
            generate(source, count, side)
            for storage in ("cache", "stream"):
                words = [sys.executable, __file__, "--read", str(source), storage]
                done = subprocess.run(
                    words, env=environment, capture_output=True, text=True, check=True
                )
                case = {"generated": count, "storage": storage, "side": side}
                found.append({**case, **json.loads(done.stdout)})
                print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="memory of training data as a set grows")
    parser.add_argument("--side", type=int, default=64, help="pixels a side")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        read(*asked.read)
        return
    found = measure(asked.side)
    if asked.out:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
