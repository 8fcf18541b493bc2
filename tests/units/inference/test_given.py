"""Images as a user has them, given to a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import energan
from energan.core import Energy, Scored, Stream
from energan.data import open_data
from energan.errors import DataError
from energan.inference.run import Run

COUNT = 5


@pytest.fixture(scope="module")
def raw(runs: dict[str, Run]) -> Tensor:
    """uint8 (COUNT, 1, 8, 8)."""
    return open_data(runs["ebgan"].job.settings.data).raw(slice(COUNT))


@pytest.fixture(scope="module")
def folder(raw: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("images")
    for i, image in enumerate(raw.numpy()):
        Image.fromarray(image[0]).save(made / f"{i}.png")
    return made


KINDS = (
    "folder",
    "paths",
    "contents",
    "pictures",
    "array",
    "tensor",
    "last",
    "grey",
    "colour",
    "data",
    "mixed",
)


@pytest.mark.parametrize("kind", KINDS)
def test_all_ways_to_give_images_are_one(
    runs: dict[str, Run], raw: Tensor, folder: Path, kind: str
) -> None:
    run, array = runs["ebgan"], raw.numpy()
    files = sorted(folder.iterdir())
    given = {
        "folder": folder,
        "paths": [str(file) for file in files],
        "contents": [file.read_bytes() for file in files],
        "pictures": [Image.fromarray(x) for x in array[:, 0]],
        "array": array,
        "tensor": raw,
        "last": array.transpose(0, 2, 3, 1),
        "grey": array[:, 0],
        "colour": np.repeat(array, 3, 1),
        "data": open_data(run.job.settings.data).subset(torch.arange(COUNT)),
        "mixed": [files[0], Image.fromarray(array[1, 0]), array[2:4], raw[4:]],
    }[kind]
    x = raw.float() / 127.5 - 1
    run.calibrate()
    assert torch.allclose(run.prepare(given), x, atol=1e-6)
    assert torch.allclose(run.energy(given), run.energy(x), atol=1e-5)
    assert torch.equal(run.score(given).anomalous, run.score(x).anomalous)
    assert torch.allclose(run.reconstruct(given), run.reconstruct(x), atol=1e-5)
    assert torch.allclose(run.heatmap(given), run.heatmap(x), atol=1e-5)
    assert torch.allclose(run.code(given), run.code(x), atol=1e-5)
    assert torch.allclose((run + runs["other"]).energy(given), (run + runs["other"]).energy(x))


class Halves(Energy):
    """The mean of each half of an image as a map, the larger one as the energy."""

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        cells = x.unflatten(-1, (2, -1)).mean((1, 2, 4))[:, None]  # (B, 1, 2)
        return Scored(cells.amax((1, 2)), map=cells)


def test_an_energy_with_a_map_is_its_own_heat_map(runs: dict[str, Run], raw: Tensor) -> None:
    run = energan.load(runs["ebgan"].path)
    assert run.heatmap_kind == "squared error"
    run = energan.load(runs["ebgan"].path)
    run.energy_network = Halves()
    assert run.heatmap_kind == "energy map"
    found = run.heatmap(raw)
    assert found.shape == (COUNT, 8, 8)
    assert torch.allclose(found.amax((1, 2)), run.energy(raw), atol=1e-6)


def test_one_image_alone(runs: dict[str, Run], raw: Tensor, folder: Path) -> None:
    run, one = runs["ebgan"], raw[0, 0].numpy()
    expected = run.energy(raw[:1].float() / 127.5 - 1)
    colours = np.repeat(one[..., None], 3, 2)
    for given in (folder / "0.png", Image.fromarray(one), one, one[..., None], colours):
        assert torch.allclose(run.energy(given), expected, atol=1e-5)


def test_examples_of_floats_are_taken_as_they_are(runs: dict[str, Run]) -> None:
    x = runs["ebgan"].sample(3)
    assert torch.equal(runs["ebgan"].energy(x.numpy()), runs["ebgan"].energy(x))
    points = runs["ring"].sample(4)
    assert torch.equal(runs["ring"].energy(points.numpy()), runs["ring"].energy(points))


def test_a_picture_is_turned_sized_and_made_grey_as_files_are(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    picture = Image.fromarray(values)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.png", exif=exif)
    run = runs["ebgan"]
    from_file = run.prepare(tmp_path / "turned.png")
    assert from_file.shape == (1, 1, 8, 8)
    with Image.open(tmp_path / "turned.png") as opened:
        assert torch.equal(run.prepare(opened), from_file)
    assert not torch.equal(run.prepare(picture), from_file)
    flat = picture.quantize(8)
    flat.save(tmp_path / "flat.png")
    assert torch.equal(run.prepare(flat), run.prepare(tmp_path / "flat.png"))


def test_restoring_takes_them_too(runs: dict[str, Run], raw: Tensor, folder: Path) -> None:
    made = energan.restore(runs["ebgan"], folder, noise_std=0.1, steps=2)
    same = energan.restore(runs["ebgan"], raw.float() / 127.5 - 1, noise_std=0.1, steps=2)
    assert torch.allclose(made.x, same.x, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3, "int is not a type of image"),
        ([], "the list of images is empty"),
        ("/nowhere", "/nowhere does not exist"),
        (b"no image", "an image file"),
        (torch.zeros(2, 3), r"needs float examples of shape \(1, 8, 8\)"),
        (np.zeros((2, 2, 2, 2, 2), np.uint8), "the array has shape"),
    ],
)
def test_what_is_no_image_is_refused(runs: dict[str, Run], given: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        runs["ebgan"].energy(given)  # type: ignore[arg-type]


def test_an_image_that_cannot_be_read_is_an_error(runs: dict[str, Run], folder: Path) -> None:
    """Left out, it would bring the others out of step with their results."""
    torn = folder / "torn.png"
    torn.write_bytes(b"no image")
    try:
        with pytest.raises(DataError, match=r"torn.png cannot be read .*: leave it out"):
            runs["ebgan"].energy(folder)
    finally:
        torn.unlink()
