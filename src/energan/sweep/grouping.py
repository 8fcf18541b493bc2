"""Which trials train together: groups of equal shapes, split evenly."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from energan.sweep.trials import Trial

Package = list[Trial]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Known:
    """A trial with what is known of it before it runs.

    key: equal for those that may train together. work: operations of a step. bytes: of memory as a
    member; beside: more of them, once for a package.
    """

    trial: Trial
    key: str
    work: float
    bytes: int
    beside: int

    @property
    def steps(self) -> int:
        return self.trial.job.settings.training.steps


Members = list[Known]
Worth = Callable[[Sequence[Known]], bool]


def together(members: Iterable[Known]) -> list[Members]:
    """The groups that may train together, in the order of their first members."""
    groups: dict[str, Members] = {}
    for known in members:
        groups.setdefault(known.key, []).append(known)
    return list(groups.values())


def split(members: Sequence[Item], most: int) -> list[list[Item]]:
    """As few parts of at most so many as there can be, all of a size or one less: 24 by 20 are
    12 and 12."""
    parts = -(-len(members) // max(1, most))
    size, more = divmod(len(members), max(1, parts))
    ends = [(i + 1) * size + min(i + 1, more) for i in range(parts)]
    return [list(members[a:b]) for a, b in zip([0, *ends], ends, strict=False)]


def most_of(members: Sequence[Known], room: int, busy: int) -> int:
    """How many of a group a package may hold: by memory, and by `busy`, more than which would leave
    a process without work; 1 at least."""
    beside, each = max(k.beside for k in members), max(k.bytes for k in members)
    return max(1, min((room - beside) // max(1, each), busy))


def packages_of(known: Sequence[Known], room: int, busy: int, worth: Worth | None) -> list[Members]:
    """All trials in packages, in the order of the trials that come first in each.

    worth: whether these gain by training together; None: no trials are put together.
    """
    if worth is None:
        return [[one] for one in known]
    place = {one.trial.id: i for i, one in enumerate(known)}
    made: list[Members] = []
    for group in together(known):
        for part in split(group, most_of(group, room, busy)):
            made += [part] if len(part) > 1 and worth(part) else [[one] for one in part]
    return sorted(made, key=lambda package: place[package[0].trial.id])
