"""`energan train` and `energan resume`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.cli import seeds
from energan.cli.options import parse, parse_recipe
from energan.cli.seeds import HELP, Together
from energan.errors import EnerganError


def train(args: list[str]) -> int:
    import tyro

    @dataclass(kw_only=True)
    class Train:
        """Train a recipe and write a run: settings, events, samples, checkpoints."""

        out: Path | None = None
        """the run's folder; runs/RECIPE if not given"""
        from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None
        """start from the weights of this run"""
        scale: str | None = None
        """multiply every count of training steps of the recipe, schedules included, by this number
        or fraction, as 1/6; what else is given here counts as written"""
        seeds: int | None = None
        """train so many seeds: this one and those after it, a run folder for each"""
        together: Annotated[Together, tyro.conf.arg(help=HELP)] = "auto"
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """print the resolved settings and stop"""

    job, asked = parse_recipe(Train, args, "train")
    if asked.dry_run:
        return _dry_run(job)
    if asked.seeds is not None:
        return seeds.train(job, asked.seeds, asked, args)
    from energan.evaluation.checkpoint_metric import checkpoint_metric
    from energan.experiment import start as experiment

    folder = experiment.start(
        job, asked.out, from_run=asked.from_, checkpoint_metric=checkpoint_metric
    )
    return _ended(folder)


def resume(args: list[str]) -> int:
    import tyro

    @dataclass
    class Resume:
        """Go on with a run that was stopped, or with several, from the newest good checkpoint."""

        runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
        """the run's folder; several that trained as a cohort go on as one"""
        steps: int | None = None
        """train to this many steps instead of the number the run was started with"""
        threads: int | None = None
        """CPU threads, if not those the run had (another number changes the last bits)"""
        on_divergence: Literal["stop", "rollback"] | None = None
        """what to do if a loss is not finite, if not as the run was started"""
        data: str | None = None
        """where the data is now, if it was moved; it must hold what it held"""
        together: Annotated[Together, tyro.conf.arg(help=HELP)] = "auto"

    asked = parse(Resume, args, "energan resume")
    if not asked.runs:
        raise EnerganError("name a run's folder: `energan runs` lists them")

    def alone(path: Path) -> int:
        from energan.evaluation.checkpoint_metric import checkpoint_metric
        from energan.experiment import start as experiment

        folder = experiment.resume(
            path,
            steps=asked.steps,
            threads=asked.threads,
            on_divergence=asked.on_divergence,
            data_at=asked.data,
            checkpoint_metric=checkpoint_metric,
        )
        return _ended(folder)

    return seeds.resume(asked, alone) if len(asked.runs) > 1 else alone(asked.runs[0])


def _dry_run(job: Any) -> int:
    import json

    from energan.training.device import choose

    resolved = choose(job.settings.engine).describe()
    print(
        json.dumps(
            {
                "recipe": job.recipe,
                "model": job.model,
                "asked": job.asked,
                "settings": job.settings.model_dump(mode="json"),
                "resolved": resolved,
            },
            indent=2,
        )
    )
    return 0


def _more(folder: Any) -> str:
    """A command that shows what the run can do."""
    resolved = folder.read_config()["resolved"]
    if resolved.get("labelled"):  # of a batch: the model learns classes
        return (
            f"energan classify {folder.path} IMAGES, and energan evaluate {folder.path} "
            "(--reference LABELLED, if nothing labelled is held out)"
        )
    given = resolved["domain"].get("condition_shape")
    if given is None:
        return f"energan sample {folder.path} -n 64 --out grid.png"
    if len(given) == 3:
        return f"energan translate {folder.path} IMAGES OUT"
    return f"energan tag {folder.path} IMAGES, or energan evaluate {folder.path}"


def _ended(folder: Any) -> int:
    import signal

    if not folder.writes:
        return 0  # the first of several processes tells how it ended
    last = [e for e in folder.read() if e["event"] in ("finished", "stopped")][-1]
    told = [(what, folder.read(what)) for what in ("samples", "reconstructions")]
    shown = [(what, folder.path / events[-1]["path"]) for what, events in told if events]
    for what, path in [*shown, ("curves", folder.path / "curves.png")]:
        print(f"{what + ':':<8} {path}")
    if last["event"] == "finished":
        print(f"more:    {_more(folder)}")
        return 0
    print(f"stopped at step {last['step']}; go on with: energan resume {folder.path}")
    return 128 + signal.Signals[last["reason"]].value
