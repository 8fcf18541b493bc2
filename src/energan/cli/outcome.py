"""How a training ended: where things are, what to do next, and the exit code."""

import shlex
import signal
from collections.abc import Sequence
from pathlib import Path

from energan.cli.classifier_baselines import report_baselines
from energan.io.run_folder import RunFolder

ENDS = ("finished", "stopped", "diverged")


def report_run(folder: RunFolder) -> int:
    """Say where the run's files are and what is next. Its exit code: 0, or 128 + signal."""
    if not folder.writes:
        return 0  # the first of several processes tells how it ended
    last = [e for e in folder.read() if e["event"] in ("finished", "stopped")][-1]
    told = [(what, folder.read(what)) for what in ("samples", "reconstructions")]
    shown = [(what, folder.path / events[-1]["path"]) for what, events in told if events]
    for what, path in [*shown, ("curves", folder.path / "curves.png")]:
        print(f"{what + ':':<8} {path}")
    if last["event"] == "finished":
        if folder.read_config()["resolved"].get("labelled"):
            report_baselines(folder.path)
        print(f"more:    {_more(folder)}")
        return 0
    print(f"stopped at step {last['step']}; continue with: energan resume {folder.path}")
    return 128 + signal.Signals[last["reason"]].value


def _more(folder: RunFolder) -> str:
    """A command that shows what the run can do."""
    resolved = folder.read_config()["resolved"]
    if resolved.get("labelled"):  # of a batch: the model learns classes
        return (
            f"energan classify {folder.path} IMAGES, and energan evaluate {folder.path} (add "
            "--reference LABELLED if no labelled examples are held out)"
        )
    given = resolved["domain"].get("condition_shape")
    if resolved.get("makes_samples") is False:
        return f"energan score {folder.path} IMAGES"
    if given is None:
        return f"energan sample {folder.path} -n 64 --out grid.png"
    if len(given) == 3:
        return f"energan translate {folder.path} IMAGES OUT"
    return f"energan tag {folder.path} IMAGES, or energan evaluate {folder.path}"


def report_runs(folders: Sequence[Path]) -> int:
    """Say where the runs are and what is next.

    Its exit code: 128 + signal of what was stopped, 3 if a seed diverged, else 0.
    """
    print(f"runs:    {_named(folders)}")
    ends = [
        next((e for e in reversed(RunFolder(p).read()) if e["event"] in ENDS), None)
        for p in folders
    ]
    stopped = [e for e in ends if e is not None and e["event"] == "stopped"]
    diverged = [
        p for p, e in zip(folders, ends, strict=True) if e is not None and e["event"] == "diverged"
    ]
    if stopped:
        print(f"stopped; continue with: energan resume {_named(folders)}")
        return 128 + signal.Signals[stopped[0]["reason"]].value
    for path in diverged:
        print(f"diverged: {path}")
    print(f"more:    energan evaluate {_named(folders)}   (mean and spread over the seeds)")
    return 3 if diverged else 0


def _named(folders: Sequence[Path]) -> str:
    """The folders as a shell takes them, by a pattern where it means them and no others."""
    if len(folders) > 3:
        stem = folders[0].name.rstrip("0123456789")
        pattern = folders[0].with_name(f"{stem}*")
        if sorted(folders[0].parent.glob(pattern.name)) == sorted(folders):
            return str(pattern)
    return shlex.join(map(str, folders))
