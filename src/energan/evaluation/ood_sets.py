"""Which other data a run's energy is tried on: names of synthetic sets, and sources."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from energan.core import DataError, SettingError, describe
from energan.data import SOURCES
from energan.data.tables import HUB
from energan.evaluation.synthetic import KINDS
from energan.run import Run
from energan.verdict.images import Judged, open_images, same_source

ALL = "all"


def parted(sets: Sequence[str], run: Run) -> tuple[list[str], list[str]]:
    """Names as the user wrote them -> synthetic sets, in the order of KINDS, and sources.

    A name of KINDS wins over a file of that name. Raises SettingError for what is unknown, does
    not apply to the run's events, or is the run's own data.
    """
    words = list(dict.fromkeys(word for text in sets for word in _split(text)))
    if not words:
        raise SettingError(f"--ood: name a set of {ALL}, {', '.join(KINDS)}, or a source of data")
    fitting = [name for name, kind in KINDS.items() if kind.about(run.domain)]
    for word in words:
        if word in KINDS and word not in fitting:
            raise SettingError(
                f"--ood {word} is made of images, and {run.path} was trained on points: of points "
                f"there are {', '.join(fitting)}"
            )
        if word not in (ALL, *KINDS):
            _check_source(word, run, fitting)
    kinds = [name for name in fitting if name in words or ALL in words]
    return kinds, [word for word in words if word not in (ALL, *KINDS)]


def opened(source: str, run: Run) -> Judged:
    """Events of a source, prepared as the run's own: its test part, what it holds out, or all.

    Raises DataError if it cannot be opened, or does not fit the run.
    """
    settings = run.job.settings.data.model_copy(update={"crop": None})  # the box is of its own data
    try:
        groups, _ = open_images([source], settings, run.domain)
    except DataError as error:
        raise DataError(f"--ood {describe(source)}: {error}") from error
    if len(groups[0]) < 2:
        raise DataError(f"--ood {describe(source)} holds a single event: name more of its kind")
    return groups[0]


def _split(text: str) -> list[str]:
    """The parts of a list with commas; one name if there is a file of it."""
    return [text] if Path(text).expanduser().exists() else [p for p in text.split(",") if p]


def _check_source(word: str, run: Run, fitting: Sequence[str]) -> None:
    own = run.job.settings.data.source
    if same_source(word, own):
        raise SettingError(
            f"--ood {word} is what {run.path} was trained on: name other data (`energan anomaly` "
            "tells classes apart that a run left out)"
        )
    path = Path(word).expanduser()
    known = word in SOURCES or word.startswith(HUB) or path.exists()
    if known or path.suffix or len(path.parts) > 1:  # of a path the source itself is told
        return
    near = difflib.get_close_matches(word, (ALL, *KINDS, *SOURCES), 2)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise SettingError(
        f"--ood {describe(word)}: there is no such set; {hint}there are {ALL}, "
        f"{', '.join(fitting)}, and sources of data (`energan data` lists them)"
    )
