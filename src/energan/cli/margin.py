"""`energan margin`: a start for m."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from energan.cli.options import parse_recipe, show, table_of
from energan.errors import EnerganError


def margin(args: list[str]) -> int:
    import tyro

    @dataclass(kw_only=True)
    class Margin:
        """Estimate a margin: train the recipe's auto-encoder on real data alone and read where the
        energy of held-out data settles (Zhao et al. 2017, appendix E)."""

        most_steps: Annotated[int, tyro.conf.arg(name="most-steps")] = 1000
        """the most steps to train; it stops earlier where the energy has settled"""
        out: Path | None = None
        """also write what was found, as JSON"""

    job, asked = parse_recipe(Margin, args, "margin")
    if asked.most_steps < 1:
        raise EnerganError(f"--most-steps {asked.most_steps}: train at least one")
    from energan.data import open_data
    from energan.experiment.margin import estimate
    from energan.io.files import write_atomically
    from energan.training.device import choose

    engine = choose(job.settings.engine)
    data = open_data(job.settings.data).to(engine.device)
    most = min(asked.most_steps, job.settings.training.steps)
    found = estimate(job, data, engine, most, progress=True)
    table = table_of("step", "U of held-out data")
    for step, energy in found.readings:
        table.add_row(str(step), f"{energy:.4g}")
    show(table)
    print(found.says())
    recipe = job.recipe
    words = shlex.join(_without(args, "--most-steps", "--out"))
    for m in found.grid:
        print(f"  energan train {words} --model.margin {m:g} --out runs/{Path(recipe).name}-m{m:g}")
    if asked.out is not None:
        write_atomically(asked.out, _json({"recipe": recipe, **found.record()}))
    return 0


def _without(args: list[str], *options: str) -> list[str]:
    """The words less those options and their values: what `energan train` takes too."""
    kept, skip = list[str](), False
    for word in args:
        if not skip and word.partition("=")[0] not in options:
            kept.append(word)
        skip = not skip and word in options
    return kept


def _json(found: dict[str, Any]) -> str:
    import json

    return json.dumps(found, indent=2) + "\n"
