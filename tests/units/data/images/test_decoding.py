import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from energan.data.images import decoding, reading
from energan.data.images.decoding import Decoding, decode, prepare_array
from energan.data.images.reading import size_of
from energan.data.images.survey import resolve_channels
from energan.data.images.values import RawImage, Unreadable
from energan.data.settings import DataSettings
from energan.data.source import Part, Source
from energan.io import pictures
from support.image_files import encoded, huge_png, noise, smooth

COLOUR, GREY = Decoding(channels="colour"), Decoding(channels="grey")
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def chw(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(2, 0, 1)


@given(st.integers(1, 60), st.integers(1, 60))
@settings(deadline=None, max_examples=30)
def test_lossless_files_come_back_whatever_their_size(height: int, width: int) -> None:
    pixels = smooth(height, width)
    for form in ("PNG", "BMP", "TIFF", "PPM"):
        assert np.array_equal(decode(encoded(pixels, form), COLOUR), chw(pixels))


def test_transparency_lies_on_white() -> None:
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[..., 0], pixels[:2, :, 3], pixels[2, :, 3] = 255, 255, 128
    made = decode(encoded(pixels), COLOUR)
    assert (chw(pixels)[:3, :2] == made[:, :2]).all()
    assert np.abs(made[:, 2].astype(int) - [[255], [127], [127]]).max() <= 1
    assert (made[:, 3] == 255).all()
    grey = Image.fromarray(np.stack([np.zeros((4, 4)), pixels[..., 3]], -1).astype(np.uint8), "LA")
    made = decode(encoded(grey), GREY)
    assert made[0, :, 0].tolist() == [0, 0, 127, 255]


@pytest.mark.parametrize("transparent", [0, b"\x00\xff", None])
def test_palettes_with_and_without_transparency(transparent: int | bytes | None) -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 255, 0] + [0] * 762)
    image.putpixel((0, 0), 1)
    options = {} if transparent is None else {"transparency": transparent}
    made = decode(encoded(image, **options), COLOUR)
    assert made[:, 0, 0].tolist() == [0, 255, 0]
    assert made[:, 1, 1].tolist() == ([255, 0, 0] if transparent is None else [255, 255, 255])


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_inks_become_light(form: str) -> None:
    image = Image.fromarray(smooth(16, 16)).convert("CMYK")
    made = decode(encoded(image, form), COLOUR).astype(int)
    assert np.abs(made - chw(np.asarray(image.convert("RGB")))).mean() < 8


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bits_are_scaled_not_clipped(form: str) -> None:
    deep = encoded(RAMP.astype(np.uint16) * 257, form)
    assert np.array_equal(decode(deep, GREY)[0], RAMP)
    assert np.array_equal(decode(deep, COLOUR), np.stack([RAMP] * 3))
    dark = encoded(np.full((4, 4), 200, np.uint16), form)
    assert decode(dark, GREY).max() == 1  # 200 of 65,535


def test_floats_from_0_to_1_and_single_bits_fill_the_range() -> None:
    whole = Decoding(channels="grey", intensity=(0, 1))
    made = decode(encoded(RAMP.astype(np.float32) / 255, "TIFF"), whole)
    assert np.array_equal(made[0], RAMP)
    bits = RAMP % 3 == 0
    assert np.array_equal(decode(encoded(bits), GREY)[0], bits * 255)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    raw = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(raw, COLOUR)[:, 0, 0].tolist() == [255, 0, 0]


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_images_are_turned_upright_before_the_crop(orientation: int) -> None:
    pixels = smooth(20, 30)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    raw = encoded(image, exif=exif)
    upright = chw(TURNS[orientation](pixels))
    assert np.array_equal(decode(raw, COLOUR), upright)
    cropped = decode(raw, Decoding(crop=(2, 3, 12, 10), channels="colour"))
    assert np.array_equal(cropped, upright[:, 3:10, 2:12])


@given(
    st.integers(1, 80), st.integers(1, 80), st.integers(1, 48), st.sampled_from(["crop", "stretch"])
)
@settings(deadline=None, max_examples=40)
def test_every_size_becomes_the_asked_one(height: int, width: int, size: int, fit: str) -> None:
    how = Decoding(size=size, fit=fit, channels="colour")  # type: ignore[arg-type]
    for form in ("PNG", "JPEG"):
        made = decode(encoded(smooth(height, width), form), how)
        assert made.shape == (3, size, size)
        assert made.flags.c_contiguous


def test_crop_takes_the_middle_and_stretch_takes_all() -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, :10, 0], pixels[:, 10:20, 1], pixels[:, 20:, 2] = 255, 255, 255
    cut = decode(encoded(pixels), Decoding(size=10, channels="colour"))
    assert (cut == np.array([0, 255, 0])[:, None, None]).all()
    whole = decode(encoded(pixels), Decoding(size=9, fit="stretch", channels="colour"))
    assert whole[:, 4, [1, 4, 7]].T.argmax(-1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [(24, 9), (10, 30), (31, 40), (8, 8)])
@pytest.mark.parametrize("shape", [(17, 40), (40, 17), (20, 20)])
def test_a_rectangle_is_what_pillow_makes_of_it(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    image = Image.fromarray(smooth(*shape))
    lanczos = Image.Resampling.LANCZOS
    known = {
        "crop": ImageOps.fit(image, size, lanczos),
        "stretch": image.resize(size, lanczos),
        "pad": ImageOps.contain(image, size, lanczos),
    }
    for fit in ("crop", "stretch", "pad"):
        how = Decoding(size=size, fit=fit, channels="colour")  # type: ignore[arg-type]
        made = decode(encoded(np.asarray(image)), how)
        assert made.shape == (3, size[1], size[0])
        right = chw(np.asarray(known[fit]))
        top, left = ((a - b) // 2 for a, b in zip(made.shape[1:], right.shape[1:], strict=True))
        inner = made[:, top : top + right.shape[1], left : left + right.shape[2]]
        assert np.array_equal(inner, right)
        assert made.sum() == inner.sum()


def test_a_square_is_cached_under_the_key_that_it_always_had() -> None:
    assert Decoding(size=64).key() == {"crop": None, "size": 64, "fit": "crop", "channels": "auto"}
    assert DataSettings.model_validate({"size": [64, 64]}).size == 64
    assert DataSettings.model_validate({"size": [64, 32]}).decoding.key()["size"] == (64, 32)


def test_resizing_is_antialiased() -> None:
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    made = decode(encoded(board), Decoding(size=64, channels="grey"))
    assert np.abs(made.astype(int) - 127).max() <= 3  # every eighth pixel would be black or white


def test_a_jpeg_drawn_coarsely_is_close_to_one_drawn_fully() -> None:
    large = np.asarray(Image.fromarray(noise(1, 40, 40)[0]).resize((1280, 1280)))
    exact = Image.fromarray(large).resize((64, 64), Image.Resampling.LANCZOS)
    raw = encoded(large, "JPEG", quality=97, subsampling=0)
    made = decode(raw, Decoding(size=64, channels="colour"))
    assert np.abs(made.astype(int) - chw(np.asarray(exact))).mean() < 1.5


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM"])
def test_truncated_files_are_unreadable(form: str) -> None:
    raw = encoded(noise(1, 40, 40)[0], form)
    for how in (COLOUR, Decoding(size=8, channels="colour")):
        decode(raw, how)
        with pytest.raises(Unreadable):
            decode(raw[: len(raw) * 2 // 3], how)


@pytest.mark.parametrize("side", [12_000, 60_000])
def test_a_decompression_bomb_is_unreadable(side: int) -> None:
    with pytest.raises(Unreadable, match="pixels"):
        decode(huge_png(side), COLOUR)


@pytest.mark.parametrize("raw", [b"", bytes(99), b"hello", b"\xff\xd8\xff", b"GIF89a", b"<svg/>"])
def test_what_is_no_image_is_told_the_same_way_every_time(raw: bytes) -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(Unreadable) as caught:
            decode(raw, COLOUR)
        said.add(str(caught.value))
    assert len(said) == 1


@given(
    st.binary(max_size=99), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF"]), st.floats(0, 1)
)
@settings(deadline=None)
def test_altered_files_decode_or_are_unreadable(junk: bytes, form: str, where: float) -> None:
    raw = encoded(smooth(9, 9), form)
    at = int(where * len(raw))
    try:
        made = decode(raw[:at] + junk + raw[at + len(junk) :], Decoding(size=6, channels="colour"))
    except Unreadable:
        return
    assert made.shape == (3, 6, 6)


def test_a_crop_outside_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="9x9 pixels do not contain"):
        decode(encoded(smooth(9, 9)), Decoding(crop=(0, 0, 10, 5), channels="colour"))


def test_threads_that_decode_leave_the_warnings_filters_alone() -> None:
    raws, before = [encoded(p, "JPEG") for p in noise(200, 32, 32)], list(warnings.filters)

    def work() -> None:
        for raw in raws:
            decode(raw, COLOUR)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before


@pytest.mark.parametrize("channels", ["grey", "colour", "auto"])
def test_arrays_are_prepared_as_files_are(channels: str) -> None:
    images = noise(5, 20, 14)
    how = Decoding((1, 2, 13, 18), 7, channels=channels)  # type: ignore[arg-type]
    made = prepare_array(images.transpose(0, 3, 1, 2), how, "test")
    resolved = COLOUR.channels if channels == "auto" else how.channels
    alike = Decoding(how.crop, how.size, channels=resolved)
    assert np.array_equal(made, np.stack([decode(encoded(image), alike) for image in images]))


def source(raws: list[bytes | None]) -> Source:
    parts = tuple(Part(i, 1, lambda i=i: [raws[i]]) for i in range(len(raws)))  # type: ignore[misc]
    return Source("test", parts=parts)


def test_one_image_in_colour_makes_all_of_them_colour() -> None:
    grey, colour = encoded(RAMP), encoded(smooth(4, 4))
    flat = Image.new("P", (2, 2))
    flat.putpalette([v for v in range(256) for _ in range(3)])
    assert (
        resolve_channels(source([grey, None, b"torn", encoded(flat)]), Decoding()).channels
        == "grey"
    )
    assert resolve_channels(source([grey] * 70 + [colour]), Decoding()).channels == "colour"
    assert resolve_channels(source([encoded(Image.new("P", (2, 2), 0)), colour]), GREY) == GREY
    assert resolve_channels(source([]), Decoding()).channels == "grey"


def test_the_size_is_told_by_the_header() -> None:
    assert size_of(encoded(smooth(3, 5))) == (5, 3)
    assert size_of(b"hello") is None


def test_decoded_images_fit_a_tensor() -> None:
    made = torch.from_numpy(decode(encoded(smooth(3, 5)), COLOUR))
    assert made.shape == (3, 3, 5)


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0

    def watched(raw: bytes, side: int | None) -> RawImage:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)
        inside -= 1
        return RawImage(smooth(4, 4))

    monkeypatch.setattr(decoding, "read_image", watched)
    raw = encoded(smooth(40, 40))
    for large, side_by_side in ((1600, 1), (1601, 2)):
        monkeypatch.setattr(decoding, "LARGE", large)
        monkeypatch.setattr(decoding, "LARGE_FILE", 0)
        inside = most = 0
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: decode(raw, COLOUR), range(8)))
        assert (most == 1) == (side_by_side == 1)


def test_a_large_image_becomes_what_pillow_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied some rows at a time, transparent or not."""
    pixels = np.dstack([smooth(60, 50), smooth(60, 50)[..., 0]])
    image = Image.fromarray(pixels)
    white = Image.new("RGBA", image.size, "white")
    laid = Image.alpha_composite(white, image).convert("RGB")
    expected = chw(np.asarray(laid.resize((20, 20), Image.Resampling.LANCZOS, (0, 5, 50, 55),
                                          reducing_gap=3.0)))  # fmt: skip
    for module in (decoding, reading, pictures):
        monkeypatch.setattr(module, "STRIP", 350)
    how = Decoding(size=20, channels="colour")
    assert np.array_equal(decode(encoded(image), how), expected)
    assert np.array_equal(decode(encoded(laid), how), expected)
