"""What is done to images is told: pages, transparency, colours made grey, what is cut off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.inference import open_images
from support.image_files import encoded, noise, tiff

RANDOM = np.random.default_rng(0)


def folder_of(path: Path, make: Callable[[int], bytes], count: int = 12, form: str = "png") -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (path / f"{number:03}.{form}").write_bytes(make(number))
    return path


def opened(source: Path, **settings: object) -> DataSet:
    given = {"held_out": 0, **settings}
    return open_data(DataSettings(source=str(source), **given))  # type: ignore[arg-type]


def told(data: DataSet) -> dict[str, tuple[str, bool]]:
    """What was done to the images, beside what was understood of the folder; that they were resized
    has tests of its own."""
    folder = ("train", "test", "classes", "left out", "size")
    found = {fact.subject: (fact.text, fact.warning) for fact in data.facts}
    return {subject: text for subject, text in found.items() if subject not in folder}


def test_ordinary_images_say_nothing(tmp_path: Path) -> None:
    images = noise(12, 8, 8)
    assert not told(opened(folder_of(tmp_path, lambda n: encoded(images[n])), size=4))


# --- pages ----------------------------------------------------------------------------------------


def stacks(path: Path, pages: list[int]) -> tuple[Path, list[np.ndarray]]:
    made = [RANDOM.integers(0, 256, (count, 6, 6), np.uint8) for count in pages]
    for folder, stack in zip("ab" * len(pages), made, strict=False):
        (path / folder).mkdir(parents=True, exist_ok=True)
        number = len(list((path / folder).iterdir()))
        raw = tiff(stack, photometric="minisblack")
        (path / folder / f"{number:02}.tif").write_bytes(raw)
    return path, made[0::2] + made[1::2]


def test_the_first_of_several_pages_is_told_and_all_are_read_if_asked(tmp_path: Path) -> None:
    source, found = stacks(tmp_path, [10, 10, 3, 1])
    first = opened(source)
    assert len(first) == 4
    text, warning = told(first)["pages"]
    assert text.startswith("first of 3 to 10 pages in 3 files; to read all pages: --data.pages all")
    assert warning
    every = opened(source, pages="all")
    assert len(every) == 24
    assert told(every)["pages"][0] == "23 pages of 3 files, each read as an image"
    assert torch.equal(every.events[:, 0], torch.from_numpy(np.concatenate(found)))
    assert every.class_names == ("a", "b")
    assert every.labels is not None
    assert every.labels.bincount().tolist() == [13, 11]


def test_pages_of_one_file_are_held_out_together(tmp_path: Path) -> None:
    source, _ = stacks(tmp_path, [5] * 30)
    data = open_data(DataSettings(source=str(source), pages="all"))
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (135, 15)
    assert data.rows is not None
    held = data.held_out.rows
    assert held is not None
    assert not set((data.rows // 5).tolist()) & set((held // 5).tolist())


def test_pages_are_scored_by_their_names(tmp_path: Path) -> None:
    source, _ = stacks(tmp_path, [3, 1])
    settings = DataSettings(source=str(source), pages="all", held_out=0)
    domain = open_data(settings).domain
    file = str(source / "a" / "00.tif")
    (found,), _ = open_images([file], settings, domain)
    assert found.names == (f"{file}#page=1", f"{file}#page=2", f"{file}#page=3")
    (whole,), _ = open_images([str(source)], settings, domain, trained_on=True)
    assert whole.names == (*found.names, str(source / "b" / "00.tif"))


# --- transparency ---------------------------------------------------------------------------------


def sprite(white: bool) -> np.ndarray:
    pixels = np.full((6, 6, 4), 255, np.uint8)
    pixels[2:4, 2:4, :3] = 255 if white else 9
    pixels[..., 3] = 0
    pixels[2:4, 2:4, 3] = 255
    return pixels


def test_transparent_images_are_told_and_laid_on_what_is_asked(tmp_path: Path) -> None:
    source = folder_of(tmp_path, lambda n: encoded(sprite(n % 2 == 0)), 4)
    white = opened(source)
    text, warning = told(white)["transparency"]
    assert text.startswith(
        "4 of 4 images with transparency, laid on white (--data.background); 2 of them are all"
    )
    assert warning
    grey = opened(source, background="#808080", channels="grey")
    assert grey.events[0, 0].unique().tolist() == [128, 255]
    assert told(grey)["transparency"] == (
        "4 of 4 images with transparency, laid on #808080 (--data.background)",
        False,
    )
    red = opened(source, background="red")
    assert red.events[1, :, 0, 0].tolist() == [255, 0, 0]
    assert red.events[1, :, 2, 2].tolist() == [9, 9, 9]


def test_opaque_alpha_is_nothing_to_tell(tmp_path: Path) -> None:
    pixels = np.dstack([noise(1)[0], np.full((6, 6), 255, np.uint8)])
    assert not told(opened(folder_of(tmp_path, lambda n: encoded(pixels))))


def test_grey_images_with_alpha_are_coloured_by_a_coloured_background(tmp_path: Path) -> None:
    pixels = Image.fromarray(
        np.dstack([np.full((4, 4), 7, np.uint8), np.eye(4, dtype=np.uint8) * 255])
    )
    source = folder_of(tmp_path, lambda n: encoded(pixels))
    assert opened(source).domain.shape == (1, 4, 4)
    assert opened(source).events[0, 0, 0].tolist() == [7, 255, 255, 255]
    red = opened(source, background="red", channels="colour")
    assert red.events[0, :, 0, 1].tolist() == [255, 0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_transparency_of_16_bits_is_that_of_8(dtype: str, tmp_path: Path) -> None:
    scale = 257 if dtype == "uint16" else 1
    pixels = RANDOM.integers(0, 256, (6, 6, 4)).astype(dtype) * np.array(scale, dtype)
    raw = tiff(pixels, photometric="rgb", extrasamples=["unassalpha"])
    data = opened(folder_of(tmp_path, lambda n: raw, form="tif"), background="black", range="unit")
    share = pixels[..., 3:] / (255 * scale)
    expected = pixels[..., :3] / (255 * scale) * share
    made = data.gather(torch.tensor([0])).x[0].permute(1, 2, 0).numpy()
    assert np.allclose(made, expected, atol=1 / 255)
    assert told(data)["transparency"][0].startswith(
        "12 of 12 images with transparency, laid on black"
    )


def test_a_colour_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'plaid' is not a colour: give, for example, white"):
        DataSettings(background="plaid")


# --- channels -------------------------------------------------------------------------------------


def test_rare_colours_among_grey_are_told_with_their_count(tmp_path: Path) -> None:
    grey, colour = RANDOM.integers(0, 256, (6, 6), np.uint8), noise(1)[0]
    flat = np.repeat(grey[..., None], 3, 2)
    kinds = {700: encoded(colour), 701: encoded(colour), 702: encoded(flat)}
    data = opened(folder_of(tmp_path, lambda n: kinds.get(n, encoded(grey)), 703))
    assert data.domain.shape == (1, 6, 6)
    text, warning = told(data)["channels"]
    assert text == (
        "2 of 703 images in colour, converted to grey as the others are; to keep colours: "
        "--data.channels colour"
    )
    assert warning
    kept = opened(tmp_path, channels="colour")
    assert kept.domain.shape == (3, 6, 6)
    assert not any(fact.warning for fact in kept.facts)


def test_grey_among_colour_is_told(tmp_path: Path) -> None:
    grey, colour = RANDOM.integers(0, 256, (6, 6), np.uint8), noise(1)[0]
    data = opened(folder_of(tmp_path, lambda n: encoded(grey if n == 3 else colour)))
    assert told(data)["channels"] == ("1 of 12 images grey, converted to colour", False)


@pytest.mark.parametrize("bands", [2, 4, 5, 8, 16])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_bands_are_kept_cropped_and_resized_one_by_one(
    bands: int, dtype: str, tmp_path: Path
) -> None:
    images = (RANDOM.random((12, 6, 8, bands)) * 255).astype(dtype)
    images[0, 0, 0, 0], images[0, 0, 1, 0] = 0, 255
    source = folder_of(tmp_path, lambda n: tiff(images[n]), form="tif")
    data = opened(source, intensity=(0, 255), range="unit")
    assert data.domain.shape == (bands, 6, 8)
    made = data.gather(torch.tensor([0])).x[0]
    order = [
        row for row in range(12) if torch.equal(torch.as_tensor(data.rows)[0], torch.tensor(row))
    ]
    assert np.allclose(made, images[order[0]].transpose(2, 0, 1) / 255, atol=2e-5)
    resized = opened(source, intensity=(0, 255), size=4, crop=(1, 0, 7, 6))
    single = folder_of(tmp_path / "one", lambda n: tiff(images[n, ..., -1]), form="tif")
    alone = opened(single, intensity=(0, 255), size=4, crop=(1, 0, 7, 6))
    assert torch.equal(resized.raw()[:, -1:], alone.raw())


def test_bands_that_are_no_colours_are_refused_as_grey_and_images_of_others_are_told(
    tmp_path: Path,
) -> None:
    images = RANDOM.integers(0, 256, (12, 6, 6, 4), np.uint8)
    source = folder_of(tmp_path, lambda n: tiff(images[n]), form="tif")
    with pytest.raises(DataError, match=r"4 bands, which cannot be converted to grey or colour"):
        opened(source, channels="grey")
    (source / "200.tif").write_bytes(tiff(images[0, ..., :2]))
    with pytest.raises(DataError, match=r"images of 4 bands, and 200.tif is one of 2"):
        opened(source)


# --- what is cut off ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "text"),
    [(30, 10, "12 of 12 images are not square; 67% of them"), (10, 40, "75%"), (21, 20, None)],
)
def test_what_is_cut_off_is_told_beyond_a_tenth(
    width: int, height: int, text: str | None, tmp_path: Path
) -> None:
    images = noise(12, height, width)
    source = folder_of(tmp_path, lambda n: encoded(images[n]))
    found = told(opened(source, size=8))
    if text is None:
        assert not found
    else:
        assert text in found["cut off"][0]
        assert "--data.fit pad or stretch" in found["cut off"][0]
    for settings in ({"size": 8, "fit": "pad"}, {"size": 8, "fit": "stretch"}, {}):
        assert not told(opened(source, **settings))


def test_padding_keeps_all_in_proportion(tmp_path: Path) -> None:
    pixels = np.full((10, 40, 3), 200, np.uint8)
    pixels[:, :5], pixels[:, -5:] = 250, 90
    source = folder_of(tmp_path, lambda n: encoded(pixels), 1)
    made = opened(source, size=20, fit="pad").events[0]
    assert (made[:, 8:12, 0] > 230).all()
    assert (made[:, 8:12, -1] < 110).all()
    rows = made.amax((0, 2)) > 0
    assert rows.nonzero().flatten().tolist() == list(range(7, 12))
    tall = folder_of(tmp_path / "tall", lambda n: encoded(np.swapaxes(pixels, 0, 1)), 1)
    assert torch.equal(opened(tall, size=20, fit="pad").events[0], made.transpose(1, 2))
