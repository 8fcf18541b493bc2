"""Runs that are open: loaded once, used by one request at a time."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from energan.inference.run import Run
from energan.studio.workspace import Workspace
from energan.training import checkpoint_folder
from energan.training.checkpoint_choice import Weights

MOST_OPEN = 4
Key = tuple[str, str, Weights | None, tuple[str, ...]]


class OpenRuns:
    """The last few runs that were used. One request computes at a time: networks share the threads
    of the machine, and samplers torch's generator."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._lock = threading.RLock()
        self._runs: OrderedDict[Key, Run] = OrderedDict()

    @contextmanager
    def use(
        self, name: str, checkpoint: str = "last", weights: Weights | None = None
    ) -> Iterator[Run]:
        """The run of that name, of its newest checkpoint while it trains; others wait.

        Raises RunError if there is none in the folder, CheckpointError if it has no weights.
        """
        folder = self.workspace.run(name)
        with self._lock:
            there = tuple(path.name for path in checkpoint_folder.listed(folder.checkpoints))
            key = name, checkpoint, weights, there
            if key not in self._runs:
                self._runs[key] = Run(folder.path, checkpoint=checkpoint, weights=weights)
                if len(self._runs) > MOST_OPEN:
                    self._runs.popitem(last=False)
            self._runs.move_to_end(key)
            yield self._runs[key]
