"""Pairs from files: side by side or in two folders, with and without splits."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from energan.core import DataError
from energan.data import DataSettings, PairSet, open_data
from support.image_files import noise, smooth

SIDE = 8


def settings(folder: Path, **options) -> DataSettings:
    return DataSettings(
        **{"source": str(folder), "direction": "left-to-right", "held_out": 0, **options}
    )


def flat(value: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def joint(folder: Path, count: int = 4, first: int = 0) -> Path:
    """Files whose left half is number 10i, the right one 10i + 5."""
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        both = np.concatenate([flat(10 * i), flat(10 * i + 5)], 1)
        Image.fromarray(both).save(folder / f"{i:02}.png")
    return folder


def single(folder: Path, names: list[str], add: int = 0) -> Path:
    folder.mkdir(parents=True)
    for i, name in enumerate(names):
        Image.fromarray(flat(10 * i + add)).save(folder / name)
    return folder


def numbers(data: PairSet) -> list[tuple[int, int]]:
    """(source, target) of each pair, as raw values, sorted."""
    batch = data.gather(torch.arange(len(data)))
    assert batch.condition is not None
    found = [((v.mean((1, 2, 3)) + 1) * 127.5).round().int().tolist()
             for v in (batch.condition, batch.x)]  # fmt: skip
    return sorted(zip(*found, strict=True))


LEFT = [(10 * i, 10 * i + 5) for i in range(4)]
RIGHT = [(b, a) for a, b in LEFT]
NAMES = ["00.png", "01.png", "02.png", "03.png"]


def test_side_by_side_in_both_directions(tmp_path: Path) -> None:
    folder = joint(tmp_path / "photos")
    data = open_data(settings(folder))
    assert isinstance(data, PairSet)
    assert numbers(data) == LEFT
    assert data.name == "photos"
    assert data.domain.shape == data.domain.condition_shape == (3, SIDE, SIDE)
    assert data.domain.mean is not None
    assert data.domain.mean.shape == (3, SIDE, SIDE)
    assert numbers(open_data(settings(folder, direction="right-to-left"))) == RIGHT


@pytest.mark.parametrize("where", ["{}", "train/{}", "{}/train"])
def test_two_folders_are_matched_by_name_whatever_their_form(tmp_path: Path, where: str) -> None:
    root = tmp_path / "photos"
    left, right = (root / where.format(side) for side in "AB")
    single(left, NAMES)
    single(right, [n.replace("png", "bmp") for n in NAMES], add=5)
    (right / "notes.txt").write_text("none")
    assert numbers(open_data(settings(root))) == LEFT
    assert numbers(open_data(settings(root, direction="right-to-left"))) == RIGHT


def test_folders_below_the_two_count_with_their_names(tmp_path: Path) -> None:
    for side, add in (("labels", 0), ("photos", 5)):
        single(tmp_path / side / "north", NAMES[:2], add)
        single(tmp_path / side / "south", NAMES[:2], add)
    assert numbers(open_data(settings(tmp_path))) == sorted(LEFT[:2] * 2)


def test_folders_called_traina_and_trainb(tmp_path: Path) -> None:
    for side, add in (("A", 0), ("B", 5)):
        single(tmp_path / f"train{side}", NAMES, add)
        single(tmp_path / f"test{side}", NAMES[:2], add)
    assert numbers(open_data(settings(tmp_path))) == LEFT
    assert numbers(open_data(settings(tmp_path), "test")) == LEFT[:2]


def test_val_is_held_out_and_test_is_the_test_set(tmp_path: Path) -> None:
    for split, count, first in (("train", 4, 0), ("val", 2, 10), ("test", 3, 20)):
        joint(tmp_path / "p" / split, count, first)
    data = open_data(settings(tmp_path / "p", held_out=None))
    assert numbers(data) == LEFT
    assert isinstance(data.held_out, PairSet)
    assert numbers(data.held_out) == [(100, 105), (110, 115)]
    assert data.held_out.domain == data.domain
    test = open_data(settings(tmp_path / "p"), "test")
    assert numbers(test) == [(200, 205), (210, 215), (220, 225)]
    shutil.rmtree(tmp_path / "p" / "test")
    assert len(open_data(settings(tmp_path / "p"), "test")) == 2  # val, where there is no test
    kept = open_data(settings(tmp_path / "p", held_out=1))
    assert len(kept) == 3
    assert kept.held_out is not None
    assert sorted([*numbers(kept), *numbers(kept.held_out)]) == LEFT


def test_without_val_a_tenth_is_held_out_and_limit_counts(tmp_path: Path) -> None:
    data = open_data(settings(joint(tmp_path / "p", 20), held_out=None))
    assert (len(data), len(data.held_out)) == (18, 2)
    assert not set(numbers(data)) & set(numbers(data.held_out))
    assert len(open_data(settings(tmp_path / "p", limit=5))) == 5
    with pytest.raises(DataError, match="limit 30 is too large"):
        open_data(settings(tmp_path / "p", limit=30))
    with pytest.raises(DataError, match="no test part of its own"):
        open_data(settings(tmp_path / "p"), "test")


def test_jitter_enlarges_by_286_256_and_cuts_in_training_alone(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for i in range(3):
        both = np.concatenate([smooth(64, 64), smooth(64, 64)], 1)
        Image.fromarray(both).save(tmp_path / "p" / f"{i}.png")
    data = open_data(settings(tmp_path / "p", size=32, jitter=True, mirror=True, held_out=1))
    assert data.events.shape[2:] == (36, 36)  # 32 * 286 / 256 = 35.75
    assert data.domain.shape == (3, 32, 32)
    assert (data.augment.random_crop, data.augment.mirror) == (32, True)
    batch = data.feed([0], 16)(0)
    assert torch.equal(batch.x, batch.condition)
    assert len({tuple(x.flatten().tolist()) for x in batch.x}) > 8
    assert data.held_out is not None
    assert data.held_out.events.shape[2:] == (32, 32)
    assert not data.held_out.augment
    alone = open_data(settings(tmp_path / "p", jitter=True))  # of the images' own size
    assert alone.events.shape[2:] == (72, 72)
    assert alone.domain.shape == (3, 64, 64)
    assert open_data(settings(tmp_path / "p", size=256, jitter=True)).events.shape[2:] == (286, 286)
    wide = open_data(settings(tmp_path / "p", size=(32, 16), jitter=True))
    assert wide.events.shape[2:] == (18, 36)
    assert wide.domain.shape == (3, 16, 32)


def test_halves_of_odd_widths_grey_ones_and_their_preparation(tmp_path: Path) -> None:
    """The middle column belongs to neither; the box is cut out of each half."""
    (tmp_path / "p").mkdir()
    both = np.concatenate([flat(10, 6, 6), flat(99, 6, 1), flat(200, 6, 6)], 1)[..., 0]
    both[:, 0] = 77
    Image.fromarray(both).save(tmp_path / "p" / "a.png")
    data = open_data(settings(tmp_path / "p"))
    assert data.domain.shape == (1, 6, 6)
    assert data.sources is not None
    assert data.sources.events[0, 0, :, 1:].eq(10).all()
    assert data.sources.events[0, 0, :, 0].eq(77).all()
    assert data.events.eq(200).all()
    cut = open_data(settings(tmp_path / "p", crop=(1, 0, 5, 4), size=2, range="unit"))
    assert cut.domain.shape == (1, 2, 2)
    batch = cut.gather(torch.tensor([0]))
    torch.testing.assert_close(batch.condition, torch.full((1, 1, 2, 2), 10 / 255))
    colour = open_data(settings(tmp_path / "p", channels="colour"))
    assert colour.domain.condition_shape == (3, 6, 6)


def test_sides_may_differ_in_channels(tmp_path: Path) -> None:
    single(tmp_path / "A", NAMES)
    single(tmp_path / "B", NAMES, 5)
    for name in NAMES:
        Image.open(tmp_path / "A" / name).convert("L").save(tmp_path / "A" / name)
    data = open_data(settings(tmp_path))
    assert (data.domain.condition_shape, data.domain.shape) == ((1, SIDE, SIDE), (3, SIDE, SIDE))
    assert numbers(data) == LEFT


def test_an_unreadable_file_takes_its_partner_with_it(tmp_path: Path) -> None:
    single(tmp_path / "A", NAMES)
    single(tmp_path / "B", NAMES, 5)
    (tmp_path / "B" / "01.png").write_bytes(b"")
    (tmp_path / "A" / "03.png").write_text("hello")
    data = open_data(settings(tmp_path))
    assert numbers(data) == [LEFT[0], LEFT[2]]
    assert len(data.skipped) == 2
    both = joint(tmp_path / "p")
    (both / "00.png").write_text("hello")
    data = open_data(settings(both))
    assert numbers(data) == LEFT[1:]
    assert [where for where, _ in data.skipped] == ["00.png"]


def test_a_cache_gives_what_memory_gives(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    folder = joint(tmp_path / "p", 12)
    (folder / "05.png").write_text("hello")
    options = {"size": SIDE, "held_out": 2, "mirror": True}
    plain, cached = (
        open_data(settings(folder, storage=storage, **options)) for storage in ("memory", "cache")
    )
    assert cached.path is not None
    assert plain.fingerprint == cached.fingerprint
    assert torch.equal(plain.feed([1], 5)(2).x, cached.feed([1], 5)(2).x)
    assert torch.equal(plain.feed([1], 5)(2).condition, cached.feed([1], 5)(2).condition)
    assert numbers(plain.held_out) == numbers(cached.held_out)


def test_folders_without_partners_are_refused_by_name(tmp_path: Path) -> None:
    single(tmp_path / "one" / "A", ["a.png", "b.png", "c.png"])
    single(tmp_path / "one" / "B", ["b.png", "d.png", "c.png"])
    with pytest.raises(DataError, match=r"2 of 6 files have no partner: .*A a; only in .*B d\."):
        open_data(settings(tmp_path / "one"))
    for side in "AB":  # horses and zebras
        single(tmp_path / "two" / f"train{side}", [f"{side}{i}.png" for i in range(9)])
    said = r"18 of 18 files have no partner: only in .*trainA A0, A1, A2 and 6 more; .*B0"
    with pytest.raises(DataError, match=said):
        open_data(settings(tmp_path / "two"))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    single(tmp_path / "A", ["a.png", "a.bmp"])
    single(tmp_path / "B", ["a.png"])
    with pytest.raises(DataError, match="have the same name"):
        open_data(settings(tmp_path))


def test_sides_of_different_size_need_a_size_and_of_other_proportions_a_stretch(
    tmp_path: Path,
) -> None:
    for side, pixels in (("A", noise(1, 8, 8)), ("B", noise(1, 16, 16)), ("C", noise(1, 8, 16))):
        for root in {"A": ("one", "two"), "B": ("one",), "C": ("two",)}[side]:
            (tmp_path / root / side).mkdir(parents=True)
            Image.fromarray(pixels[0]).save(tmp_path / root / side / "x.png")
    with pytest.raises(DataError, match=r"differ in size \(8x8 and 16x16\)"):
        open_data(settings(tmp_path / "one"))
    assert open_data(settings(tmp_path / "one", size=8)).domain.shape == (3, 8, 8)
    with pytest.raises(DataError, match="fit stretch"):
        open_data(settings(tmp_path / "two", size=8))
    assert len(open_data(settings(tmp_path / "two", size=8, fit="stretch"))) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pad": 32}, r"data\.pad does not apply to pairs"),
        ({"random_crop": 4}, "random_crop does not apply to pairs.*jitter"),
        ({"classes": ("1",)}, r"data\.classes does not"),
        ({"storage": "stream"}, "stream does not apply to pairs"),
        ({"source": "nowhere"}, "'?nowhere'? is not one: name a folder"),
        ({"source": "digits"}, "is not one: name a folder"),
        ({"source": "~nobody-of-that-name/x"}, "cannot be read"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, options, said: str) -> None:
    joint(tmp_path / "p")
    with pytest.raises(DataError, match=said):
        open_data(settings(tmp_path / "p", **options))


def test_folders_that_hold_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        open_data(settings(tmp_path / "empty"))
    joint(tmp_path / "p" / "val")
    with pytest.raises(DataError, match="no pairs to train on"):
        open_data(settings(tmp_path / "p"))
    single(tmp_path / "q" / "A" / "train", NAMES)
    single(tmp_path / "q" / "B" / "other", NAMES)
    with pytest.raises(DataError, match="only one of them has a folder train"):
        open_data(settings(tmp_path / "q"))
    for file in joint(tmp_path / "r").iterdir():
        file.write_text("hello")
    with pytest.raises(DataError, match="no readable image"):
        open_data(settings(tmp_path / "r"))
    tall = tmp_path / "tall"
    tall.mkdir()
    Image.fromarray(flat(1, 8, 30)).save(tall / "a.png")
    with pytest.raises(DataError, match=r"set data\.size"):
        open_data(settings(tall, jitter=True, crop=(0, 0, 4, 8)))
    assert open_data(settings(tall, jitter=True)).domain.shape == (3, 8, 15)


def test_jitter_is_for_pairs() -> None:
    with pytest.raises(ValidationError, match="jitter applies to pairs"):
        DataSettings(jitter=True)


def test_the_named_facades_lie_in_their_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("ENERGAN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="facades was not found"):
        open_data(DataSettings(source="facades", direction="right-to-left"))
    joint(tmp_path / "facades" / "train")
    joint(tmp_path / "facades" / "val", 1, 7)
    data = open_data(DataSettings(source="facades", direction="right-to-left"))
    assert data.name == "facades"
    assert numbers(data) == RIGHT
    assert numbers(data.held_out) == [(75, 70)]


REAL = Path(os.environ.get("ENERGAN_DATA", "")) / "facades"


@pytest.mark.skipif(not REAL.is_dir(), reason="set ENERGAN_DATA to a folder that holds facades/")
def test_real_facades() -> None:
    """Label maps are flatter than photographs; a pair's two sides are of one facade."""
    data = open_data(settings(REAL, direction="right-to-left", size=64, limit=20, held_out=None))
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (20, 100)
    batch = data.gather(torch.arange(20))

    def edges(images: torch.Tensor) -> torch.Tensor:
        return images.diff(dim=-1).abs().amax(1)

    flat_share = [(edges(v) < 0.02).float().mean().item() for v in (batch.condition, batch.x)]
    assert flat_share[0] > 1.5 * flat_share[1]
    sides = [edges(v).flatten(1) for v in (batch.condition, batch.x)]
    own = torch.stack([torch.corrcoef(torch.stack(p))[0, 1] for p in zip(*sides, strict=True)])
    sides[1] = sides[1].roll(1, 0)
    other = torch.stack([torch.corrcoef(torch.stack(p))[0, 1] for p in zip(*sides, strict=True)])
    assert own.mean() > other.mean() + 0.1


def test_single_images_are_no_pairs_side_by_side(tmp_path: Path) -> None:
    single(tmp_path / "alone", ["a.png", "b.png"])
    with pytest.raises(DataError, match="not wider than high"):
        open_data(settings(tmp_path / "alone"))
