"""Settings as command-line options: the pydantic fields mirrored as plain dataclasses for tyro.

tyro reads the mirror, so that a value out of bounds is told by `documents.explain` in one sentence
rather than from inside the parser.
"""

import dataclasses
from typing import Annotated, Any, TypeVar

import tyro
from pydantic import BaseModel

ALIASES = {
    "data.source": ("--data",),
    "data.limit": ("--limit",),
    "training.steps": ("--steps",),
    "output.keep_best": ("--keep-best",),
    "training.on_divergence": ("--on-divergence",),
    "engine.device": ("--device",),
    "engine.precision": ("--precision",),
    "engine.threads": ("--threads",),
}
"""Short names of the settings used most."""

Arguments = TypeVar("Arguments")


def parse(command: type[Arguments], settings: BaseModel, args: list[str], prog: str) -> Any:
    """Parse `args` into `command` (a dataclass) with a further field `settings`: the mirror."""
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
    return tyro.cli(whole, args=args, prog=prog)


def changes(settings: BaseModel, mirror: Any) -> dict[str, Any]:
    """The fields in which the mirror differs from the settings, nested."""
    out: dict[str, Any] = {}
    for name in type(settings).model_fields:
        before, after = getattr(settings, name), getattr(mirror, name)
        if isinstance(before, BaseModel):
            if inner := changes(before, after):
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
