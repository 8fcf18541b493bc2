"""Scores by `POST /api/score` beside the bare function: docs/results/studio.json.

    python benchmarks/studio.py [--out docs/results]

A small `inspect-folder` of parts of 96x96 that are drawn here; an image a request. One client, then
eight at once; and `Run.energy` of the same image in this process.
"""

import argparse
import base64
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import energan

SIDE, PARTS, ALONE, TOGETHER, CLIENTS = 96, 100, 100, 200, 8
MODEL = {"width": 8, "scales": 3}


def draw(folder: Path) -> None:
    folder.mkdir(parents=True)
    g = np.random.default_rng(0)
    for i in range(PARTS):
        pixels = g.uniform(90, 150) + g.normal(0, 10, (SIDE, SIDE))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")


def timed(action: Callable[[], Any]) -> float:
    """Milliseconds of a call."""
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)


def figures(found: list[float]) -> dict[str, float]:
    ordered = sorted(found)
    return {
        "median_ms": round(statistics.median(ordered), 2),
        "95_percent_ms": round(ordered[int(0.95 * len(ordered))], 2),
    }


def measure(runs: Path, image: bytes) -> dict[str, Any]:
    sent = json.dumps({"run": "parts", "images": [base64.b64encode(image).decode()]}).encode()
    command = [sys.executable, "-m", "energan", "studio", str(runs), "--port", "0", "--api-only"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline().partition("http://")[2].partition("/")[0].split(":")[1])
    failed: list[int] = []

    def ask(_: int = 0) -> float:
        def request() -> None:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            client.request("POST", "/api/score", sent, {"content-type": "application/json"})
            answer = client.getresponse()
            answer.read()
            client.close()
            if answer.status != 200:
                failed.append(answer.status)

        return timed(request)

    try:
        ask()  # opens the run
        alone = [ask() for _ in range(ALONE)]
        begun = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            together = list(clients.map(ask, range(TOGETHER)))
        seconds = time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()
    return {
        "one_client": figures(alone), "eight_clients": figures(together),
        "eight_clients_per_second": round(TOGETHER / seconds, 1), "errors": len(failed),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="the studio's routes beside the bare function")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    out = parser.parse_args().out
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        draw(root / "photos")
        run = energan.train(
            "inspect-folder", data={"source": str(root / "photos"), "size": SIDE}, model=MODEL,
            steps=20, out=root / "runs" / "parts", progress=False, engine={"threads": 1},
        )  # fmt: skip
        run.calibrate(None, 0.1)
        image = (root / "photos" / "0.png").read_bytes()
        served = measure(root / "runs", image)
        run = energan.load(root / "runs" / "parts")
        run.energy([image])
        bare = figures([timed(lambda: run.energy([image])) for _ in range(ALONE)])
    found = {
        "model": MODEL, "image": f"{SIDE}x{SIDE}", "seed": 0, **served, "bare_function": bare,
        "ratio": round(served["one_client"]["median_ms"] / bare["median_ms"], 2),
    }  # fmt: skip
    (out / "studio.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
