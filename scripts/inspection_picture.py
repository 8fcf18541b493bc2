"""The picture of docs/tasks/inspection.md: scratches on synthetic parts, found by inspect-folder.

    python scripts/inspection_picture.py [--out docs/tasks/inspection.png]

The parts are drawn: brushed metal, each of its own brightness. The test images are chosen by their
number, not by how well they are scored.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from energan.cli.main import main as energan

SIDE, GOOD, SHOWN = 96, 240, 4
SMALL = [
    "--data.size", str(SIDE), "--model.width", "8", "--model.scales", "3",
    "--steps", "120", "--model.energy-optimiser.lr", "linear(0.004, 0.0003, 60, 60)",
    "--training.ema", "0.9", "--threads", "1", "--output.sample-every", "0",
]  # fmt: skip


def part(seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    stripes = 20 * np.sin(np.arange(SIDE) * 0.7 + g.uniform(0, 6))
    pixels = g.uniform(90, 150) + stripes[None] + g.normal(0, 6, (SIDE, SIDE))
    return np.asarray(pixels.clip(1, 255), np.uint8)


def scratched(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A part with a scratch of two pixels, and its mask."""
    pixels, mask, g = (
        part(1000 + seed),
        np.zeros((SIDE, SIDE), np.uint8),
        np.random.default_rng(seed),
    )
    y, x, slope = g.uniform(20, 40), g.integers(10, 40), g.uniform(-0.3, 0.9)
    for step in range(int(g.integers(25, 45))):
        row = int(y + slope * step)
        mask[row : row + 2, x + step] = 255
    pixels[mask > 0] = (pixels[mask > 0] * 0.6).astype(np.uint8)
    return pixels, mask


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/tasks/inspection.png"))
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(GOOD):
            save(root / f"parts/train/good/{i:03}.png", part(i))
        for i in range(20):
            save(root / f"parts/test/good/{i:03}.png", part(500 + i))
        for i in range(SHOWN):
            pixels, mask = scratched(i)
            save(root / f"parts/test/scratch/{i:03}.png", pixels)
            save(root / f"parts/ground_truth/scratch/{i:03}_mask.png", mask)
        parts, run, maps = (str(root / name) for name in ("parts", "run", "maps"))
        energan(["train", "inspect-folder", "--data", parts, "--out", run, *SMALL])
        names = [f"scratch/{i:03}.png" for i in range(SHOWN)]
        energan(["score", run, parts, "--overlays", maps, "--heatmap-files", *names])
        found = [Image.open(path).convert("RGB") for path in sorted(Path(maps).glob("*.png"))]
        given = [
            Image.open(root / f"parts/test/scratch/{i:03}.png").convert("RGB") for i in range(SHOWN)
        ]
        sheet = Image.new("RGB", (SHOWN * (2 * SIDE + 8), 4 * SIDE + 8), "white")
        for row, images in enumerate((given, found)):
            for i, image in enumerate(images):
                large = image.resize((2 * SIDE, 2 * SIDE), Image.Resampling.NEAREST)
                sheet.paste(large, (i * (2 * SIDE + 8), row * (2 * SIDE + 8)))
        sheet.save(out)


if __name__ == "__main__":
    main()
