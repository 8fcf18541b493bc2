"""Pictures that a run keeps on its way, by step, and how few stand for many."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

STEP = re.compile(r"step-(\d+)\.png$")
Item = TypeVar("Item")


def step_pictures(folder: Path) -> list[tuple[int, Path]]:
    """(step, picture) of a folder of a run, in order."""
    found = ((STEP.search(path.name), path) for path in folder.glob("*.png"))
    return sorted((int(match[1]), path) for match, path in found if match)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """The first, the last and some between, evenly; all if there are no more than `most`."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]
