"""What a file holds comes out of it as it is: types, bands, alpha, pages, all ways of lying."""

import io
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps, PngImagePlugin

from energan.data.images.reading import header_of, read_image
from energan.data.images.values import Unreadable
from energan.data.source import Piece
from support.image_files import deep_png, encoded, smooth, tiff

RANDOM = np.random.default_rng(0)
RGB = {"photometric": "rgb"}
ALPHA, BAND = {"extrasamples": ["unassalpha"]}, {"extrasamples": ["unspecified"]}


def values(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return (RANDOM.random(shape) * 3 - 1).astype(dtype)
    ends = np.iinfo(dtype)
    return RANDOM.integers(ends.min, ends.max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(
    "dtype",
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"],
)
@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 16])
def test_tiffs_of_any_type_and_number_of_bands_come_back(dtype: str, bands: int) -> None:
    pixels = values((5, 7, bands), dtype)
    raw = tiff(pixels[..., 0] if bands == 1 else pixels)
    found = read_image(raw)
    assert found.pixels.dtype == pixels.dtype
    assert np.array_equal(found.pixels, pixels)
    assert found.alpha is None
    header = header_of(raw)
    assert header is not None
    assert (header.size, header.bands, header.deep) == ((7, 5), bands, dtype != "uint8")


@pytest.mark.parametrize("form", ["lzw", "zlib", "packbits", "lzma"])
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_compressed_tiffs_come_back(form: str, bands: int) -> None:
    pixels = values((6, 4, bands), "uint16")
    raw = tiff(pixels[..., 0] if bands == 1 else pixels, compression=form)
    assert np.array_equal(read_image(raw).pixels, pixels)


def test_bands_in_planes_of_their_own_and_the_other_byte_order_come_back() -> None:
    pixels = values((4, 6, 7), "uint16")
    planes = np.moveaxis(pixels, -1, 0)
    raw = tiff(planes, photometric="minisblack", planarconfig="separate", byteorder=">")
    assert np.array_equal(read_image(raw).pixels, pixels)


def test_a_fourth_band_is_alpha_only_where_a_tag_says_so() -> None:
    for dtype in ("uint8", "uint16"):
        pixels = values((4, 6, 4), dtype)
        band = read_image(tiff(pixels, **RGB, **BAND))
        assert np.array_equal(band.pixels, pixels)
        alpha = read_image(tiff(pixels, **RGB, **ALPHA))
        assert np.array_equal(alpha.pixels, pixels[..., :3])
        assert alpha.alpha is not None
        assert np.array_equal(alpha.alpha, pixels[..., 3])


def test_a_tiff_without_a_tag_of_extra_bands_has_four() -> None:
    pixels = values((4, 6, 4), "uint8")
    raw = bytearray(tiff(pixels, **RGB, **BAND))
    at = raw.index((338).to_bytes(2, "little") + (3).to_bytes(2, "little"))
    raw[at : at + 2] = (65000).to_bytes(2, "little")  # a private tag in its place
    assert np.array_equal(read_image(bytes(raw)).pixels, pixels)


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_pngs_of_16_bits_come_back(bands: int) -> None:
    pixels = values((11, 6, bands), "uint16")
    found = read_image(deep_png(pixels))
    opaque = bands - (bands in (2, 4))
    assert np.array_equal(found.pixels, pixels[..., :opaque])
    if bands in (2, 4):
        assert found.alpha is not None
        assert np.array_equal(found.alpha, pixels[..., -1])
    header = header_of(deep_png(pixels))
    assert header is not None
    assert (header.bands, header.deep) == (opaque, True)


def test_pnms_of_16_bits_come_back_and_their_greatest_value_is_white() -> None:
    pixels = values((4, 5, 3), "uint16")
    ppm = b"P6\n# of a camera\n5 4\n65535\n" + pixels.astype(">u2").tobytes()
    assert np.array_equal(read_image(ppm).pixels, pixels)
    grey = np.array([[0, 1000, 4095]], ">u2")
    made = read_image(b"P5 3 1 4095 " + grey.tobytes()).pixels
    assert made.ravel().tolist() == [0, round(1000 * 65535 / 4095), 65535]
    with pytest.raises(Unreadable, match="truncated"):
        read_image(ppm[:-1])


def test_pages_are_told_and_read_one_by_one() -> None:
    pages = values((10, 4, 5), "uint8")
    raw = tiff(pages, photometric="minisblack")
    assert read_image(raw).pages == 10
    for number in (0, 3, 9):
        found = read_image(Piece(raw, page=number))
        assert np.array_equal(found.pixels[..., 0], pages[number])
    deep = tiff(values((3, 4, 5, 2), "float32"), photometric="minisblack", planarconfig="contig")
    assert read_image(deep).pages == 3
    frames = [Image.new("L", (5, 4), n) for n in range(4)]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read_image(gif).pages == 4
    assert (read_image(Piece(gif, page=2)).pixels == 2).all()


def test_smaller_copies_in_a_file_are_no_pages() -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(values((8, 8), "uint8"), photometric="minisblack")
        writer.write(values((4, 4), "uint8"), photometric="minisblack", subfiletype=1)
    assert read_image(file.getvalue()).pages == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_files_are_read_upright(orientation: int) -> None:
    pixels = values((4, 6, 3), "uint16")
    tag = (274, "H", 1, orientation, True)
    deep = read_image(tiff(pixels, **RGB, extratags=[tag]))
    exif = Image.Exif()
    exif[274] = orientation
    small = (pixels >> 8).astype(np.uint8)
    plain = read_image(encoded(Image.fromarray(small), exif=exif))
    assert np.array_equal((deep.pixels >> 8).astype(np.uint8), plain.pixels)
    for raw in (tiff(pixels, **RGB, extratags=[tag]), encoded(Image.fromarray(small), exif=exif)):
        header = header_of(raw)
        assert header is not None
        assert header.size == plain.size == ((6, 4) if orientation < 5 else (4, 6))


def test_halves_are_cut_upright_and_without_the_middle_column() -> None:
    pixels = smooth(6, 9)
    exif = Image.Exif()
    exif[274] = 6
    raw = encoded(pixels)
    left, right = (read_image(Piece(raw, half=half)).pixels for half in (0, 1))
    assert np.array_equal(left, pixels[:, :4])
    assert np.array_equal(right, pixels[:, 5:])
    turned = encoded(Image.fromarray(np.rot90(pixels)), exif=exif)
    assert np.array_equal(read_image(Piece(turned, half=0)).pixels, pixels[:, :4])
    with pytest.raises(Unreadable, match="not a pair"):
        read_image(Piece(encoded(pixels[:, :1]), half=0))


def test_white_is_zero_files_are_turned_round() -> None:
    pixels = values((4, 5), "uint16")
    found = read_image(tiff(pixels, photometric="miniswhite"))
    assert np.array_equal(found.pixels[..., 0], 65535 - pixels)


def test_tiffs_of_webp_are_read_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    pixels = values((64, 64, 3), "uint8")
    raw = tiff(pixels, compression="webp", compressionargs={"lossless": True}, photometric="rgb")
    assert np.array_equal(read_image(raw).pixels, pixels)
    with pytest.raises(Unreadable, match="17 bands"):
        read_image(tiff(values((4, 4, 17), "uint8")))
    assert capfd.readouterr().err == ""


def test_a_torn_header_is_told_as_damage() -> None:
    with pytest.raises(Unreadable, match=r"^it is damaged \("):
        read_image(b"II*\0")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_torn_tiffs_are_unreadable(share: float) -> None:
    raw = tiff(values((40, 40, 5), "uint16"))
    with pytest.raises(Unreadable):
        read_image(raw[: int(len(raw) * share)])


def test_more_than_sixteen_bands_are_refused_in_a_sentence() -> None:
    with pytest.raises(Unreadable, match="17 bands, and at most 16 are read"):
        read_image(tiff(values((4, 4, 17), "uint8")))
    with pytest.raises(Unreadable, match="complex64"):
        read_image(tiff(np.zeros((4, 4), np.complex64)))


def test_single_bits_are_8_bit_black_and_white_and_those_of_several_bands_are_refused() -> None:
    bits = RANDOM.random((5, 7, 4)) > 0.5
    black_is_zero = {"photometric": "minisblack", "planarconfig": "contig"}
    raw = tiff(bits[..., 0], photometric="minisblack")
    assert np.array_equal(read_image(raw).pixels[..., 0], bits[..., 0] * np.uint8(255))
    header = header_of(raw)
    assert header is not None
    assert not header.deep
    with pytest.raises(Unreadable, match="1 bits in 4 bands: save it with 8"):
        read_image(tiff(bits, **black_is_zero))


@pytest.mark.parametrize("where", ["eXIf", "late eXIf", "xmp"])
def test_pngs_lie_as_their_exif_says_wherever_it_stands(where: str) -> None:
    exif = Image.Exif()
    exif[274] = 6
    plain = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    info = PngImagePlugin.PngInfo()
    if where == "xmp":
        info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    out = io.BytesIO()
    plain.save(out, "PNG", pnginfo=info, **({"exif": exif} if where == "eXIf" else {}))
    raw = out.getvalue()
    if where == "late eXIf":
        chunk = b"eXIf" + exif.tobytes()[6:]
        whole = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
        raw = raw[:-12] + whole + raw[-12:]  # before IEND
    with Image.open(io.BytesIO(raw)) as opened:
        right = np.asarray(ImageOps.exif_transpose(opened))
    assert right.shape == (4, 6, 3)
    np.testing.assert_array_equal(read_image(raw).pixels, right)
    header = header_of(raw)
    assert header is not None
    assert header.size == (6, 4)
