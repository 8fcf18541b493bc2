"""`sweep.json`: what was asked for in a sweep's folder, by all commands together."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from energan.errors import RunError
from energan.io.documents import Document, as_document, read_json
from energan.io.files import write_atomically
from energan.sweep.grid import Sweep, Values
from energan.sweep.store import SweepFolder
from energan.version import __version__

Definition = dict[str, Any]
"""What sweep.json holds."""


class Example(Document):
    id: str
    values: dict[str, Any]


class SweepDefinition(Document):
    """What of sweep.json the commands rely on."""

    name: str
    recipe: str
    axes: dict[str, list[Any]]
    trials: list[str]
    metrics: list[str] = Field(default_factory=list)
    samples: int | None = None
    count: int | None = None
    words: str = ""
    example: Example | None = None


@dataclass(frozen=True)
class SweepRequest:
    """What is asked of a sweep, beside which of its trials.

    metrics, samples: how trials are scored. scale: of all counts of steps. changes: of every
    trial's settings, nested by group. words: how one asks for the same, without a folder.
    """

    sweep: Sweep
    metrics: tuple[str, ...]
    samples: int
    scale: str = "1"
    changes: dict[str, Any] = field(default_factory=dict)
    words: str = ""


def read(folder: SweepFolder) -> Definition | None:
    """A folder's sweep.json, None if there is none. Raises RunError if it is damaged."""
    if not folder.definition.exists():
        return None
    remedy = "remove it, and ask for the sweep again"
    found: Definition = read_json(folder.definition, remedy=remedy)
    as_document(found, SweepDefinition, folder.definition, remedy=remedy)
    return found


def check(folder: SweepFolder, request: SweepRequest, id_of: Callable[[Values], str]) -> None:
    """Raise RunError if the folder holds what does not belong together with what is asked.

    id_of: the values of a trial -> its id by what is asked now. The values of a trial that was
    asked for before must give the id that they gave: else steps, data or a setting are others. An
    axis may have got more values.
    """
    old = read(folder)
    if old is None:
        return
    sweep, other = request.sweep, "name another folder (--out)"
    if old["name"] != sweep.name:
        raise RunError(f"{folder.path} holds the sweep {old['name']}, not {sweep.name}; {other}")
    if old["recipe"] != sweep.recipe or set(old["axes"]) != set(sweep.axes):
        raise RunError(
            f"{folder.path} holds a sweep of the same name with another recipe or other axes; "
            f"{other}"
        )
    before = f"ask for the same again (energan sweep {old.get('words', sweep.name)}), or {other}"
    example = old.get("example")
    if example is not None and id_of(example["values"]) != example["id"]:
        raise RunError(
            f"{folder.path} holds trials of {sweep.name} with other settings or other data: "
            f"{before}"
        )
    scored = (list(request.metrics), request.samples)
    if "samples" in old and (old["metrics"], old["samples"]) != scored:
        raise RunError(
            f"{folder.path} holds trials that are scored by {', '.join(old['metrics'])} of "
            f"{old['samples']} samples: {before}"
        )


def write(
    folder: SweepFolder, request: SweepRequest, trials: Sequence[tuple[str, Values]]
) -> Definition:
    """Write what is asked, with the ids of these trials and of those asked for before.

    Two commands that begin at once do not lose each other's trials.
    """
    sweep = request.sweep
    with folder.alone():
        old = read(folder)
        ids = [*(old["trials"] if old else ()), *(trial for trial, _ in trials)]
        first, values = trials[0]
        definition = {
            "name": sweep.name,
            "summary": sweep.summary,
            "recipe": sweep.recipe,
            "axes": {axis: list(its) for axis, its in sweep.axes.items()},
            "count": sweep.count,
            "metrics": list(request.metrics),
            "samples": request.samples,
            "scale": request.scale,
            "changes": request.changes,
            "words": request.words,
            "example": {"id": first, "values": values},
            "energan": __version__,
            "trials": list(dict.fromkeys(ids)),
        }
        text = json.dumps(definition, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder.definition, text)
    return definition
