"""`energan margin`: a start for m."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from energan.cli.options import without_options
from energan.cli.settings_options import parse_recipe
from energan.data import open_data
from energan.errors import EnerganError
from energan.experiment.feasibility import check_fits, check_size
from energan.experiment.margin import estimate
from energan.io.console import show, table_of
from energan.io.files import write_atomically
from energan.training.device import choose


@dataclass(kw_only=True)
class Margin:
    """Estimate a margin: train the recipe's auto-encoder on real data alone until the energy of
    held-out data settles (Zhao et al. 2017, appendix E)."""

    most_steps: Annotated[int, tyro.conf.arg(name="most-steps")] = 1000
    """largest number of steps; training stops earlier if the energy has settled"""
    out: Path | None = None
    """also write the result as JSON"""


def margin(args: list[str]) -> int:
    job, options = parse_recipe(Margin, args, "margin")
    if options.most_steps < 1:
        raise EnerganError(f"--most-steps {options.most_steps}: give at least 1")
    device = choose(job.settings.engine)
    check_size(job, device)
    data = open_data(job.settings.data).to(device.device)
    check_fits(job, data.domain, device)
    most = min(options.most_steps, job.settings.training.steps)
    found = estimate(job, data, device, most, progress=True)
    table = table_of("step", "energy of held-out data")
    for step, energy in found.readings:
        table.add_row(str(step), f"{energy:.4g}")
    show(table)
    print(found.says())
    name = Path(job.recipe).name
    words = shlex.join(without_options(args, ("--most-steps", "--out")))
    for m in found.grid:
        print(f"  energan train {words} --model.margin {m:g} --out runs/{name}-m{m:g}")
    if options.out is not None:
        record = {"recipe": job.recipe, **found.record()}
        write_atomically(options.out, json.dumps(record, indent=2) + "\n")
    return 0
