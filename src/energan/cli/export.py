"""`energan export`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from energan.cli.options import parse


def export(args: list[str]) -> int:
    import tyro

    @dataclass
    class Export:
        """Write a run's generator, energy and classifier, as far as it has them, as files that work
        without energan. Each is loaded again and compared with the run."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        format: str
        """safetensors (weights), onnx (needs energan[export]) or torch (TorchScript)"""
        out: Path | None = None
        """the folder to write to; export in the run's if not set"""
        part: Literal["generator", "energy", "classifier", "all"] = "all"
        """which network"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""
        force: tyro.conf.FlagCreatePairsOff[bool] = False
        """replace files that are there"""

    asked = parse(Export, args, "energan export")
    from energan.export import write as exports
    from energan.export.modules import no_generator
    from energan.inference.run import Run

    run = Run(asked.run, checkpoint=asked.checkpoint, weights=asked.weights, device="cpu")
    for warning in run.warnings:
        print(f"energan: {warning}; using {run.checkpoint.name} instead", file=sys.stderr)
    if asked.part == "all" and (reason := no_generator(run)):
        print(f"energan: {reason}", file=sys.stderr)
    for made in exports.export(run, asked.format, asked.out, part=asked.part, force=asked.force):
        print(made)
    return 0
