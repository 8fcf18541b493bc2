"""Every command and every block of Python under Start and Tasks runs, in the order of its page;
so does the Python of the README and of its own page.

Images are small and few, and so are networks: SMALL says what the tests add to a page's commands,
and TEXT what they put in the place of its words.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.commands import run
from support.markdown import DOCS, ROOT, Block, blocks, commands

PAGES = [
    "README.md",
    "docs/python/index.md",
    *sorted(str(page.relative_to(ROOT)) for page in DOCS.glob("start/*.md")),
    *sorted(str(page.relative_to(ROOT)) for page in DOCS.glob("tasks/*.md")),
]
TEXT = {
    r"--(scale|minutes|steps) [\d/]+": "",  # each training has the steps of SMALL
    r"--(data\.)?size \d+( \d+)?": r"--size 16\2",
    r"--size 16 \d+": "--size 24 16",
    r"steps=\d+": "steps=5",
    r"evaluate\(run\)": 'evaluate(run, metrics=["sliced_wasserstein"], samples=40)',
    r'data="photos", scale="1/4"': 'data={"source": "photos", "size": 16}, steps=2, '
    'model={"generator_width": 2, "encoder_width": 2, "margin": 5.0}',
}
QUICK = "--threads 1 --output.sample-every 0 --output.no-tensorboard"
FOLDER = (
    f"--size 16 --model.generator-width 2 --model.encoder-width 2 --training.batch-size 4 {QUICK}"
)
SMALL = {
    "train ebgan-digits": f"--steps 4 {QUICK}",
    "train ebgan-folder": f"--steps 4 {FOLDER}",
    "margin ebgan-folder": f"--most-steps 50 {FOLDER}",
    "resume": "--steps 6",
    "train few-labels": f"--steps 4 --model.hidden 16 16 --model.labelled 8 {QUICK}",
    "train inspect-folder": f"--steps 3 --size 32 --model.width 4 --model.scales 2 {QUICK}",
    "train pix2pix-folder": f"--steps 3 --model.generator-width 4 {QUICK}",
    "train r3gan-folder": f"--steps 3 --size 16 --model.group 4 --training.batch-size 4 {QUICK}",
    "train cdcgan-folder": f"--steps 3 --size 16 --training.batch-size 4 {QUICK}",
    "train tagging-celeba": "--steps 3 --model.generator 8 8 --model.generator-joint 8 "
    f"--model.discriminator 8 8 --model.joint 8 {QUICK}",
    "sweep": "--steps 3 --samples 40 --processes 1 --threads 1",
    "evaluate": "--samples 40",
}


def pictures(folder: Path, count: int, side: int = 32, width: int | None = None) -> None:
    """Images of one kind: a gradient and noise."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(len(str(folder.name)))
    for i in range(count):
        light = np.linspace(40, 40 + 10 * (i % 16), width or side)[None, :, None]
        noise = generator.normal(0, 12, (side, width or side, 3))
        image = (light + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"{i:03}.png")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages say you need, and `new` images to judge."""
    root = tmp_path_factory.mktemp("yours")
    pictures(root / "photos", 120)
    pictures(root / "new", 3)
    lines = [f"{i:03}.png,{'cat' if i % 2 else 'dog'}" for i in range(40)]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines]))
    for kind in ("cat", "dog"):
        pictures(root / "checked" / kind, 6)
    lines = [f"{i:03}.png,tag {i % 7},tag {7 + i % 5}" for i in range(120)]
    (root / "tags.csv").write_text("\n".join(["file,tag,tag", *lines]))
    pictures(root / "pairs", 24, 32, 64)
    pictures(root / "drawings", 2, 64)
    for part, count in (("train/good", 200), ("test/good", 6), ("test/scratch", 4)):
        pictures(root / "parts" / part, count)
    pictures(root / "good-parts", 105)
    (root / "parts/ground_truth/scratch").mkdir(parents=True)
    for i in range(4):
        mask = np.zeros((32, 32), np.uint8)
        mask[8:12, 8:20] = 255
        Image.fromarray(mask).save(root / f"parts/ground_truth/scratch/{i:03}_mask.png")
    return root


def small(text: str) -> str:
    for words, less in TEXT.items():
        text = re.sub(words, less, text)
    return text


def follow(block: Block, said: Callable[[], object]) -> None:
    """Do what a block says."""
    if block.language == "json":
        Path("mine.json").write_text(block.text)
    elif block.language == "python":
        exec(small(block.text), {})
    for words in commands(block._replace(text=small(block.text))):
        key = next((k for k in SMALL if " ".join(words).startswith(k)), None)
        done = run(*words, *(SMALL[key].split() if key else ()))
        assert done == 0, f"energan {' '.join(words)}: {said()}"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(
    page: str,
    folders: Path,
    tmp_path: Path,
    forked: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(shutil.copytree(folders, tmp_path / "here"))
    found = blocks(ROOT / page)
    assert any(commands(block) or block.language == "python" for block in found)
    for block in found:
        follow(block, lambda: capsys.readouterr().err[-800:])
