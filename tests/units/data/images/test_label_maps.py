"""Label maps as the sources of pairs: how they are known, read, resized and told."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSettings, PairSet, open_data
from energan.io.pictures import show_condition

SIDE, CLASSES = 24, 12
PALETTE = np.random.default_rng(5).integers(0, 256, (256, 3), dtype=np.uint8)


def numbers(i: int, classes: int = CLASSES) -> np.ndarray:
    """Stripes of all classes."""
    stripes = np.arange(SIDE) * classes // SIDE
    return np.repeat(((stripes + i) % classes)[None], SIDE, 0).astype(np.uint8)


def indexed(values: np.ndarray, palette: np.ndarray = PALETTE) -> Image.Image:
    image = Image.fromarray(values, "L").convert("L")
    made = Image.frombytes("P", image.size, values.tobytes())
    made.putpalette(palette.tobytes())
    return made


def grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(values)


def coloured(values: np.ndarray) -> Image.Image:
    return Image.fromarray(PALETTE[values])


def pairs(folder: Path, maps: list[Image.Image], suffix: str = "png") -> Path:
    for name in ("A", "B"):
        (folder / name).mkdir(parents=True)
    for i, image in enumerate(maps):
        image.save(folder / "A" / f"{i}.{suffix}")
        photo = np.random.default_rng(i).integers(0, 256, (*image.size[::-1], 3), dtype=np.uint8)
        Image.fromarray(photo).save(folder / "B" / f"{i}.png")
    return folder


def opened(folder: Path, **options: object) -> PairSet:
    found = open_data(
        DataSettings(
            **{"source": str(folder), "direction": "left-to-right", "held_out": 0, **options}
        )
    )
    assert isinstance(found, PairSet)
    return found


def conditions(data: PairSet) -> torch.Tensor:
    found = data.gather(torch.arange(len(data))).condition
    assert found is not None
    return found


def told(data: PairSet) -> str:
    return "; ".join(str(fact) for fact in data.facts if fact.subject == "label maps")


@pytest.mark.parametrize("kind", [indexed, grey])
@pytest.mark.parametrize("size", [None, SIDE, 16, 40])
def test_twelve_classes_stay_twelve(tmp_path: Path, kind, size: int | None) -> None:
    """A plane for each, of one value alone and none in between, also where they are resized."""
    data = opened(pairs(tmp_path, [kind(numbers(i)) for i in range(3)]), size=size)
    x = conditions(data)
    side = size or SIDE
    assert data.domain.condition_shape == (CLASSES, side, side)
    assert data.domain.label_map is not None
    assert data.domain.label_map.values == tuple(range(CLASSES))
    assert x.shape == (3, CLASSES, side, side)
    assert x.unique().tolist() == [-1, 1]
    assert torch.equal((x > 0).sum(1), torch.ones(3, side, side, dtype=torch.int64))
    order = [int(i) for i in (conditions(data) > 0).float().argmax(1)[:, 0, 0]]
    assert sorted(order) == [0, 1, 2]
    if side == SIDE:
        for start, image in zip(order, x, strict=True):
            assert torch.equal(image.argmax(0), torch.from_numpy(numbers(start).astype(int)))
    assert "label maps of 12 classes (values 0 to 11), read one-hot" in told(data)
    assert "--data.label-maps image" in told(data)


def test_values_with_gaps_are_classes_in_their_order(tmp_path: Path) -> None:
    """As of VOC's maps, where 255 says void."""
    values = numbers(0)
    values[values == 11] = 255
    data = opened(pairs(tmp_path, [indexed(values)]))
    assert data.domain.label_map is not None
    assert data.domain.label_map.values == (*range(11), 255)
    assert torch.equal(conditions(data)[0].argmax(0), torch.from_numpy(numbers(0).astype(int)))
    assert "12 classes (12 values from 0 to 255)" in told(data)


def test_greys_with_255_for_void_are_a_label_map(tmp_path: Path) -> None:
    values = numbers(0, 5)
    values[values == 4] = 255
    data = opened(pairs(tmp_path, [grey(values)]), size=18)
    assert data.domain.label_map is not None
    assert data.domain.label_map.values == (0, 1, 2, 3, 255)
    assert "5 classes (5 values from 0 to 255)" in told(data)


def test_a_class_that_one_image_alone_has_counts(tmp_path: Path) -> None:
    few = [grey(numbers(0, 3)) for _ in range(100)]
    data = opened(pairs(tmp_path, [*few, grey(numbers(0))]))
    assert data.domain.condition_shape == (CLASSES, SIDE, SIDE)


def test_the_test_part_has_the_classes_of_training(tmp_path: Path) -> None:
    pairs(tmp_path / "train", [grey(numbers(i)) for i in range(3)])
    pairs(tmp_path / "test", [grey(numbers(0, 4)), grey(numbers(0, 14))])
    settings = DataSettings(source=str(tmp_path), direction="left-to-right", held_out=0)
    test = open_data(settings, "test")
    assert test.domain.condition_shape == (CLASSES, SIDE, SIDE)
    assert len(test) == 1
    assert "its label 12 is not one of the 12 known ones" in test.skipped[0][1]


@pytest.mark.parametrize("kind", [indexed, grey, coloured])
def test_palettes_keep_their_colours(tmp_path: Path, kind) -> None:
    """Resized by nearest neighbour, so that no colour is made that was not there."""
    data = opened(pairs(tmp_path, [kind(numbers(0))]), size=17, label_maps="palette")
    x = conditions(data)
    assert x.shape == (1, 3, 17, 17)
    raw = ((x + 1) * 127.5).round().byte()
    found = raw[0].flatten(1).T.unique(dim=0)
    assert len(found) == CLASSES
    if kind is not grey:
        assert {*map(tuple, found.tolist())} == {*map(tuple, PALETTE[:CLASSES].tolist())}


def test_colours_are_classes_where_that_is_asked_for(tmp_path: Path) -> None:
    data = opened(pairs(tmp_path, [coloured(numbers(i)) for i in range(2)]), label_maps="one-hot")
    assert data.domain.condition_shape == (CLASSES, SIDE, SIDE)
    shown = show_condition(conditions(data), data.domain)
    pixels = ((shown + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
    expected = {PALETTE[numbers(i)].tobytes() for i in range(2)}
    assert {image.numpy().tobytes() for image in pixels} == expected


def test_images_stay_images_where_that_is_asked_for(tmp_path: Path) -> None:
    """As they were before label maps were known."""
    data = opened(pairs(tmp_path, [grey(numbers(0))]), label_maps="image")
    assert data.domain.condition_shape == (1, SIDE, SIDE)
    assert data.domain.label_map is None
    raw = ((conditions(data) + 1) * 127.5).round().byte()[0, 0]
    assert torch.equal(raw, torch.from_numpy(numbers(0)))


@pytest.mark.parametrize(
    "maps",
    [
        [grey(255 * (numbers(0, 2)))],  # a drawing
        [Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8))],
        [indexed(numbers(0)), indexed(numbers(0), PALETTE[::-1].copy())],  # palettes of each
        [indexed(np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE).astype(np.uint8))],
        [coloured(numbers(0))],
        [grey(numbers(0, 1))],  # of one value
        [grey(10 * numbers(0, 5))],  # dark ones far apart
        [grey(np.full((9, 9), 255, np.uint8)), grey(np.zeros((9, 9), np.uint8))],
    ],
)
def test_pictures_are_no_label_maps(tmp_path: Path, maps: list[Image.Image]) -> None:
    data = opened(pairs(tmp_path, maps))
    assert data.domain.label_map is None
    assert told(data) == ""


def test_resizing_that_blends_colours_is_told(tmp_path: Path) -> None:
    data = opened(pairs(tmp_path, [coloured(numbers(0))]), size=16)
    assert told(data) == (
        "label maps: the sources hold only 12 colours, which resizing blends into many: "
        "--data.label-maps palette keeps them"
    )
    assert any(fact.warning for fact in data.facts if fact.subject == "label maps")
    assert told(opened(tmp_path)) == ""
    back = opened(tmp_path, size=16, direction="right-to-left")
    assert "the targets hold only 12 colours" in told(back)


def test_dark_targets_are_told(tmp_path: Path) -> None:
    data = opened(pairs(tmp_path, [grey(numbers(0))]), direction="right-to-left")
    assert "the targets hold only values 0 to 11 and are almost black" in told(data)
    assert data.domain.shape == (1, SIDE, SIDE)


def test_pictures_that_are_to_be_label_maps_are_refused(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    pairs(tmp_path, [Image.fromarray(photo)])
    for asked in ("one-hot", "palette"):
        with pytest.raises(DataError, match=r"they hold more than 64 values.*label-maps image"):
            opened(tmp_path, label_maps=asked)


def test_values_may_be_named(tmp_path: Path) -> None:
    data = opened(pairs(tmp_path, [grey(numbers(0))]), label_values=tuple(range(20)))
    assert data.domain.condition_shape == (20, SIDE, SIDE)


def test_side_by_side_and_upright(tmp_path: Path) -> None:
    """Halves of one file, that lies on its side."""
    both = np.concatenate([numbers(0), 200 + numbers(1, 50) % 50], 1)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it right
    tmp_path.joinpath("x").mkdir()
    Image.fromarray(np.rot90(both).copy()).save(tmp_path / "x" / "0.png", exif=exif)
    data = opened(tmp_path / "x")
    assert torch.equal(conditions(data)[0].argmax(0), torch.from_numpy(numbers(0).astype(int)))


def test_windows_and_mirrors_move_both_alike(tmp_path: Path) -> None:
    """Jitter and mirroring cut the numbers, and one-hot planes are made of them afterwards."""
    data = opened(pairs(tmp_path, [grey(numbers(0))]), size=16, jitter=True, mirror=True)
    draws = torch.tensor([[0.3, 0.9, 0.1]])
    batch = data.gather(torch.tensor([0]), draws=draws)
    assert batch.condition is not None
    assert batch.condition.shape == (1, CLASSES, 16, 16)
    assert torch.equal((batch.condition > 0).sum(1), torch.ones(1, 16, 16, dtype=torch.int64))
    across = batch.condition[0].argmax(0)[0]
    assert bool((across.diff() <= 0).all())  # mirrored


def test_the_fingerprint_tells_of_classes(tmp_path: Path) -> None:
    pairs(tmp_path, [grey(numbers(0))])
    found = {opened(tmp_path, label_values=tuple(range(n))).fingerprint for n in (12, 13)}
    assert len(found | {opened(tmp_path, label_maps="image").fingerprint}) == 3
