"""HEIC, DICOM, NIfTI and .npy: written by their libraries, read to the same numbers, and told."""

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from energan.core import DataError
from energan.data import DataSet, DataSettings, open_data
from energan.data.images.reading import header_of, read_image
from energan.data.images.values import RawImage, Unreadable
from energan.data.source import Piece
from energan.data.sources.splits import fixed_order
from support.image_files import smooth

RANDOM = np.random.default_rng(0)
heif = pytest.importorskip("pillow_heif")
nibabel = pytest.importorskip("nibabel")
pydicom = pytest.importorskip("pydicom")


def heic(pixels: np.ndarray, *, quality: int = -1) -> bytes:
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[1 if pixels.ndim == 2 else pixels.shape[2]]
    mode += ";16" * (pixels.dtype == np.uint16)
    file = heif.from_bytes(mode, pixels.shape[1::-1], pixels.tobytes())
    out = io.BytesIO()
    file.save(out, quality=quality, chroma=444, matrix_coefficients=0)
    return out.getvalue()


def dicom(pixels: np.ndarray, **tags: object) -> bytes:
    """pixels: (H, W), (H, W, 3), or (F, H, W) with NumberOfFrames."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    found.PatientName = "Doe^Jane"
    colour = pixels.ndim == 3 and "NumberOfFrames" not in tags
    height, width = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    found.Rows, found.Columns = height, width
    found.SamplesPerPixel = 3 if colour else 1
    if colour:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    bits = 8 * pixels.itemsize
    found.BitsAllocated, found.BitsStored, found.HighBit = bits, bits, bits - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(found, name, value)
    found.HighBit = found.BitsStored - 1
    out = io.BytesIO()
    pydicom.dcmwrite(out, found, enforce_file_format=True)
    return out.getvalue()


def nifti(values: np.ndarray, kind: str = "Nifti1Image", **scale: float) -> bytes:
    image = getattr(nibabel, kind)(values, np.eye(4), dtype=values.dtype)
    if scale:
        image.header.set_slope_inter(**scale)
    return image.to_bytes()


def npy(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, values)
    return out.getvalue()


def pixels_of(raw: bytes, page: int | None = None) -> np.ndarray:
    """Of the image, whose header must tell the same without decoding."""
    piece = Piece(raw, page)
    found, header = read_image(piece), header_of(piece)
    assert header is not None
    assert header.size == found.size
    assert header.bands == found.bands
    assert header.deep == (found.pixels.dtype != np.uint8)
    return found.pixels


def folder_of(path: Path, files: list[bytes], suffix: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for number, raw in enumerate(files):
        (path / f"{number:03}.{suffix}").write_bytes(raw)
    return path


def opened(source: Path, **settings: object) -> DataSet:
    given = {"held_out": 0, "range": "unit", **settings}
    return open_data(DataSettings(source=str(source), **given))  # type: ignore[arg-type]


def in_order(data: DataSet) -> np.ndarray:
    x = data.gather(torch.arange(len(data))).x.numpy()
    return x[np.argsort(fixed_order(len(data)).numpy())]


def facts(data: DataSet, subject: str) -> list[str]:
    return [fact.text for fact in data.facts if fact.subject == subject]


# --- HEIC -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 3])
def test_heic_is_read_as_it_was_written(bands: int) -> None:
    pixels = smooth(32, 48, bands)
    found = pixels_of(heic(pixels[..., 0] if bands == 1 else pixels))
    assert found.shape[:2] == (32, 48)
    assert np.abs(found.astype(int) - pixels).max() <= 2


def test_alpha_of_heic_is_no_band() -> None:
    pixels = np.dstack([smooth(16, 16, 3), np.full((16, 16), 255, np.uint8)])
    pixels[:8, :, 3] = 0
    found = read_image(heic(pixels))
    assert found.bands == 3
    assert found.alpha is not None
    assert found.alpha[0, 0] == 0
    assert found.alpha[-1, 0] == 255


def test_ten_bits_of_heic_are_kept() -> None:
    pixels = np.repeat((np.arange(1024, dtype=np.uint16) << 6).reshape(32, 32, 1), 3, 2)
    found = pixels_of(heic(pixels))
    assert found.dtype == np.uint16
    assert len(np.unique(found)) > 512


# --- DICOM ----------------------------------------------------------------------------------------


def test_dicom_of_8_bits_and_colour() -> None:
    grey, colour = smooth(9, 7, 1)[..., 0], smooth(9, 7, 3)
    np.testing.assert_array_equal(pixels_of(dicom(grey))[..., 0], grey)
    np.testing.assert_array_equal(pixels_of(dicom(colour)), colour)


def test_slope_and_intercept_give_what_was_measured() -> None:
    stored = RANDOM.integers(0, 4096, (8, 8), np.uint16)
    raw = dicom(stored, BitsStored=12, RescaleSlope=1, RescaleIntercept=-1024)
    found = pixels_of(raw)
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found[..., 0], stored.astype(int) - 1024)
    assert "rescaled" in read_image(raw).told[0]
    fine = pixels_of(dicom(stored, BitsStored=12, RescaleSlope=0.5, RescaleIntercept=0))
    assert fine.dtype == np.float32
    np.testing.assert_array_equal(fine[..., 0], stored / 2)


def test_the_type_is_that_of_all_that_could_be_stored() -> None:
    low = np.zeros((4, 4), np.uint16)
    assert pixels_of(dicom(low, BitsStored=12)).dtype == np.uint16
    assert pixels_of(dicom(low, RescaleSlope=1, RescaleIntercept=-1024)).dtype == np.int32
    assert pixels_of(dicom(low, BitsStored=8)).dtype == np.uint8


def test_monochrome1_is_inverted_within_the_bits_that_are_stored() -> None:
    stored = RANDOM.integers(0, 4096, (8, 8), np.uint16)
    raw = dicom(stored, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(pixels_of(raw)[..., 0], 4095 - stored)
    signed = RANDOM.integers(-2048, 2048, (8, 8)).astype(np.int16)
    raw = dicom(signed, BitsStored=12, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(pixels_of(raw)[..., 0], -1 - signed)
    assert "MONOCHROME1" in read_image(raw).told[0]


def test_frames_are_pages() -> None:
    frames = RANDOM.integers(0, 256, (5, 6, 7), np.uint8)
    raw = dicom(frames, NumberOfFrames=5)
    assert read_image(raw).pages == 5
    for number in range(5):
        np.testing.assert_array_equal(pixels_of(raw, number)[..., 0], frames[number])


@pytest.mark.parametrize("kind", ["RLELossless"])
def test_packed_pixels_are_read(kind: str) -> None:
    stored = RANDOM.integers(0, 4096, (8, 8), np.uint16)
    found = pydicom.dcmread(io.BytesIO(dicom(stored)))
    found.compress(getattr(pydicom.uid, kind))
    out = io.BytesIO()
    found.save_as(out)
    np.testing.assert_array_equal(pixels_of(out.getvalue())[..., 0], stored)


def test_packings_without_a_library_are_named_and_no_patient_is() -> None:
    found = pydicom.dcmread(io.BytesIO(dicom(np.zeros((8, 8), np.uint8))))
    found.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLSLossless
    found.PixelData = pydicom.encaps.encapsulate([b"\0" * 20])
    found["PixelData"].is_undefined_length = True
    out = io.BytesIO()
    found.save_as(out)
    with pytest.raises(Unreadable, match="packed as JPEG-LS Lossless") as error:
        read_image(out.getvalue())
    assert "\n" not in str(error.value)
    assert "Doe" not in str(error.value)


def test_dicom_without_an_image() -> None:
    found = pydicom.dcmread(io.BytesIO(dicom(np.zeros((8, 8), np.uint8))))
    del found.PixelData, found.Rows
    out = io.BytesIO()
    found.save_as(out)
    with pytest.raises(Unreadable, match="DICOM without an image"):
        read_image(out.getvalue())


def test_ct_is_windowed_as_asked_and_refused_unasked(tmp_path: Path) -> None:
    slices = [RANDOM.integers(0, 4096, (8, 8), np.uint16) for _ in range(12)]
    slices[3][0, 0] = 0
    files = [dicom(s, BitsStored=12, RescaleSlope=1, RescaleIntercept=-1024) for s in slices]
    folder = folder_of(tmp_path / "ct", files, "dcm")
    with pytest.raises(DataError, match=r"no place for values below 0: set --data.intens"):
        opened(folder)
    data = opened(folder, intensity=(-160.0, 240.0))
    wanted = ((np.stack(slices)[:, None].astype(float) - 1024 + 160) / 400).clip(0, 1)
    np.testing.assert_allclose(in_order(data), wanted, atol=1e-5)
    assert any("are clipped" in text for text in facts(data, "intensity"))
    assert facts(data, "rescaled")


def test_the_bits_that_are_stored_are_the_range(tmp_path: Path) -> None:
    films = [RANDOM.integers(0, 4096, (8, 8), np.uint16) for _ in range(12)]
    folder = folder_of(tmp_path / "xray", [dicom(x, BitsStored=12) for x in films], "dcm")
    data = opened(folder)
    np.testing.assert_allclose(in_order(data)[:, 0], np.stack(films) / 4095, atol=1e-5)
    (text,) = facts(data, "intensity")
    assert text.startswith("12-bit uint16 values from ")
    assert text.endswith("; 0 to 4,095 of 12-bit uint16 become the range")
    assert not any(fact.warning for fact in data.facts)
    data = opened(folder, crop=(1, 0, 8, 7))
    wanted = np.stack(films)[:, :7, 1:] / 4095
    np.testing.assert_allclose(in_order(data)[:, 0], wanted, atol=1e-5)
    data = opened(folder, intensity=(1000.0, 2000.0))
    wanted = ((np.stack(films) - 1000.0) / 1000).clip(0, 1)
    np.testing.assert_allclose(in_order(data)[:, 0], wanted, atol=1e-5)


# --- NIfTI ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Nifti1Image", "Nifti2Image"])
@pytest.mark.parametrize("packed", [False, True])
def test_slices_along_the_last_axis_are_pages(kind: str, packed: bool) -> None:
    volume = RANDOM.integers(0, 4000, (6, 7, 5)).astype(np.int16)
    raw = nifti(volume, kind)
    raw = gzip.compress(raw) if packed else raw
    assert read_image(raw).pages == 5
    for number in range(5):
        found = pixels_of(raw, number)
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found[..., 0], volume[..., number])
    assert "last axis" in read_image(raw).told[0]


def test_times_go_over_all_slices_again() -> None:
    volume = RANDOM.random((6, 7, 3, 2)).astype(np.float32)
    raw = nifti(volume)
    assert read_image(raw).pages == 6
    np.testing.assert_array_equal(pixels_of(raw, 4)[..., 0], volume[:, :, 1, 1])


def test_values_are_scaled_as_the_header_says() -> None:
    volume = RANDOM.integers(0, 100, (4, 4, 2)).astype(np.int16)
    raw = nifti(volume, slope=0.5, inter=-3)
    assert pixels_of(raw).dtype == np.float32
    np.testing.assert_allclose(pixels_of(raw, 1)[..., 0], volume[..., 1] * 0.5 - 3)


def test_a_packed_volume_that_is_cut_short_or_no_volume() -> None:
    raw = gzip.compress(nifti(RANDOM.random((16, 16, 9)).astype(np.float32)))
    with pytest.raises(Unreadable, match=r"truncated|claims"):
        read_image(raw[: len(raw) // 2])
    with pytest.raises(Unreadable):
        read_image(nifti(RANDOM.random((16, 16, 9)).astype(np.float32))[:900])
    with pytest.raises(Unreadable, match="empty, or not an image"):
        read_image(gzip.compress(b"hello"))


def test_all_slices_of_a_folder(tmp_path: Path) -> None:
    volumes = RANDOM.random((4, 8, 8, 5)).astype(np.float32) * 3 - 1
    files = [gzip.compress(nifti(volume)) for volume in volumes]
    folder = folder_of(tmp_path / "scans", files, "nii.gz")
    first = opened(folder)
    assert len(first) == 4
    assert facts(first, "pages") == [
        "first of 5 pages in 4 files; to read all pages: --data.pages all"
    ]
    data = opened(folder, pages="all")
    assert len(data) == 20
    wanted = (volumes - volumes.min()) / (volumes.max() - volumes.min())
    found = in_files(data, 4, 5)
    np.testing.assert_allclose(found, wanted.transpose(0, 3, 1, 2), atol=1e-6)


def in_files(data: DataSet, files: int, pages: int) -> np.ndarray:
    x = data.gather(torch.arange(len(data))).x.numpy()[:, 0]
    order = np.argsort(fixed_order(files).numpy())
    return x.reshape(files, pages, *x.shape[1:])[order]


def test_slices_of_a_volume_are_held_out_together(tmp_path: Path) -> None:
    volumes = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 5), np.uint8)
    folder = folder_of(tmp_path / "scans", [nifti(volume) for volume in volumes], "nii")
    data = opened(folder, pages="all", held_out=7)
    assert data.held_out is not None
    assert len(data.held_out) == 10
    kinds = [set(part.gather(torch.arange(len(part))).x.unique().tolist())
             for part in (data, data.held_out)]  # fmt: skip
    assert len(kinds[1]) == 2
    assert not kinds[0] & kinds[1]
    with pytest.raises(DataError, match="examples of one file stay together"):
        opened(folder, pages="all", held_out=26)


# --- .npy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis", "told"),
    [
        ((20, 30), None, "(H, W), grey"),
        ((20, 30, 3), None, "(H, W, C) of 3 bands"),
        ((3, 20, 30), 0, "(C, H, W) of 3 bands"),
        ((20, 30, 7), None, "(H, W, C) of 7 bands"),
        ((13, 20, 30), 0, "(C, H, W) of 13 bands"),
        ((2, 30, 1), None, "(H, W, C) of 1 bands"),
    ],
)
def test_arrays_that_are_one_image(shape: tuple[int, ...], axis: int | None, told: str) -> None:
    values = RANDOM.random(shape).astype(np.float32)
    found = read_image(npy(values))
    wanted = values[..., None] if len(shape) == 2 else values
    wanted = wanted if axis is None else np.moveaxis(wanted, axis, -1)
    np.testing.assert_array_equal(found.pixels, wanted)
    assert found.told == (f"arrays: {told}",)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.zeros((3, 40, 3), np.uint8), "both ends could be the bands"),
        (np.zeros((40, 40, 40), np.uint8), "neither end could be the bands"),
        (np.zeros((1, 2, 3, 4), np.uint8), "an image is"),
        (np.zeros((0, 4), np.uint8), "an image is"),
        (np.zeros((4, 4), complex), "complex128 values"),
        (np.array([["a"]]), "holds str"),
    ],
)
def test_arrays_that_are_none(values: np.ndarray, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        read_image(npy(values))


def test_an_array_that_claims_more_than_is_there() -> None:
    raw = npy(np.zeros((10, 10), np.uint8)).replace(b"(10, 10)", b"(9999999999, 10)")
    with pytest.raises(Unreadable):
        read_image(raw[:128] + raw[-100:])


# --- what holds for all ---------------------------------------------------------------------------

WRITERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "heic": lambda x: heic(np.ascontiguousarray(x)),
    "dcm": lambda x: dicom(np.ascontiguousarray(x)),
    "nii": lambda x: nifti(np.ascontiguousarray(x[..., 0])),
}


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("storage", ["memory", "cache"])
def test_classes_a_damaged_file_and_the_cache(suffix: str, storage: str, tmp_path: Path) -> None:
    images = [smooth(16, 16, 3) for _ in range(8)]
    for name, part in (("cat", images[:4]), ("dog", images[4:])):
        folder_of(tmp_path / "set" / name, [WRITERS[suffix](x) for x in part], suffix)
    (tmp_path / "set" / "dog" / f"torn.{suffix}").write_bytes(WRITERS[suffix](images[0])[:500])
    data = opened(tmp_path / "set", storage=storage)
    assert data.class_names == ("cat", "dog")
    assert data.labels is not None
    assert sorted(data.labels.tolist()) == [0] * 4 + [1] * 4
    assert [where for where, _ in data.skipped] == [f"dog/torn.{suffix}"]
    assert len(data) == 8


@pytest.mark.parametrize(
    ("suffix", "package"), [("heic", "pillow_heif"), ("dcm", "pydicom"), ("nii", "nibabel")]
)
def test_a_library_that_is_not_installed_is_named(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [WRITERS[suffix](smooth(16, 17, 3)) for _ in range(2)]
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"heic": "heic", "dcm": "dicom", "nii": "nifti"}[suffix]
    with pytest.raises(DataError, match=rf"pip install 'energan\[{extra}\]'"):
        opened(folder_of(tmp_path / "set", files, suffix))


def test_halves_of_pages_are_cut() -> None:
    assert isinstance(read_image(Piece(np.zeros((4, 6, 1), np.uint8), half=0)), RawImage)
    assert read_image(Piece(np.zeros((4, 6, 1), np.uint8), half=0)).size == (3, 4)
