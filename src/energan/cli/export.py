"""`energan export`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from energan.cli.options import Checkpoint, RunPath, Weights, parse
from energan.exporters.modules import no_generator
from energan.exporters.verdict import check_verdict, has_heatmap
from energan.exporters.write import VERDICT
from energan.exporters.write import export as export_run
from energan.inference.run import Run
from energan.inference.thresholds import kept_calibration
from energan.io.console import warn


@dataclass
class Export:
    """Write a run's generator, energy and classifier (those that it has) as files that work
    without energan. Each file is loaded again and compared with the run."""

    run: RunPath
    format: str
    """safetensors (weights), onnx (needs energan[export]), torch (TorchScript), or verdict: a
    folder that scores images as `energan score` does and needs only numpy, Pillow and
    onnxruntime"""
    out: Path | None = None
    """the folder to write to; by default export or verdict in the run's folder"""
    part: Literal["generator", "energy", "classifier", "all"] = "all"
    """which network"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    force: tyro.conf.FlagCreatePairsOff[bool] = False
    """overwrite existing files"""


def export(args: list[str]) -> int:
    options = parse(Export, args, "energan export")
    run = Run(options.run, checkpoint=options.checkpoint, weights=options.weights, device="cpu")
    verdict = options.format == VERDICT
    if verdict:
        check_verdict(run, options.part)
        kept_calibration(run, None)
    elif options.part == "all" and (reason := no_generator(run)):
        warn(reason)
    written = export_run(run, options.format, options.out, part=options.part, force=options.force)
    for file in written:
        print(file)
    if verdict:
        print(f"to score images: python {written[0].path.with_name('judge.py')} IMAGES...")
        if not has_heatmap(run):
            print("  no heat maps: they need the energy's gradient, which ONNX does not support")
    return 0
