"""`sweep.json`: what was asked for in a sweep's folder, by all commands together."""

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from energan.errors import RunError
from energan.io.files import write_atomically
from energan.sweep.folder import SweepFolder
from energan.sweep.grid import Sweep, Values
from energan.version import __version__

Definition = dict[str, Any]


@dataclass(frozen=True)
class Asked:
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
    try:
        found = json.loads(folder.definition.read_text(encoding="utf8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, OSError) as error:
        raise RunError(
            f"{folder.definition} cannot be read ({error}); remove it, and ask for the sweep again"
        ) from None
    if not isinstance(found, dict) or not found.keys() >= {"name", "recipe", "axes", "trials"}:
        raise RunError(f"{folder.definition} is not a sweep's; name another folder (--out)")
    return found


def check(folder: SweepFolder, asked: Asked, id_of: Callable[[Values], str]) -> None:
    """Raise RunError if the folder holds what does not belong together with what is asked.

    id_of: the values of a trial -> its id by what is asked now. The values of a trial that was
    asked for before must give the id that they gave: else steps, data or a setting are others. An
    axis may have got more values.
    """
    old = read(folder)
    if old is None:
        return
    sweep, other = asked.sweep, "name another folder (--out)"
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
    scored = (list(asked.metrics), asked.samples)
    if "samples" in old and (old["metrics"], old["samples"]) != scored:
        raise RunError(
            f"{folder.path} holds trials that are scored by {', '.join(old['metrics'])} of "
            f"{old['samples']} samples: {before}"
        )


def keep(folder: SweepFolder, asked: Asked, trials: Sequence[tuple[str, Values]]) -> Definition:
    """Write what is asked, with the ids of these trials and of those asked for before."""
    sweep = asked.sweep
    with _alone(folder):
        old = read(folder)
        ids = [*(old["trials"] if old else ()), *(trial for trial, _ in trials)]
        first, values = trials[0]
        definition = {
            "name": sweep.name,
            "summary": sweep.summary,
            "recipe": sweep.recipe,
            "axes": {axis: list(its) for axis, its in sweep.axes.items()},
            "count": sweep.count,
            "metrics": list(asked.metrics),
            "samples": asked.samples,
            "scale": asked.scale,
            "changes": asked.changes,
            "words": asked.words,
            "example": {"id": first, "values": values},
            "energan": __version__,
            "trials": list(dict.fromkeys(ids)),
        }
        text = json.dumps(definition, indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder.definition, text)
    return definition


@contextmanager
def _alone(folder: SweepFolder) -> Iterator[None]:
    """Two commands that begin at once do not lose each other's trials."""
    with (folder.path / ".lock").open("w") as file:
        with suppress(OSError):  # a folder whose system has no locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
