"""`energan compare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from energan.cli.options import Checkpoint, ComputeDevice, Threads, Weights, parse, target_of
from energan.cli.run_options import set_threads
from energan.core import SettingError
from energan.evaluation.evaluate import evaluate, find_evaluation, parse_metrics
from energan.inference.run import Run
from energan.io.console import say, show, table_of, warn
from energan.report.figures import save
from energan.report.figures.options import FigureOptions
from energan.report.figures.panels import draw_samples_of


@dataclass
class Compare:
    """Compare runs side by side: one picture of their samples, one table of scores with
    intervals.

    Scores that a run already has are reused; missing ones are computed as `energan evaluate`
    does.
    """

    runs: Annotated[list[Path], tyro.conf.Positional]
    """two or more run folders"""
    metrics: tuple[str, ...] = ()
    """metrics, as for `energan evaluate`; all that apply if not set"""
    samples: int = 10_000
    """number of samples to score"""
    shown: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 36
    """number of samples of each run in the picture"""
    reference: str | None = None
    """real data to compare all runs with; if not set, each run's own"""
    extractor: str | None = None
    """feature extractor, as for `energan evaluate`"""
    weights: Weights = None
    checkpoint: Checkpoint = "last"
    device: ComputeDevice = "auto"
    seed: int = 0
    """seed of the samples"""
    threads: Threads = None
    out: Path = Path("compare.png")
    """the picture"""


def compare(args: list[str]) -> int:
    options = parse(Compare, args, "energan compare")
    if len(options.runs) < 2:
        raise SettingError("compare needs at least two runs: name another")
    if options.out.suffix != ".png":
        raise SettingError(f"--out {options.out}: name a .png file")
    set_threads(options.threads)
    parse_metrics(options.metrics)
    runs = [
        Run(path, checkpoint=options.checkpoint, weights=options.weights, device=options.device)
        for path in options.runs
    ]
    if any(run.given for run in runs):
        raise SettingError(
            "compare shows samples side by side, and one of these runs makes them from inputs: "
            "use `energan report RUN RUN` to see them side by side, `energan evaluate RUN RUN` "
            "to score them"
        )
    wanted = FigureOptions(options.shown, options.seed)
    drawn = draw_samples_of(runs, wanted)
    save(drawn, target_of(options))
    records = [_scores(run, options) for run in runs]
    _print(runs, records)
    print(f"written: {options.out} (samples side by side)")
    return 0


def _scores(run: Run, options: Compare) -> dict[str, Any]:
    """The run's kept scores if they are of this protocol and hold what is wanted, or made now."""
    names = ("metrics", "samples", "reference", "extractor", "seed")
    wanted: dict[str, Any] = {name: getattr(options, name) for name in names}
    again = find_evaluation(run, **wanted)
    return again or evaluate(run, **wanted, say=lambda text: say(f"  {text}")).record


def _print(runs: list[Run], records: list[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(m["name"] for record in records for m in record["metrics"]))
    unlike = [w for w in ("reference", "extractor") if len({_sha(r, w) for r in records}) > 1]
    alike = not unlike
    marked = False
    table = table_of("metric", *(_title(run) for run in runs), "real data", "better")
    for name in names:
        found = [next((m for m in r["metrics"] if m["name"] == name), None) for r in records]
        there = [m for m in found if m is not None]
        finite = [m for m in there if m["value"] is not None]
        best = _best(finite) if alike and len(finite) > 1 else None
        marked |= best is not None
        cells = ["" if m is None else _cell(m, m is best) for m in found]
        reals = {f"{m['real']:.4g}" for m in there if m.get("real") is not None}
        table.add_row(name, *cells, ", ".join(sorted(reals)), there[0].get("better") or "")
    show(table)
    if marked:
        print("* best, if its interval does not contain the others' values")
    for what in unlike:
        warn(
            f"these scores cannot be compared, because the runs differ in their {what}: give one "
            f"with --{what}"
        )


def _sha(record: dict[str, Any], what: str) -> str:
    return str((record[what] or {}).get("sha256"))


def _title(run: Run) -> str:
    return f"{run.path} (seed {run.job.settings.seed}, step {run.step}, {run.weights})"


def _best(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The best of several; None where no direction is better, or all are equal."""
    better = found[0].get("better")
    if better is None or len({m["value"] for m in found}) == 1:
        return None
    best = (max if better == "higher" else min)(found, key=lambda m: m["value"])
    low, high = best.get("low"), best.get("high")
    known = low is not None and high is not None
    if known and any(low <= m["value"] <= high for m in found if m is not best):
        return None  # within its noise
    return best


def _cell(metric: dict[str, Any], best: bool) -> str:
    if metric["value"] is None:
        return "infinite"
    text = f"{metric['value']:.4g}"
    if metric.get("low") is not None and metric.get("high") is not None:
        text += f" [{metric['low']:.4g}, {metric['high']:.4g}]"
    return f"{text} *" if best else text
