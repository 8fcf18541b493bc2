"""`energan push`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import Checkpoint, RunPath, Weights, parse
from energan.inference.run import Run
from energan.report.hub import HUB, check_name, write_hub_folder
from energan.report.hub import push as push_run


@dataclass
class Push:
    """Put a run on the Hugging Face hub: one checkpoint as safetensors, and a model card with
    its settings, its scores and how they were made. `energan.load("hub:OWNER/NAME")` loads
    it. Log in once with `hf auth login`."""

    run: RunPath
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")]
    """the repository on the hub; created if it does not exist"""
    license: str | None = None
    """license of the weights, as the hub names it, for example apache-2.0"""
    private: tyro.conf.FlagCreatePairsOff[bool] = False
    """create a new repository as private"""
    folder: Path | None = None
    """write the files to this new folder without pushing them"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"


def push(args: list[str]) -> int:
    options = parse(Push, args, "energan push")
    check_name(options.name)
    run = Run(options.run, checkpoint=options.checkpoint, weights=options.weights, device="cpu")
    if options.folder is not None:
        write_hub_folder(run, options.folder, options.name, options.license)
        print(f"written: {options.folder}")
        return 0
    address = push_run(run, options.name, license=options.license, private=options.private)
    print(f"pushed:  {address}")
    print(f'more:    energan.load("{HUB}{options.name}")')
    return 0
