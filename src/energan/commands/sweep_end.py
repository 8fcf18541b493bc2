"""What is said when a sweep ends: how its trials ended, the best of them, what is next."""

import shlex
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energan.sweep.folder import Record, SweepFolder
    from energan.sweep.trials import Trial

ONCE = ("--dry-run", "--retry-failed", "--no-dry-run", "--no-retry-failed")
"""Words that are not for the next time."""
SHOWN = 5
"""Reasons that are printed."""


def ended(
    folder: "SweepFolder",
    trials: "Sequence[Trial]",
    stopped: str | None,
    words: Sequence[str],
) -> int:
    """Write the page, say what there is.

    words: those of the command. Its exit code: 128 + signal if one stopped it, 3 if every trial
    diverged, 2 if every trial failed or some are still missing, else 0.
    """
    from energan.sweep.wording import varying

    records = folder.records([trial.id for trial in trials])
    of = {
        state: [r for r in records if r["state"] == state]
        for state in ("done", "diverged", "failed")
    }
    missing = len(trials) - len(records)
    axes = varying([trial.values for trial in trials])
    counts = [f"{len(found)} {state}" for state, found in of.items() if found]
    counts += [f"{missing} missing"] if missing else []
    print(f"trials: {', '.join(counts)}, of {len(trials)}")
    _say_best(folder, records, axes)
    print(f"folder: {folder.path}")
    if stopped is None and records:
        from energan.report.sweep import write

        print(f"page:   {write([folder.path])}")
    _say_bad(of, axes)
    again = shlex.join(["energan", *(w for w in words if w not in ONCE)])
    if stopped is not None or missing:
        print(f"{'stopped' if stopped else 'not all is done'}; go on with: {again}")
    elif of["failed"] or of["diverged"]:
        print(f"to try those again that failed or diverged: {again} --retry-failed")
    if stopped is not None:
        return 128 + signal.Signals[stopped].value
    if len(of["diverged"]) == len(trials):
        return 3
    return 2 if missing or len(of["failed"]) == len(trials) else 0


def _say_best(folder: "SweepFolder", records: "Sequence[Record]", axes: Sequence[str]) -> None:
    from energan.sweep.keeping import best_of
    from energan.sweep.wording import score_text, settings_text, sign_of

    best = best_of(records)
    if best is None:
        return
    found = best["scores"][best["metric"]]
    low, high = (score_text(found.get(end)) for end in ("low", "high"))
    interval = "" if found.get("low") is None else f" ({low} to {high})"
    score = f"{sign_of(best['metric'])} {score_text(found['value'])}{interval}"
    print(f"best:   {score}  {settings_text(best['values'], axes)}  {folder.run(best['id']).path}")


def _say_bad(of: "dict[str, list[Record]]", axes: Sequence[str]) -> None:
    """Of those that failed and those that diverged the reasons, each once."""
    from energan.sweep.wording import settings_text

    for state in ("failed", "diverged"):
        reasons: dict[str, list[Any]] = {}
        for record in of[state]:
            reasons.setdefault(str(record["reason"]), []).append(record["values"])
        for reason, values in sorted(reasons.items(), key=lambda one: -len(one[1]))[:SHOWN]:
            who = settings_text(values[0], axes)
            more = f" and {len(values) - 1} more" if len(values) > 1 else ""
            print(f"{state}: {who}{more}: {reason}")
        if len(reasons) > SHOWN:
            print(f"{state}: for {len(reasons) - SHOWN} other reasons too; the page has them")
