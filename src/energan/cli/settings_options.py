"""Settings as command-line options: the pydantic fields mirrored as plain dataclasses for tyro.

tyro reads the mirror, so that a value out of bounds is told by `documents.explain` in one sentence
rather than from inside the parser.
"""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import tyro
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from energan.cli.help_text import cli
from energan.cli.options import Options, parse, take_option, take_positional
from energan.core.schedules import Essential
from energan.errors import EnerganError
from energan.experiment.settings import Job, load

ALIASES = {
    "data.source": ("--data",),
    "data.size": ("--size",),
    "data.limit": ("--limit",),
    "training.steps": ("--steps",),
    "output.keep_best": ("--keep-best",),
    "training.on_divergence": ("--on-divergence",),
    "engine.device": ("--device",),
    "engine.precision": ("--precision",),
    "engine.threads": ("--threads",),
}
"""Short names of the most used settings."""
ESSENTIAL_SETTINGS = "These are the essential settings; --help-all explains all of them."
FIRST = ("data", "training", "seed", "model", "engine")
"""The order of the groups of essential settings."""
EXAMPLE = "ebgan-folder"
"""Recipe whose settings `--help` shows if none is named."""


def parse_recipe(command: type[Options], args: list[str], verb: str) -> tuple[Job, Options]:
    """The job that the words ask for, and the command's own options.

    The words are a recipe (or --model), --scale where the command has it, and any settings, which
    count as written. Raises EnerganError, with an example, if neither is named; `--help` alone
    explains and exits.
    """
    recipe, args = take_positional(args)
    model, args = take_option(args, "--model")
    scale = None
    if hasattr(command, "scale"):
        scale, args = take_option(args, "--scale")
    every, args = "--help-all" in args, ["--help" if a == "--help-all" else a for a in args]
    if recipe is None and model is None:
        recipe = _without_recipe(args, verb)
        prog = f"energan {verb} RECIPE"
    else:
        prog = f"energan {verb} {recipe or '--model ' + str(model)}"
    job = load(recipe, model)
    if scale is not None:
        job = job.scaled(scale)
    if {"-h", "--help"} & set(args) and not every:
        _explain(command, job.settings, prog)
    asked, changed = parse_with_settings(command, job.settings, args, prog)
    if scale is not None and getattr(asked, "scale", None) is not None:
        raise EnerganError("--scale is given twice: give it once")
    return job.changed(changed), asked


def _without_recipe(args: list[str], verb: str) -> str:
    """The recipe whose settings help shows. Raises EnerganError where no help is wanted."""
    if {"-h", "--help"} & set(args):
        print(
            "RECIPE is a name from `energan recipes`, or a settings file such as a run's "
            f"config.json.\nThe defaults below are those of {EXAMPLE}.\n"
        )
        return EXAMPLE
    if args:
        raise EnerganError(
            f"the recipe comes first, as in `energan {verb} ebgan-digits --seed 1`; "
            "`energan recipes` lists them"
        )
    raise EnerganError("name a recipe: `energan recipes` lists them")


def _explain(command: type[Options], settings: BaseModel, prog: str) -> NoReturn:
    """Print the essential settings, then the command's own options, and exit."""
    fields: list[Any] = []
    for path, info, value in _essential(settings):
        option = tyro.conf.arg(name=path, help=info.description, aliases=ALIASES.get(path))
        fields.append((path.replace(".", "_"), Annotated[info.annotation, option], value))
    essential = dataclasses.make_dataclass("Essential", fields, frozen=True)
    about = (command.__doc__ or "").split("\n\n")[0]
    unnamed = tyro.conf.arg(name="")
    whole = dataclasses.make_dataclass(
        command.__name__,
        [
            (name, Annotated[kind, unnamed], dataclasses.field(default_factory=kind))
            for name, kind in (("essential", essential), ("own", command))
        ],
    )
    whole.__doc__ = f"{about}\n\n{ESSENTIAL_SETTINGS}"
    cli(whole, ["--help"], prog)
    raise AssertionError  # it exits


def _essential(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, FieldInfo, Any]]:
    """The path, the field and the value of each setting that is marked so."""
    fields = type(settings).model_fields
    for name in sorted(fields, key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)):
        value, info = getattr(settings, name), fields[name]
        if isinstance(value, BaseModel):
            yield from _essential(value, f"{prefix}{name}.")
        elif any(isinstance(mark, Essential) for mark in info.metadata):
            yield f"{prefix}{name}", info, value


def parse_with_settings(
    command: type[Options], settings: BaseModel, args: list[str], prog: str
) -> tuple[Options, dict[str, Any]]:
    """The options of a command, a dataclass, and the changes of the settings, nested."""
    mirror = _mirror(settings)
    fields: list[Any] = [
        (
            "settings",
            Annotated[type(mirror), tyro.conf.arg(name="")],
            dataclasses.field(default=mirror),
        )
    ]
    whole = dataclasses.make_dataclass(command.__name__, fields, bases=(command,), kw_only=True)
    whole.__doc__ = command.__doc__
    asked: Any = parse(whole, args, prog)
    return asked, _changes(settings, asked.settings)


def _changes(settings: BaseModel, mirror: Any) -> dict[str, Any]:
    """The fields in which the mirror differs from the settings, nested."""
    out: dict[str, Any] = {}
    for name in type(settings).model_fields:
        before, after = getattr(settings, name), getattr(mirror, name)
        if isinstance(before, BaseModel):
            if inner := _changes(before, after):
                out[name] = inner
        elif before != after:
            out[name] = after
    return out


def _mirror(settings: BaseModel, prefix: str = "") -> Any:
    fields: list[Any] = []
    for name, info in type(settings).model_fields.items():
        value, path = getattr(settings, name), f"{prefix}{name}"
        help_text, kind = info.description, info.annotation
        if isinstance(value, BaseModel):
            help_text = help_text or (type(value).__doc__ or "").split("\n")[0]
            value = _mirror(value, f"{path}.")
            kind = type(value)
        option = tyro.conf.arg(help=help_text, aliases=ALIASES.get(path))
        fields.append((name, Annotated[kind, option], dataclasses.field(default=value)))
    return dataclasses.make_dataclass(type(settings).__name__, fields, frozen=True)()
