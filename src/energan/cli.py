"""The command line. A command imports only what it needs, and torch only where it must."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from energan.errors import EnerganError
from energan.version import __version__

USAGE = """usage: energan [--version] [--help] [--debug] COMMAND ...

Energy-based generative adversarial networks.

  recipes            list the named settings
  train RECIPE       train, and write a run (try: energan train ebgan-digits)
  resume RUN         go on with a run that was stopped
  sample RUN         draw samples from a run
  runs [FOLDER]      list runs with state, step and last figures

`energan COMMAND --help` explains a command. --debug shows tracebacks.
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit code: 0, 2 for a user's error, 3 for a divergence, 128 + signal."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    if debug:
        args.remove("--debug")
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if args[0] == "--version":
        print(f"energan {__version__}")
        return 0
    command = COMMANDS.get(args[0])
    try:
        if command is None:
            near = _near(args[0], list(COMMANDS))
            raise EnerganError(f"no command {args[0]!r}; {near}")
        return command(args[1:])
    except EnerganError as error:
        if debug:
            raise
        print(f"energan: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("energan: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"energan: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if debug or not (isinstance(error, MemoryError) or "memory" in str(error)):
            raise
        print(
            "energan: out of memory: use smaller networks or a smaller batch "
            "(--training.batch-size); --debug shows where",
            file=sys.stderr,
        )
        return 2


def _near(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, 1)
    return f"did you mean {close[0]}?" if close else "there are " + ", ".join(known)


# --- recipes, runs --------------------------------------------------------------------------------


def recipes(args: list[str]) -> int:
    @dataclass
    class Recipes:
        """List the named settings that `energan train` takes."""

    _parse(Recipes, args, "energan recipes")
    from energan.recipes import RECIPES

    table = _table("recipe", "model", "data", "steps", "what")
    for recipe in RECIPES.values():
        source = recipe.settings.get("data", {}).get("source", "digits")
        steps = recipe.settings.get("training", {}).get("steps", "")
        table.add_row(recipe.name, recipe.model, source, str(steps), recipe.summary)
    _print(table)
    return 0


def runs(args: list[str]) -> int:
    import tyro

    @dataclass
    class Runs:
        """List the runs below a folder with their state, step and last figures."""

        folder: Annotated[Path, tyro.conf.Positional] = Path("runs")
        """where to look"""

    asked = _parse(Runs, args, "energan runs")
    from energan.folder import find_runs

    if not asked.folder.exists() and asked.folder == Path("runs"):
        print("no runs yet; `energan train ebgan-digits` makes one")
        return 0
    if not asked.folder.is_dir():
        raise EnerganError(f"{asked.folder} is no folder; name the one that holds your runs")
    found = find_runs(asked.folder)
    if not found:
        print(f"no runs in {asked.folder}; `energan train ebgan-digits` makes one")
        return 0
    table = _table("run", "recipe", "state", "step", "U(real)", "U(fake)", "images/s", "SWD")
    for folder in found:
        try:
            table.add_row(str(folder.path), *_row(folder))
        except (EnerganError, OSError, ValueError, KeyError, TypeError):
            table.add_row(str(folder.path), "", "damaged")
    _print(table)
    return 0


def _row(folder: Any) -> list[str]:
    """Recipe, state, step and last figures of one run."""
    config = folder.read_config()
    total = config["settings"]["training"]["steps"]
    steps, scored = folder.read("step"), folder.read("score")
    last = steps[-1] if steps else {}
    figures = [_figure(last.get(k)) for k in ("energy_real", "energy_fake", "images_per_s")]
    distance = _figure(scored[-1].get("sliced_wasserstein")) if scored else ""
    reached = max((e["step"] for e in folder.read()), default=0)
    return [config.get("recipe", ""), folder.state(), f"{reached}/{total}", *figures, distance]


# --- train, resume --------------------------------------------------------------------------------


def train(args: list[str]) -> int:
    import tyro

    recipe, args = _take_positional(args)
    model, args = _take_option(args, "--model")
    if recipe is None and model is None:
        if args and args[0] in ("-h", "--help"):
            print(
                "usage: energan train RECIPE [OPTIONS]\n\n`energan recipes` lists the recipes; "
                "`energan train RECIPE --help` explains every setting with its default.\n"
                "RECIPE may also be a settings file, such as a run's config.json."
            )
            return 0
        if args:
            raise EnerganError(
                "the recipe comes first, as in `energan train ebgan-digits --steps 100`; "
                "`energan recipes` lists them"
            )
        raise EnerganError("name a recipe: `energan recipes` lists them")
    from energan import settings
    from energan.cli_settings import changes, parse

    job = settings.load(recipe, model)

    @dataclass(kw_only=True)
    class Train:
        """Train a recipe and write a run: settings, events, samples, checkpoints."""

        out: Path | None = None
        """the run's folder; runs/RECIPE if not given"""
        from_: Annotated[Path | None, tyro.conf.arg(name="from", metavar="RUN")] = None
        """start from the weights of this run"""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """print the resolved settings and stop"""

    asked = parse(Train, job.settings, args, f"energan train {recipe or '--model ' + str(model)}")
    job = job.changed(changes(job.settings, asked.settings))
    if asked.dry_run:
        return _dry_run(job)
    from energan import experiment

    folder = experiment.start(job, asked.out, from_run=asked.from_)
    return _ended(folder)


def resume(args: list[str]) -> int:
    import tyro

    @dataclass
    class Resume:
        """Go on with a run that was stopped, from its newest good checkpoint."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        steps: int | None = None
        """train to this many steps instead of the number the run was started with"""
        threads: int | None = None
        """CPU threads, if not those the run had (another number changes the last bits)"""
        on_divergence: Literal["stop", "rollback"] | None = None
        """what to do if a loss is not finite, if not as the run was started"""

    asked = _parse(Resume, args, "energan resume")
    from energan import experiment

    folder = experiment.resume(
        asked.run, steps=asked.steps, threads=asked.threads, on_divergence=asked.on_divergence
    )
    return _ended(folder)


def _dry_run(job: Any) -> int:
    import json

    from energan.training.engine import choose

    resolved = choose(job.settings.engine).describe()
    print(
        json.dumps(
            {
                "recipe": job.recipe,
                "model": job.model,
                "settings": job.settings.model_dump(mode="json"),
                "resolved": resolved,
            },
            indent=2,
        )
    )
    return 0


def _ended(folder: Any) -> int:
    import signal

    last = [e for e in folder.read() if e["event"] in ("finished", "stopped")][-1]
    pictures = [e["path"] for e in folder.read("samples")]
    if pictures:
        print(f"samples: {folder.path / pictures[-1]}")
    print(f"curves:  {folder.path / 'curves.png'}")
    if last["event"] == "finished":
        print(f"more:    energan sample {folder.path} -n 64 --out grid.png")
        return 0
    print(f"stopped at step {last['step']}; go on with: energan resume {folder.path}")
    return 128 + signal.Signals[last["reason"]].value


# --- sample ---------------------------------------------------------------------------------------


def sample(args: list[str]) -> int:
    import tyro

    @dataclass
    class Sample:
        """Draw samples from a run and write them as a picture, an array or a folder of pictures."""

        run: Annotated[Path, tyro.conf.Positional]
        """the run's folder"""
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64
        """how many"""
        out: Path = Path("samples.png")
        """a .png grid, an .npz (array x), or a folder for one PNG each"""
        seed: int = 0
        """of the draws"""
        weights: Literal["ema", "raw"] | None = None
        """averaged or raw; averaged where there are any"""
        checkpoint: str = "last"
        """last, best, or a step"""

    asked = _parse(Sample, args, "energan sample")
    from energan import pictures
    from energan.run import Run

    run = Run(asked.run, checkpoint=asked.checkpoint, weights=asked.weights)
    for warning in run.warnings:
        print(f"energan: {warning}; using {run.checkpoint.name} instead", file=sys.stderr)
    x = run.sample(asked.n, seed=asked.seed)
    about = {
        "run": run.config["hash"],
        "step": run.step,
        "seed": asked.seed,
        "weights": run.weights,
        "energan": __version__,
    }
    path = pictures.save_samples(asked.out, x, run.domain, about=about)
    print(
        f"{asked.n} samples of step {run.step} ({run.weights} weights, seed {asked.seed}): {path}"
    )
    return 0


# --- parts ----------------------------------------------------------------------------------------


def _parse(command: type[Any], args: list[str], prog: str) -> Any:
    import tyro

    return tyro.cli(command, args=args, prog=prog)


def _take_positional(args: list[str]) -> tuple[str | None, list[str]]:
    """The recipe, which stands first, since the other options depend on it."""
    return (args[0], args[1:]) if args and not args[0].startswith("-") else (None, args)


def _take_option(args: list[str], name: str) -> tuple[str | None, list[str]]:
    """One option and its value, read before the rest: which others there are depends on it."""
    for i, word in enumerate(args):
        if word == name and i + 1 < len(args):
            return args[i + 1], args[:i] + args[i + 2 :]
        if word.startswith(f"{name}="):
            return word.partition("=")[2], args[:i] + args[i + 1 :]
    return None, args


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "recipes": recipes,
    "train": train,
    "resume": resume,
    "sample": sample,
    "runs": runs,
}
