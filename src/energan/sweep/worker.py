"""A process that works on packages as it is handed them: `python -m energan.sweep.worker`.

A line of JSON on stdin for each package, a line on stdout for each event. When stdin ends, by its
parent's will or death, it saves what it trains and ends.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

from energan.sweep.folder import SweepFolder
from energan.sweep.setup import Setup
from energan.sweep.trials import Trial
from energan.sweep.work import work

DONE = {"event": "ready"}
"""Told when it waits for a package."""


def main() -> None:
    ending = Ending()
    signal.signal(signal.SIGTERM, ending)
    out, sys.stdout = sys.stdout, sys.stderr  # nothing but events goes there

    def tell(event: dict[str, Any]) -> None:
        ending.training = event["event"] == "progress"
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: stdin tells it too
            print(json.dumps(event), file=out, flush=True)

    lines: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    try:
        tell(DONE)
        for order in _orders(lines):
            folder, setup = SweepFolder(order["folder"]), Setup.of(order["setup"])
            trials = [Trial.of(record) for record in order["trials"]]
            if work(folder, trials, setup, tell) is not None:
                break
            tell(DONE)
    except KeyboardInterrupt:
        pass
    sys.stdout.flush()
    os._exit(0)  # the reading thread may wait for ever


class Ending:
    """Outside training a signal is as Ctrl-C. In training the loop minds the first one; those after
    it, as of a scheduler that signals parent and worker alike, must not break what it saves."""

    training = False

    def __call__(self, number: int, frame: object) -> None:
        if not self.training:
            raise KeyboardInterrupt


def _orders(lines: "SimpleQueue[str]") -> Iterator[dict[str, Any]]:
    while line := lines.get():
        yield json.loads(line)


def _read(lines: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    lines.put("")
    os.kill(os.getpid(), signal.SIGTERM)  # what it trains is saved, as by Ctrl-C


if __name__ == "__main__":
    main()
