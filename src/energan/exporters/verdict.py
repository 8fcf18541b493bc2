"""The verdict of `energan score` as a folder that works without energan.

energy.onnx holds the energy, with its heat map where one can be had without a gradient, and takes
pixels: their range is inside, what comes before is done by judge.py as verdict.json says.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor
from torch import Tensor, nn

from energan.anomaly.calibration import Calibration, read_for
from energan.anomaly.heatmaps import COLOURS, energy_map, squared_error, threshold_scale
from energan.core import Domain, Energy, Randomness, SettingError, mean_energy
from energan.data.images.decoding import width_and_height
from energan.data.inference import resolve_settings
from energan.exporters.files import ExportedFile, check_packages, write_network
from energan.exporters.formats import ExportedNetwork
from energan.exporters.modules import Shapes, describe_part, plain_copy
from energan.inference.run import HeatmapKind, Run
from energan.io.files import write_atomically
from energan.version import __version__

FORMAT = 1
"""Of verdict.json, as judge.py reads it."""
FILES = ("energy.onnx", "verdict.json", "judge.py", "README.txt")
ROUNDING = 1e-6
"""How far energies of onnxruntime and torch lie apart, of the largest one calibrated on."""


class VerdictModule(nn.Module):
    """pixels (B, C, H, W), uint8 from 0 to 255 or float32 from 0 to 1 -> energy (B,), as
    Run.energies gives it, and the heat map (B, H, W) of Run.heatmap, if it is no gradient."""

    def __init__(self, energy: Energy, domain: Domain, most: int, heatmap: HeatmapKind) -> None:
        super().__init__()
        assert domain.low is not None
        assert domain.high is not None
        self.energy, self.heatmap = energy, heatmap
        self.step, self.low = most / (domain.high - domain.low), domain.low

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = pixels.float() / self.step + self.low
        scored = self.energy(x, stream="eval")
        energy = mean_energy(scored.energy)
        if self.heatmap == "energy map":
            assert scored.map is not None
            return energy, energy_map(scored.map, *x.shape[2:])
        if self.heatmap == "squared error":
            assert scored.reconstruction is not None
            return energy, squared_error(x, scored.reconstruction)
        return energy


def write_verdict(run: Run, folder: Path, *, force: bool = False) -> ExportedFile:
    """Write energy.onnx, verdict.json, judge.py and README.txt to `folder`; gives the first.

    run: one that `check_verdict` lets pass. Raises SettingError if it is not calibrated, or if
    files are in the way without `force`.
    """
    check_packages("onnx")
    calibration = read_for(run.path, run.network)
    there = [str(folder / name) for name in FILES if (folder / name).exists()]
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"--out {folder} is a file; name a folder")
    if there and not force:
        raise SettingError(
            f"{' and '.join(there)} would be overwritten: add --force, or choose another --out"
        )
    preparation = _preparation(run)
    part = _verdict_part(run, deep=preparation["deep"])
    written = write_network(part, "onnx", folder / FILES[0])
    about = {
        "format": FORMAT,
        **part.about,
        "network": {"file": written.path.name, "sha256": written.sha256},
        "preparation": preparation,
        **_rule(calibration),
        "class_names": list(run.class_names),
        "heatmap": _heatmap(run, calibration),
    }
    write_atomically(folder / FILES[1], _as_text(about))
    write_atomically(folder / FILES[2], Path(__file__).with_name("judge.py").read_bytes())
    write_atomically(folder / FILES[3], _readme(run, calibration))
    return written


def check_verdict(run: Run, part: str = "all") -> None:
    """Raise SettingError for a run whose energy or data are of a kind that judge.py has no rule
    for, and for another part than all."""
    if part != "all":
        raise SettingError(f"--part {part}: a verdict always uses the energy; leave --part out")
    run.check_judges()
    domain, use = run.domain, "use --format onnx for the energy alone"
    if len(domain.shape) != 3:
        raise SettingError(f"{run.path} was trained on points, and a verdict needs images: {use}")
    if domain.shape[0] not in (1, 3):
        raise SettingError(
            f"{run.path} takes images of {domain.shape[0]} bands, and judge.py reads only grey "
            f"and colour images: {use}"
        )
    if run.job.settings.data.pages == "all":
        raise SettingError(
            f"{run.path} was trained on all pages of its files (data.pages), and judge.py reads "
            f"only the first: {use}"
        )


def has_heatmap(run: Run) -> bool:
    """Whether the heat map can be had without a gradient, which no ONNX file holds."""
    return run.heatmap_kind != "saliency"


def _preparation(run: Run) -> dict[str, Any]:
    """How an image becomes pixels, for `Preparation` of judge.py."""
    domain = run.domain.whole
    settings = resolve_settings(run.job.settings.data, domain)
    size = settings.size
    return {
        "shape": list(domain.shape),
        "crop": settings.crop,
        "background": list(ImageColor.getrgb(settings.background)[:3]),
        "intensity": settings.intensity,
        "channels": domain.shape[0],
        "size": None if size is None else list(width_and_height(size)),
        "fit": settings.fit,
        "pad": settings.pad,
        "window": settings.random_crop,
        "deep": domain.depth > 8 or settings.intensity is not None,
    }


def _verdict_part(run: Run, *, deep: bool) -> ExportedNetwork:
    """deep: whether pixels are float32 from 0 to 1, and not uint8."""
    energy, shape = plain_copy(run.judge), run.domain.whole.shape
    module = VerdictModule(energy, run.domain, 1 if deep else 255, run.heatmap_kind).eval()

    def draw(count: int) -> tuple[Tensor, ...]:
        pixels = Randomness([0]).at("export", count).uniform(0.0, 1.0, count, *shape)
        return (pixels if deep else (pixels * 255).round().byte(),)

    inputs: Shapes = {"pixels": shape}
    outputs: Shapes = {"energy": (), **({"heatmap": shape[1:]} if has_heatmap(run) else {})}
    about = describe_part(run, "verdict", inputs, outputs)
    return ExportedNetwork("verdict", module, energy.state_dict(), inputs, outputs, draw, about)


def _rule(calibration: Calibration) -> dict[str, Any]:
    """When an energy is too high, and the normal energies that percentiles are of."""
    energies = calibration.energies
    return {
        "threshold": calibration.threshold,
        "fpr": calibration.fpr,
        "rounding": ROUNDING * float(energies.abs().max()),
        "calibration": {
            "count": calibration.count,
            "part": calibration.part,
            "source": Path(calibration.source).name,
            "fingerprint": calibration.fingerprint,
            "sha256": calibration.network.sha256,
            "promise": calibration.promise,
            "energies": [float(f"{value:.9g}") for value in energies.tolist()],
            "weights": None if calibration.weights is None else calibration.weights.tolist(),
        },
    }


def _heatmap(run: Run, calibration: Calibration) -> dict[str, Any] | None:
    """What heat maps show, the 256 colours that they are drawn in, and their scale: as that of
    `energan score`, if its threshold is of maps that are not smoothed."""
    if not has_heatmap(run):
        return None
    from matplotlib import colormaps

    colours = np.rint(colormaps[COLOURS](np.arange(256))[:, :3] * 255).astype(np.uint8)
    told = {"kind": run.heatmap_kind, "colours": colours.tobytes().hex()}
    scale = threshold_scale(calibration, run.heatmap_kind)
    if scale is None or calibration.map_smoothing:
        return {**told, "low": None, "high": None, "threshold": None}
    return {**told, **asdict(scale)}


def _as_text(about: dict[str, Any]) -> str:
    """JSON to be read by people, but for energies and weights, of which there may be 20,000."""
    marks = {"the energies": "energies", "the weights": "weights"}
    long = {mark: about["calibration"][name] for mark, name in marks.items()}
    short = {name: mark for mark, name in marks.items()}
    about = {**about, "calibration": {**about["calibration"], **short}}
    text = json.dumps(about, indent=2, ensure_ascii=False)
    for mark, values in long.items():
        text = text.replace(json.dumps(mark), json.dumps(values))
    return text + "\n"


def _readme(run: Run, calibration: Calibration) -> str:
    maps = "--heatmaps maps/" if has_heatmap(run) else ""
    no_maps = "" if has_heatmap(run) else NO_MAPS
    return README.format(
        model=run.job.model, hash=run.config["hash"], network=calibration.network,
        version=__version__, count=f"{calibration.count:,}",
        threshold=f"{calibration.threshold:.6g}", promise=calibration.promise,
        maps=maps, no_maps=no_maps,
    )  # fmt: skip


NO_MAPS = """
There are no heat maps: this energy reconstructs nothing, and its maps are its gradient, which an
ONNX file does not hold. `energan score --heatmaps` draws them.
"""
README = """\
Is this image normal?

    pip install numpy pillow onnxruntime
    python judge.py IMAGES... --out scores.csv {maps}
    python judge.py IMAGES... --json

IMAGES are files, or folders, of which all images in them and below are read. Each gets its energy,
the share of normal images whose energy is no higher (percentile), and yes or no: anomalous if the
energy lies above {threshold}, which {promise}.
That holds for images like the {count} that the threshold was set by: the same camera, light, crop.
Files that cannot be read are listed with the reason and left out. The exit code is 0 if images were
judged, whatever the verdicts, and 2 for a mistake.
{no_maps}
In Python:

    from judge import Judge
    found = Judge("this folder").score(["part.png", "photos/"])
    found.images[0].energy, found.images[0].percentile, found.images[0].anomalous, found.skipped

Read are the formats of Pillow, turned upright by EXIF, with 8 or 16 bits, in grey, colours or a
palette, with or without transparency. Left out are DICOM, NIfTI, HEIC and TIFFs of more bands or
other types, which `energan score` reads.

energy.onnx    pixels -> energy; its range is inside
verdict.json   threshold, normal energies, and under `preparation` what comes before the network
judge.py       all of it; `Preparation` in it says what each entry means

Model {model}, run {hash}, {network}, energan {version}.
"""
