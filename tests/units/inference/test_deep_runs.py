"""A run on floats: what it is asked about later has the scale of its training data."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import energan
from energan.data.images.reading import read_image
from energan.data.inference import open_images
from energan.evaluation.reference import reference_for
from energan.inference.run import Run
from energan.inference.translation import translate
from energan.models import pix2pix
from support.image_files import tiff

COUNT, TOP = 64, 8.0


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    made = np.random.default_rng(0).random((COUNT, 8, 8)).astype(np.float32) * TOP
    made[:, 0, 0], made[:, 0, 1] = 0, TOP  # so that no part is of another range
    return made


@pytest.fixture(scope="module")
def run(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("deep")
    (root / "photos").mkdir()
    for number, image in enumerate(images):
        (root / "photos" / f"{number:02}.tif").write_bytes(tiff(image))
    return energan.train(
        "ebgan-digits", steps=5, out=root / "run", progress=False,
        model={"generator": [16], "encoder": [16], "latent": 4},
        data={"source": str(root / "photos")}, training={"batch_size": 32},
        engine={"threads": 1},
    )  # fmt: skip


def test_the_measured_range_is_kept_with_the_run(run: Run) -> None:
    config = json.loads(run.folder.config.read_text())
    assert config["resolved"]["data"]["intensity"] == [0, TOP]
    assert config["settings"]["data"]["intensity"] is None
    assert run.job.settings.data.intensity == (0, TOP)
    assert run.domain.depth == 16
    told = [fact["text"] for fact in config["resolved"]["data"]["facts"]]
    assert f"float32 values from 0 to 8, the range measured over {COUNT} images" in told


def test_other_images_are_scaled_as_the_training_data(
    run: Run, images: np.ndarray, tmp_path: Path
) -> None:
    half = images[3] / 2
    (tmp_path / "half.tif").write_bytes(tiff(half))
    (found,), _ = open_images([str(tmp_path / "half.tif")], run.job.settings.data, run.domain)
    x = found.data.gather(torch.arange(1)).x
    assert torch.allclose(x[0, 0], torch.from_numpy(half / TOP * 2 - 1), atol=1e-6)
    assert torch.allclose(run.energy(x), run.energy(str(tmp_path / "half.tif")), atol=1e-5)


def test_the_reference_has_it_too(run: Run) -> None:
    reference = reference_for(run.job.settings.data, run.domain)
    x = reference.events(reference.training, 5)
    assert (float(x.min()), float(x.max())) == (0, 1)


def test_what_lies_outside_is_clipped_and_counted(run: Run, tmp_path: Path) -> None:
    (tmp_path / "far.tif").write_bytes(tiff(np.full((8, 8), 2 * TOP, np.float32)))
    (found,), _ = open_images([str(tmp_path / "far.tif")], run.job.settings.data, run.domain)
    assert (found.data.gather(torch.arange(1)).x == 1).all()
    warned = [fact.text for fact in found.data.facts if fact.warning]
    assert warned == ["100.00% of all values, in 1 of 1 image, are outside 0 to 8 and are clipped"]


def test_translations_have_the_scale_of_their_side_and_16_bits(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sources = random.integers(0, 65536, (6, 32, 32, 4), np.uint16)
    targets = random.random((6, 32, 32)).astype(np.float32) * 80
    for name, side in (("a", sources), ("b", targets)):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        for number, image in enumerate(side):
            (tmp_path / "pairs" / name / f"{number}.tif").write_bytes(tiff(image))
    run = energan.train(
        "pix2pix-facades", steps=1, out=tmp_path / "run", progress=False,
        model=pix2pix.Config.tiny().model_dump(mode="json"),
        data={"source": str(tmp_path / "pairs"), "direction": "left-to-right", "size": 32,
              "jitter": False, "held_out": 0},
        training={"batch_size": 2}, engine={"threads": 1},
    )  # fmt: skip
    known = run.config["resolved"]["data"]
    assert (known["source_intensity"], known["intensity"][1]) == (None, targets.max())
    done = translate(run, tmp_path / "pairs" / "a", tmp_path / "out")
    read = read_image(done.written[2].read_bytes()).pixels
    x = torch.from_numpy(sources[2:3] / 65535 * 2 - 1).float().permute(0, 3, 1, 2)
    made = (run.sample(1, 0, x)[0, 0].numpy() + 1) / 2 * 65535
    assert read.dtype == np.uint16
    assert np.abs(read[..., 0] - made).max() <= 1
