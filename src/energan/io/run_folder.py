"""A run's folder: its names, its settings, its events. Nothing here needs torch.

runs/NAME/
    data.npz                       what it trains on, if that was given as arrays in Python
    code/                          the source of a model of one's own
    config.json                    what was asked for, all settings, what was resolved, the hash
    events.jsonl                   one event a line, appended
    samples/step-000500.png
    reconstructions/step-000500.png  of energies that learn from noisy events
    landscapes/step-000500.npz     of points in the plane
    defects/                       images on which `energan evaluate --defects` found a run wrong
    checkpoints/step-000500/       weights.safetensors, state.safetensors, state.json
"""

import json
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from energan.errors import RunError
from energan.io.documents import as_document, read_bytes, read_json
from energan.io.files import locked, write_atomically
from energan.io.run_documents import EVENTS, Event, RunConfig

MOST_EVENTS = 2**32
"""Bytes of events.jsonl."""


class RunFolder:
    """Paths and small files of one run.

    writes: False for a process that trains beside the one that writes: it changes nothing here.
    """

    def __init__(self, path: str | os.PathLike[str], writes: bool = True) -> None:
        self.path, self.writes = Path(path), writes
        self.code = self.path / "code"
        self.config = self.path / "config.json"
        self.data = self.path / "data.npz"
        self.events = self.path / "events.jsonl"
        self.samples = self.path / "samples"
        self.reconstructions = self.path / "reconstructions"
        self.landscapes = self.path / "landscapes"
        self.defects = self.path / "defects"
        self.checkpoints = self.path / "checkpoints"

    def exists(self) -> bool:
        return self.config.is_file()

    def read_config(self) -> dict[str, Any]:
        """The run's config.json. Raises RunError if it is missing or damaged."""
        if not self.config.exists():
            raise RunError(
                f"{self.path} holds no run (there is no config.json); `energan runs` lists the runs"
            )
        remedy = "restore it, or train again"
        config: dict[str, Any] = read_json(self.config, remedy=remedy)
        as_document(config, RunConfig, self.config, remedy=remedy)
        return config

    def write_config(self, config: dict[str, Any]) -> None:
        if self.writes:
            write_atomically(self.config, json.dumps(config, indent=2) + "\n")

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        """A text file beside the others."""
        if self.writes:
            write_atomically(self.path / name, "".join(f"{line}\n" for line in lines))

    def write_file(self, path: Path, content: bytes) -> None:
        """A file within the run, with the folders that it is in."""
        if self.writes:
            write_atomically(path, content)

    def append(self, event: str, **figures: Any) -> None:
        """Add one event; a line is written whole or, after a crash, ignored by `read`."""
        if not self.writes:
            return
        line = json.dumps({"event": event, "time": round(time.time(), 3), **figures})
        with self.events.open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            torn = file.read(1) not in (b"", b"\n")  # left by a killed process: close its line
            file.write((b"\n" if torn else b"") + line.encode() + b"\n")

    def read(
        self, event: str | None = None, faults: list[str] | None = None
    ) -> list[dict[str, Any]]:
        """Events in order, less those that a resume from an earlier step made void.

        A line that is no event is left out: a killed process leaves one torn. faults: takes a
        sentence for each of those, and for each event that cannot be used, for which RunError is
        raised without it.
        """
        kept: list[dict[str, Any]] = []
        if not self.events.exists():
            return kept
        lines = read_bytes(self.events, remedy="restore it, or train again", most=MOST_EVENTS)
        for number, line in enumerate(lines.splitlines(), 1):
            where = f"{self.events}, line {number}"
            entry = _parsed(line)
            if entry is None:
                if faults is not None:
                    faults.append(f"{where} is not an event")
                continue
            kind = EVENTS.get(entry["event"], Event)
            try:
                as_document(entry, kind, where, remedy="remove this line")
            except RunError as fault:
                if faults is None:
                    raise
                faults.append(str(fault))
                continue
            entry.setdefault("step", 0)
            if entry["event"] in ("resume", "rollback"):
                kept = [e for e in kept if e["step"] <= entry["step"]]
            kept.append(entry)
        return [e for e in kept if event is None or e["event"] == event]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process. Raises RunError if another one trains it."""
        if not self.writes:
            yield
            return
        with locked(self.path / ".lock", wait=1) as held:  # `locked` holds it for an instant
            if not held:
                raise RunError(
                    f"{self.path} is being trained by another process; wait for it or stop it"
                )
            yield

    def locked(self) -> bool:
        """Whether some process trains this run now."""
        path = self.path / ".lock"
        if not path.exists():
            return False
        with locked(path, wait=0) as held:
            return not held

    def stop(self) -> None:
        """Tell the process that trains this run to finish its step and save a checkpoint.

        Raises RunError if none does, or it runs on another machine.
        """
        begun = self.read("start")
        if not begun or not self.locked():
            raise RunError(f"{self.path} is not being trained")
        host, pid = begun[-1].get("host"), begun[-1].get("pid")
        if pid is None or host != socket.gethostname():
            raise RunError(
                f"{self.path} is being trained {f'on {host}' if host else 'elsewhere'}: stop it "
                "there, with Ctrl-C"
            )
        os.kill(pid, signal.SIGTERM)

    def state(self) -> str:
        """running, finished, stopped, diverged or interrupted (killed)."""
        if self.locked():
            return "running"
        ends = [
            e for e in self.read() if e["event"] in ("finished", "stopped", "diverged", "start")
        ]
        last = ends[-1]["event"] if ends else "start"
        return "interrupted" if last == "start" else str(last)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line's event, not yet looked at; None if it is none."""
    try:
        entry = from_json(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("event"), str) else None


def find_runs(root: Path) -> list[RunFolder]:
    """Runs in `root`, down to three folders deep, by name."""
    patterns = ("config.json", "*/config.json", "*/*/config.json", "*/*/*/config.json")
    found = {p.parent for pattern in patterns for p in root.glob(pattern)}
    return [RunFolder(p) for p in sorted(found) if (p / "events.jsonl").exists()]
