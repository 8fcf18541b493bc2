"""Whether a run is judged on what it learnt from."""

from hashlib import blake2b
from pathlib import Path

import torch

from energan.data import SOURCES, DataSet, open_data
from energan.run import Run

CHUNK = 1000


def may_overlap(source: str, trained_on: str) -> bool:
    """Whether the folder `source` lies in the run's own, or holds it."""
    if source in SOURCES or trained_on in SOURCES:
        return False
    here, there = (Path(p).expanduser().resolve() for p in (source, trained_on))
    return here.is_relative_to(there) or there.is_relative_to(here)


def common(run: Run, judged: DataSet) -> int:
    """How many of the judged events are equal, as prepared, to one that the run was trained on."""
    known = set(_digests(open_data(run.job.settings.data)))
    return sum(digest in known for digest in _digests(judged))


def _digests(data: DataSet) -> list[bytes]:
    found = []
    for rows in torch.arange(len(data)).split(CHUNK):
        for event in data.gather(rows).x.numpy():
            found.append(blake2b(event.tobytes(), digest_size=16).digest())
    return found
