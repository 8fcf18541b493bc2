"""judge.py on its own: what it makes of an image file is what energan makes of it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from energan.anomaly.calibration import Calibration, Network, calibrate
from energan.core import Domain
from energan.data.images.decoding import Decoding, decode
from energan.data.inference import open_images
from energan.data.settings import DataSettings
from energan.exporters import judge, verdict
from energan.exporters.judge import BadImage, Judge, JudgeError, Preparation
from support.judge_files import readable, unreadable

FILES = readable()
PLAIN = Preparation(
    shape=(1, 16, 16), crop=None, background=(255, 255, 255), intensity=None, channels=1,
    size=(16, 16), fit="crop", pad=None, window=None, deep=False,
)  # fmt: skip
CHANNELS = {1: "grey", 3: "colour"}


def decoding(how: Preparation, background: str = "white") -> Decoding:
    size = None if how.size is None else (how.size[0], how.size[1])
    return Decoding(
        how.crop, size, how.fit, CHANNELS[how.channels], background, how.intensity
    )  # fmt: skip


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("name", FILES)
def test_pixels_are_those_that_energan_decodes(name: str, fit: str, channels: int) -> None:
    how = replace(PLAIN, shape=(channels, 16, 16), channels=channels, fit=fit)
    found = how.prepare(FILES[name])
    assert found.dtype == np.uint8
    assert np.array_equal(found, decode(FILES[name], decoding(how)))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("name", ["wide.png", "high.jpg", "large.jpg", "small.png"])
@pytest.mark.parametrize("size", [(24, 10), (9, 31)])
def test_rectangles(size: tuple[int, int], name: str, fit: str) -> None:
    how = replace(PLAIN, shape=(1, *size[::-1]), size=size, fit=fit)
    assert np.array_equal(how.prepare(FILES[name]), decode(FILES[name], decoding(how)))


@pytest.mark.parametrize("name", ["alpha.png", "grey-alpha.png", "palette-clear.png",
                                  "deep-alpha.png", "deep-grey-alpha.png"])  # fmt: skip
@pytest.mark.parametrize("channels", CHANNELS)
def test_transparent_parts_lie_on_the_background(name: str, channels: int) -> None:
    how = replace(PLAIN, shape=(channels, 16, 16), channels=channels, background=(9, 99, 199))
    made = decode(FILES[name], decoding(how, "#0963c7"))
    assert np.array_equal(how.prepare(FILES[name]), made)


@pytest.mark.parametrize("name", ["wide.png", "turned-6.jpg", "deep-colour.png", "large.jpg"])
def test_crops_and_windows_of_intensity(name: str) -> None:
    how = replace(PLAIN, crop=(2, 3, 21, 20), intensity=(20.0, 180.0))
    assert np.array_equal(how.prepare(FILES[name]), decode(FILES[name], decoding(how)))
    with pytest.raises(BadImage, match="do not contain the crop box"):
        replace(how, crop=(0, 0, 3000, 3)).prepare(FILES[name])


@pytest.mark.parametrize("name", unreadable())
def test_what_it_does_not_read_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(BadImage, match=r"^[^\n]{8,}$"):
        PLAIN.prepare(unreadable()[name])


def test_images_that_need_no_size_keep_theirs_or_are_refused() -> None:
    how = replace(PLAIN, size=None)
    kept = how.prepare(FILES["as-it-is.png"])
    assert np.array_equal(kept, decode(FILES["as-it-is.png"], decoding(how)))
    with pytest.raises(BadImage, match="67x41 pixels, not 16x16"):
        how.prepare(FILES["wide.png"])


CASES: list[dict[str, Any]] = [
    {"size": 20},
    {"size": 20, "pad": 25},
    {"size": 20, "pad": 25, "random_crop": 17},
    {"size": 20, "fit": "pad", "channels": "colour", "range": "unit"},
]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("intensity", [None, (300.0, 50_000.0), (-5.0, 99_000.0)])
@pytest.mark.parametrize("case", CASES)
def test_what_the_network_takes_is_what_a_run_would_give_it(
    case: dict[str, Any], intensity: tuple[float, float] | None, depth: int, tmp_path: Path
) -> None:
    """Deep images and others, together and alone, through the range that is in energy.onnx."""
    settings = DataSettings(**case, intensity=intensity)
    side = settings.random_crop or settings.pad or settings.size
    assert side is not None
    channels = 3 if settings.channels == "colour" else 1
    low, high = settings.bounds
    domain = Domain((channels, side, side), low, high, depth=depth)
    how = Preparation(
        shape=domain.shape, crop=None, background=(255, 255, 255), intensity=intensity,
        channels=channels, size=(20, 20), fit=settings.fit, pad=settings.pad,
        window=settings.random_crop, deep=depth > 8 or intensity is not None,
    )  # fmt: skip
    wanted = [name for name in FILES if name.startswith(("deep", "wide", "alpha"))]
    for chosen in (wanted, ["wide.png"]):
        for name in chosen:
            (tmp_path / name).write_bytes(FILES[name])
        files = [tmp_path / name for name in chosen]
        (group,), skipped = open_images([str(file) for file in files], settings, domain)
        assert not skipped
        x = group.data.gather(torch.arange(len(files))).x
        kind = how.depth_of(files)
        pixels = np.stack([how.prepare(file.read_bytes(), kind) for file in files])
        assert pixels.dtype == (np.float32 if how.deep else np.uint8)
        most = 1 if how.deep else 255
        made = torch.from_numpy(pixels).float() / (most / (high - low)) + low
        torch.testing.assert_close(made, x, rtol=0, atol=3e-7)


def test_folders_are_read_as_energan_reads_them(tmp_path: Path) -> None:
    from energan.data.sources.tree import SUFFIXES, SYSTEM, find_images
    from support.image_files import odd_folder

    folder = odd_folder(tmp_path / "odd")
    (folder / "below").mkdir()
    (folder / "below" / "a.png").write_bytes(FILES["one.png"])
    (folder / "scan.nii.gz").write_bytes(b"")
    (named,) = judge._groups([folder])
    assert [path for _, path in named] == find_images(folder)
    assert judge.SUFFIXES | judge.ELSEWHERE == SUFFIXES
    assert judge.SYSTEM == SYSTEM


@pytest.mark.parametrize("text", ["plain é 日本.png", "a\nb\x1b[1m.png", "latin-\udce9.png"])
def test_names_are_written_as_energan_writes_them(text: str) -> None:
    from energan.errors import printable

    assert judge.printable(text) == printable(text)


def test_a_file_that_is_gone_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(BadImage, match="cannot be opened"):
        judge._read_file(tmp_path / "gone.png")
    with pytest.raises(BadImage, match="heic"):
        judge._read_file(tmp_path / "photo.HEIC")


# --- the folder -----------------------------------------------------------------------------------


def stand_in(folder: Path, kept: Calibration, rounding: float = 0.0) -> Judge:
    """A judge by a calibration, whose network is never run."""
    folder.mkdir(exist_ok=True)
    (folder / "energy.onnx").write_bytes(onnx_of_nothing())
    rule = verdict._rule(kept)
    about = {
        "format": 1, **rule, "rounding": rounding, "heatmap": None,
        "preparation": vars(PLAIN), "calibration": rule["calibration"],
        "network": {"file": "energy.onnx", "sha256": hashlib.sha256(onnx_of_nothing()).hexdigest()},
    }  # fmt: skip
    (folder / "verdict.json").write_text(verdict._as_text(about))
    return Judge(folder)


def onnx_of_nothing() -> bytes:
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "nothing", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString()


@pytest.mark.parametrize("grouped", [False, True])
def test_verdicts_are_those_of_a_calibration(grouped: bool, tmp_path: Path) -> None:
    draws = torch.Generator().manual_seed(3)
    normal = torch.randn(200, generator=draws)
    groups = torch.randint(40, (200,), generator=draws) if grouped else None
    kept = calibrate(normal, 0.1, Network(1, "0", "raw"), "given", "x", "0", groups)
    energy = torch.cat([torch.randn(500), normal, torch.tensor([torch.nan, torch.inf, -torch.inf])])
    expected = kept.scores(energy)
    percentile, anomalous = stand_in(tmp_path, kept).verdicts(energy.double().numpy())
    np.testing.assert_allclose(percentile, expected.percentile.numpy(), rtol=1e-12)
    assert np.array_equal(anomalous, expected.anomalous.numpy())


def test_rounding_does_not_move_what_was_calibrated_on(tmp_path: Path) -> None:
    energies = torch.tensor([1.0, 2.0, 3.0, 4.0])
    kept = calibrate(energies, 0.5, Network(1, "0", "raw"), "given", "x", "0")
    judged = stand_in(tmp_path, replace(kept, threshold=2.0), rounding=1e-5)
    percentile, anomalous = judged.verdicts(np.array([1 - 9e-6, 2 + 9e-6, 2 + 2e-5]))
    assert percentile.tolist() == [25, 50, 50]
    assert anomalous.tolist() == [False, False, True]


def test_a_folder_that_is_none_or_damaged_is_told(tmp_path: Path) -> None:
    assert verdict.FORMAT == judge.FORMAT
    with pytest.raises(JudgeError, match=r"verdict\.json cannot be read"):
        Judge(tmp_path)
    for text, said in (
        ("{", "is damaged"),
        ("[]", "another format"),
        (json.dumps({"format": 99}), "another format"),
        (json.dumps({"format": 1}), "is damaged"),
    ):
        (tmp_path / "verdict.json").write_text(text)
        with pytest.raises(JudgeError, match=said):
            Judge(tmp_path)
