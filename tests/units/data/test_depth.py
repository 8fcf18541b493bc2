"""Images of more than 8 bits: one range for the whole set, told, kept in memory, cache and run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.images import survey
from energan.data.inference import open_images
from energan.data.sources.splits import fixed_order
from support.image_files import deep_png, encoded, smooth, tiff

RANDOM = np.random.default_rng(0)


def folder_of(
    path: Path, make: Callable[[int], bytes], count: int = 12, suffix: str = "tif"
) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (path / f"{number:03}.{suffix}").write_bytes(make(number))
    return path


def opened(source: Path, split: str = "train", **settings: object) -> DataSet:
    given = {"held_out": 0, **settings}
    return open_data(DataSettings(source=str(source), **given), split)  # type: ignore[arg-type]


def in_order(data: DataSet) -> np.ndarray:
    """What was stored, from 0 to 1, by the order of the files."""
    x = data.gather(torch.arange(len(data))).x
    assert data.domain.low is not None
    return ((x - data.domain.low) / 2).numpy()[np.argsort(order_of(len(data)))]


def order_of(count: int) -> np.ndarray:
    return fixed_order(count).numpy()


def facts(data: DataSet, subject: str) -> list[str]:
    return [fact.text for fact in data.facts if fact.subject == subject]


def warned(data: DataSet) -> list[str]:
    return [fact.text for fact in data.facts if fact.warning]


# --- integers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("bands", [1, 3])
def test_16_bits_are_kept_to_the_last(form: str, bands: int, tmp_path: Path) -> None:
    images = RANDOM.integers(0, 65536, (12, 5, 5, bands), np.uint16)
    make = deep_png if form == "png" else lambda x: tiff(x[..., 0] if bands == 1 else x)
    data = opened(folder_of(tmp_path, lambda n: make(images[n]), suffix=form))
    assert data.events.dtype == torch.uint16
    assert data.domain.depth == 16
    assert data.domain.shape == (bands, 5, 5)
    assert np.allclose(in_order(data), images.transpose(0, 3, 1, 2) / 65535, atol=1e-6)
    assert "0 to 65,535 of uint16 become the range" in facts(data, "intensity")[0]
    assert not warned(data)


def test_12_bits_in_16_warn_with_the_window_that_fits(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 4096, (12, 6, 6), np.uint16)
    images[0, 0, :2] = 0, 4095
    source = folder_of(tmp_path, lambda n: encoded(images[n]), suffix="png")
    plain = opened(source)
    assert "6.25% of the range" in warned(plain)[0]
    assert "--data.intensity 0 4095" in warned(plain)[0]
    spread = opened(source, intensity=(0, 4095))
    assert spread.events.dtype == torch.uint16
    assert np.allclose(in_order(spread)[:, 0], images / 4095, atol=1e-5)
    assert len(np.unique(spread.raw().numpy())) == len(np.unique(images))
    assert not warned(spread)


@pytest.mark.parametrize(
    ("low", "high", "fits"), [(0, 255, "0 255"), (3, 900, "0 1023"), (30000, 31000, "30000 31000"),
     (500, 500, "0 511"), (0, 0, "0 1")],
)  # fmt: skip
def test_the_window_that_fits_is_that_of_so_many_bits_or_what_is_there(
    low: int, high: int, fits: str, tmp_path: Path
) -> None:
    pixels = np.linspace(low, high, 36).astype(np.uint16).reshape(6, 6)
    data = opened(folder_of(tmp_path, lambda n: encoded(pixels), suffix="png"))
    assert f"spread them with --data.intensity {fits}" in warned(data)[0]


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32"])
def test_values_below_zero_are_refused_with_the_window_or_windowed(
    dtype: str, tmp_path: Path
) -> None:
    low, high = (-100, 90) if dtype == "int8" else (-1024, 3000)
    images = RANDOM.integers(low, high, (12, 6, 6), endpoint=True).astype(dtype)
    images[3, 0, :2] = low, high
    source = folder_of(tmp_path, lambda n: tiff(images[n]))
    with pytest.raises(DataError, match=rf"{dtype} values from {low} to {high}.*intensity {low} "):
        opened(source)
    window = -50, 50
    data = opened(source, intensity=window)
    expected = ((images.astype(float) - window[0]) / 100).clip(0, 1)
    assert np.allclose(in_order(data)[:, 0], expected, atol=1e-5)
    outside = ((images < -50) | (images > 50)).mean()
    assert f"{outside:.2%} of all values, in 12 of 12 images" in warned(data)[0]


def test_signed_integers_without_a_value_below_zero_are_taken(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 32767, (12, 6, 6), np.int16, endpoint=True)
    data = opened(folder_of(tmp_path, lambda n: tiff(images[n])))
    assert np.allclose(in_order(data)[:, 0], images / 32767, atol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_32_bit_integers_have_one_scale_for_the_set(dtype: str, tmp_path: Path) -> None:
    images = RANDOM.integers(0, 201, (12, 6, 6)).astype(dtype)
    images[6:] *= 15
    images[0, 0, 0], images[11, 0, 0] = 0, 3000
    data = opened(folder_of(tmp_path, lambda n: tiff(images[n])))
    assert np.allclose(in_order(data)[:, 0], images / 3000, atol=1e-5)
    assert "from 0 to 3000, the range measured over 12 images" in facts(data, "intensity")[0]
    assert data.intensity == (0, 3000)
    wide = images.astype("uint32") * 1000
    data = opened(folder_of(tmp_path / "wide", lambda n: tiff(wide[n])))
    assert data.events.dtype == torch.float32  # 16 bits would not keep all of them apart
    assert np.allclose(in_order(data)[:, 0], images / 3000, atol=1e-6)


# --- floats ---------------------------------------------------------------------------------------


def test_floats_have_one_scale_for_the_set(tmp_path: Path) -> None:
    images = RANDOM.random((12, 6, 6)).astype(np.float32) * 0.9
    images[6:] *= 1.3 / 0.9
    images[0, 0, 0], images[1, 0, 0], images[11, 0, 0] = 0, 0.9, 1.3
    data = opened(folder_of(tmp_path, lambda n: tiff(images[n])))
    assert data.events.dtype == torch.float32
    assert np.allclose(in_order(data)[:, 0], images / 1.3, atol=1e-6)
    assert data.intensity == pytest.approx((0, 1.3))
    assert "0 to 1.3, the range measured over 12 images" in facts(data, "intensity")[0]


def test_the_test_part_and_other_images_have_the_scale_of_the_training_part(tmp_path: Path) -> None:
    images = RANDOM.random((12, 6, 6)).astype(np.float32) * 2
    images[0, 0, :2] = 0, 2
    folder_of(tmp_path / "train", lambda n: tiff(images[n]))
    halves = images / 2
    test = folder_of(tmp_path / "test", lambda n: tiff(halves[n]))
    data = opened(tmp_path, "test")
    assert np.allclose(in_order(data)[:, 0], halves / 2, atol=1e-6)
    assert "scaled as the training part, from 0 to 2" in facts(data, "intensity")[0]
    train = opened(tmp_path)
    settings = DataSettings(source=str(tmp_path), intensity=train.intensity)
    (found,), _ = open_images([str(test / "003.tif")], settings, train.domain)
    x = found.data.gather(torch.arange(1)).x
    assert np.allclose((x[0, 0] + 1) / 2, halves[3] / 2, atol=1e-6)


def test_what_is_not_finite_or_all_alike_is_told(tmp_path: Path) -> None:
    images = RANDOM.random((12, 6, 6)).astype(np.float32)
    images[4, 0, 0] = np.nan
    data = opened(folder_of(tmp_path / "nan", lambda n: tiff(images[n])))
    assert len(data) == 11
    assert "NaN or infinite" in data.skipped[0][1]
    flat = folder_of(tmp_path / "flat", lambda n: tiff(np.full((6, 6), 3, np.float32)))
    with pytest.raises(DataError, match=r"hold only the value 3: set --data.intensity"):
        opened(flat)


def test_a_few_values_that_take_most_of_the_range_are_told(tmp_path: Path) -> None:
    heights = RANDOM.random((12, 32, 32)).astype(np.float32)
    heights[3, 0, :5] = -9999  # no data
    (said,) = warned(opened(folder_of(tmp_path / "floats", lambda n: tiff(heights[n]))))
    assert "of the range: images will look almost uniform unless you set --data.intensity" in said
    low, high = (float(word) for word in (said.split()[6], said.split()[8].rstrip(",")))
    assert 0 <= low < 0.05
    assert 0.95 < high <= 1
    shots = RANDOM.integers(0, 4096, (12, 32, 32), np.uint16)
    shots[7, 4, 4] = 65535  # a hot pixel
    (said,) = warned(opened(folder_of(tmp_path / "shots", lambda n: tiff(shots[n]))))
    assert "98% of all values are between" in said
    np.save(tmp_path / "heights.npy", heights)
    assert any("98% of all values" in text for text in warned(opened(tmp_path / "heights.npy")))
    heights[3, 0, :5] = 0
    assert not warned(opened(folder_of(tmp_path / "clean", lambda n: tiff(heights[n]))))


def test_8_bits_among_deep_ones_are_not_made_black_in_silence(tmp_path: Path) -> None:
    types = [np.uint8 if n % 2 else np.uint16 for n in range(12)]
    source = folder_of(
        tmp_path, lambda n: encoded(np.full((4, 4), 200 + n % 2, types[n])), suffix="png"
    )
    (said,) = warned(opened(source))
    assert "--data.intensity" not in said
    assert said.endswith(
        "almost uniform if their type is larger than 8 bits: keep images of one type"
    )
    (said,) = warned(opened(source, intensity=(0, 4095)))
    assert said.endswith("the 6 images of uint8 will be almost black; keep images of one type")
    assert not warned(opened(source, intensity=(0, 255)))


def test_types_without_a_range_together_are_refused_with_the_window(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 1000, (12, 6, 6))
    images[0, 0, :2] = 0, 1000
    types = [np.float32 if n % 2 else np.uint16 for n in range(12)]
    source = folder_of(tmp_path, lambda n: tiff(images[n].astype(types[n])))
    with pytest.raises(DataError, match=r"no common range: set --data.intensity 0 1000"):
        opened(source)
    data = opened(source, intensity=(0, 1000))
    assert np.allclose(in_order(data)[:, 0], images / 1000, atol=1e-6)


# --- in between -----------------------------------------------------------------------------------


def test_8_bits_among_16_have_each_their_own_range(tmp_path: Path) -> None:
    small = RANDOM.integers(0, 256, (12, 6, 6), np.uint8)
    source = folder_of(
        tmp_path, lambda n: encoded(small[n] if n % 3 else small[n].astype(np.uint16) * 257),
        suffix="png",
    )  # fmt: skip
    data = opened(source)
    assert data.events.dtype == torch.uint16
    assert np.allclose(in_order(data)[:, 0], small / 255, atol=1e-6)
    assert "255 of uint8" in facts(data, "intensity")[0]


def test_rare_deep_images_among_8_bits_are_told(tmp_path: Path) -> None:
    small = RANDOM.integers(0, 256, (703, 6, 6), np.uint8)
    made = {700: encoded(small[700].astype(np.uint16) * 257), 701: tiff(small[701] / 255)}
    data = opened(folder_of(tmp_path, lambda n: made.get(n, encoded(small[n])), 703, "png"))
    assert data.events.dtype == torch.uint8
    assert warned(data) == [
        "1 of 702 images with more than 8 bits, reduced to 8 bits as the others are"
    ]
    ((where, reason),) = data.skipped
    assert where == "701.png"
    assert (
        "it holds float64 values, and the other images, or the training images, have 8 bits"
        in reason
    )
    at = int((torch.as_tensor(data.rows) == 700).nonzero()) if data.rows is not None else 700
    assert torch.equal(data.raw(slice(at, at + 1))[0, 0], torch.from_numpy(small[700]))


def test_what_was_measured_is_remembered_with_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    images = RANDOM.random((12, 6, 6)).astype(np.float32)
    source = folder_of(tmp_path / "images", lambda n: tiff(images[n]))
    first = opened(source, storage="cache")

    def fail(source: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(survey, "measure", fail)
    again = opened(source, storage="cache")
    assert again.intensity == first.intensity
    assert again.facts == first.facts
    assert again.fingerprint == first.fingerprint


def test_8_bits_are_windowed_too(tmp_path: Path) -> None:
    small = RANDOM.integers(0, 256, (12, 6, 6), np.uint8)
    source = folder_of(tmp_path, lambda n: encoded(small[n]), suffix="png")
    data = opened(source, intensity=(50, 100))
    expected = np.rint(((small.astype(float) - 50) / 50).clip(0, 1) * 255)
    assert data.events.dtype == torch.uint8
    assert np.allclose(in_order(data)[:, 0] * 255, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_deep_images_are_resized_as_8_bit_ones_are(dtype: str, fit: str, tmp_path: Path) -> None:
    small = smooth(20, 30)[..., 0]
    deep = small.astype(np.float64) / 255 * (65535 if dtype == "uint16" else 1)
    plain = folder_of(tmp_path / "plain", lambda n: encoded(small), 1, "png")
    kept = folder_of(tmp_path / "deep", lambda n: tiff(deep.astype(dtype)), 1)
    made = [in_order(opened(path, size=8, fit=fit)) for path in (plain, kept)]
    assert made[1].shape == (1, 1, 8, 8)
    assert np.abs(made[0] - made[1]).max() < 0.01


def test_colour_becomes_grey_at_full_depth(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 65536, (6, 6, 3), np.uint16)
    data = opened(folder_of(tmp_path, lambda n: deep_png(pixels), 2, "png"), channels="grey")
    expected = (pixels @ np.array([0.299, 0.587, 0.114])) / 65535
    assert np.allclose(in_order(data)[0, 0], expected, atol=2e-5)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_cache_holds_what_memory_does(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path / "cache"))
    images = (RANDOM.random((12, 6, 9)) * 40000).astype(dtype)
    source = folder_of(tmp_path / "images", lambda n: tiff(images[n]))
    memory = opened(source, size=6)
    cached, again = (opened(source, size=6, storage="cache") for _ in range(2))
    for data in (cached, again):
        assert data.path is not None
        assert torch.equal(data.raw().float(), memory.raw().float())
        assert data.fingerprint == memory.fingerprint
        assert data.facts == memory.facts
        assert data.intensity == memory.intensity
    if dtype == "float32":  # it is stored in the range that is asked for
        unit = opened(source, size=6, storage="cache", range="unit")
        assert torch.allclose(unit.raw(), (memory.raw() + 1) / 2, atol=1e-6)


def test_mirrored_and_cropped_batches_are_those_of_the_events(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 65536, (12, 6, 6), np.uint16)
    source = folder_of(tmp_path, lambda n: tiff(images[n]))
    data = opened(source, mirror=True, random_crop=4)
    draws = torch.tensor([[0.0, 0.99, 0.1], [0.5, 0.5, 0.9]])
    made = data.gather(torch.tensor([2, 5]), draws=draws).x
    first, second = data.raw()[[2, 5]].float() / 65535 * 2 - 1
    assert torch.allclose(made[0], first[:, 0:4, 2:6].flip(-1), atol=1e-6)
    assert torch.allclose(made[1], second[:, 1:5, 1:5], atol=1e-6)


# --- arrays ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32"])
def test_arrays_take_the_same_route(dtype: str, tmp_path: Path) -> None:
    images = (RANDOM.random((12, 6, 6)) * 3000).astype(dtype)
    np.save(tmp_path / "a.npy", images)
    data = opened(tmp_path / "a.npy", intensity=(0, 2000))
    expected = (images / 2000).clip(0, 1)
    assert np.allclose(in_order(data)[:, 0], expected, atol=1e-5)
    assert data.domain.depth == 16
    assert "are outside 0 to 2000" in warned(data)[0]


def test_arrays_are_measured_or_refused_as_files_are(tmp_path: Path) -> None:
    floats = (RANDOM.random((12, 6, 6)) * 3).astype(np.float32)
    np.save(tmp_path / "f.npy", floats)
    data = opened(tmp_path / "f.npy")
    ends = float(floats.min()), float(floats.max())
    assert data.intensity == pytest.approx(ends)
    assert np.allclose(in_order(data)[:, 0], (floats - ends[0]) / (ends[1] - ends[0]), atol=1e-6)
    np.save(tmp_path / "i.npy", (floats * 1000 - 1000).astype(np.int16))
    with pytest.raises(DataError, match=r"int16 values from -.*set --data.intensity"):
        opened(tmp_path / "i.npy")
    np.save(tmp_path / "b.npy", RANDOM.integers(0, 65536, (12, 32, 32, 5)).astype(np.uint16))
    assert opened(tmp_path / "b.npy").domain.shape == (5, 32, 32)


def test_floats_in_the_known_ranges_are_as_before(tmp_path: Path) -> None:
    floats = RANDOM.random((12, 6, 6)).astype(np.float32) * 0.5
    np.save(tmp_path / "f.npy", floats)
    data = opened(tmp_path / "f.npy", range="unit")
    assert torch.equal(data.events[:, 0], torch.from_numpy(floats))
    assert (data.domain.depth, data.intensity, data.facts) == (8, None, ())


# --- pairs ----------------------------------------------------------------------------------------


def test_pairs_have_each_side_at_its_own_depth(tmp_path: Path) -> None:
    colours = RANDOM.integers(0, 256, (12, 8, 8, 3), np.uint8)
    far = RANDOM.random((12, 8, 8)).astype(np.float32) * 80
    folder_of(tmp_path / "a", lambda n: encoded(colours[n]), suffix="png")
    folder_of(tmp_path / "b", lambda n: tiff(far[n]))
    data = open_data(DataSettings(source=str(tmp_path), direction="left-to-right", held_out=0))
    batch = data.gather(torch.arange(12))
    assert batch.condition is not None
    order = np.argsort(order_of(12))
    sources, targets = ((x[order] + 1) / 2 for x in (batch.condition, batch.x))
    assert np.allclose(sources, colours.transpose(0, 3, 1, 2) / 255, atol=1e-6)
    ends = far.min(), far.max()
    assert np.allclose(targets[:, 0], (far - ends[0]) / (ends[1] - ends[0]), atol=1e-6)
    assert data.intensity == pytest.approx(ends)
    assert "float32" in facts(data, "intensity of targets")[0]
    again = open_data(
        DataSettings(source=str(tmp_path), direction="left-to-right", held_out=0,
                     intensity=data.intensity)
    )  # fmt: skip
    assert torch.equal(again.gather(torch.arange(12)).x, batch.x)
    assert torch.equal(again.gather(torch.arange(12)).condition, batch.condition)


def test_a_window_is_for_the_side_whose_type_tells_no_range(tmp_path: Path) -> None:
    wide = RANDOM.integers(0, 65536, (12, 8, 8, 4), np.uint16)
    far = RANDOM.random((12, 8, 8)).astype(np.float32) * 80
    folder_of(tmp_path / "a", lambda n: tiff(wide[n]))
    folder_of(tmp_path / "b", lambda n: tiff(far[n]))
    order = np.argsort(order_of(12))
    settings = DataSettings(source=str(tmp_path), direction="left-to-right", held_out=0)
    for window in (None, (0, 100)):
        data = open_data(settings.model_copy(update={"intensity": window}))
        low, high = window or (far.min(), far.max())
        assert data.intensity == pytest.approx((low, high))
        batch = data.gather(torch.arange(12))
        assert batch.condition is not None
        sources, targets = ((x[order] + 1) / 2 for x in (batch.condition, batch.x))
        assert np.allclose(sources, wide.transpose(0, 3, 1, 2) / 65535, atol=1e-6)
        assert np.allclose(targets[:, 0], (far - low) / (high - low), atol=1e-6)


def test_two_sides_of_floats_have_one_window(tmp_path: Path) -> None:
    near, far = (RANDOM.random((12, 8, 8)).astype(np.float32) * top for top in (10, 80))
    folder_of(tmp_path / "a", lambda n: tiff(near[n]))
    folder_of(tmp_path / "b", lambda n: tiff(far[n]))
    data = open_data(DataSettings(source=str(tmp_path), direction="left-to-right", held_out=0))
    low, high = min(near.min(), far.min()), far.max()
    assert data.intensity == pytest.approx((low, high))
    batch = data.gather(torch.arange(12))
    assert batch.condition is not None
    found = (batch.condition[np.argsort(order_of(12)), 0] + 1) / 2
    assert np.allclose(found, (near - low) / (high - low), atol=1e-6)


def test_halves_of_deep_files_keep_their_depth(tmp_path: Path) -> None:
    images = RANDOM.integers(0, 65536, (12, 6, 12), np.uint16)
    source = folder_of(tmp_path, lambda n: encoded(Image.fromarray(images[n])), suffix="png")
    data = open_data(DataSettings(source=str(source), direction="right-to-left", held_out=0))
    batch = data.gather(torch.arange(12))
    assert batch.condition is not None
    order = np.argsort(order_of(12))
    assert np.allclose((batch.x[order, 0] + 1) / 2, images[..., :6] / 65535, atol=1e-6)
    assert np.allclose((batch.condition[order, 0] + 1) / 2, images[..., 6:] / 65535, atol=1e-6)


def test_deep_images_none_of_which_can_be_read_are_refused(tmp_path: Path) -> None:
    values = RANDOM.normal(size=(9, 8)).astype(np.float32)
    folder = folder_of(tmp_path / "torn", lambda n: tiff(values)[:-200], 3)
    with pytest.raises(DataError, match="holds no readable image"):
        opened(folder)


def test_what_an_8_bit_run_is_asked_about_gets_no_range_of_its_own(tmp_path: Path) -> None:
    small = RANDOM.integers(0, 256, (12, 6, 6), np.uint8)
    train = opened(folder_of(tmp_path / "train", lambda n: encoded(small[n]), suffix="png"))
    asked = tmp_path / "asked"
    asked.mkdir()
    (asked / "a.png").write_bytes(encoded(small[0]))
    (asked / "b.png").write_bytes(encoded(small[1].astype(np.uint16) * 257))
    (asked / "c.tif").write_bytes(tiff(small[2].astype(np.float32)))
    settings = DataSettings(source=str(tmp_path / "train"))
    (found,), skipped = open_images([str(asked)], settings, train.domain)
    x = (found.data.gather(torch.arange(2)).x[:, 0] + 1) * 127.5
    assert torch.allclose(x, torch.from_numpy(small[:2]).float(), atol=1e-4)
    ((where, reason),) = skipped
    assert where.endswith("c.tif")
    assert "float32 values, and the other images, or the training images, have 8 bits" in reason
