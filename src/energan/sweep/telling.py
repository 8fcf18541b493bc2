"""A plan in words."""

from collections import Counter
from typing import TYPE_CHECKING

from energan.io.text import duration
from energan.sweep.estimating import GAIN
from energan.sweep.speeds import Timing

if TYPE_CHECKING:
    from energan.sweep.planning import Plan


def rows_of(plan: "Plan") -> list[tuple[str, str]]:
    """(what, how much) of a plan."""
    estimator, machine = plan.estimator, plan.estimator.machine
    room = machine.room(plan.processes)
    where = f"{machine.device} of {machine.host}"
    found = [
        ("trials", f"{plan.asked} asked for, {plan.asked - plan.to_do} done, {plan.to_do} to do"),
        ("shapes", f"{len({one.key for part in plan.known for one in part})}"),
        ("together", _together(plan)),
        ("processes", f"{plan.processes} with {plural(plan.threads, 'thread')} each, on {where}"),
    ]
    found += [("measured", _timing(t)) for t in sorted(plan.measured, key=_order)]
    if plan.recorded:
        found.append(("from records", f"steps of {plural(plan.recorded, 'trial')} done here"))
    found.append(("scoring", f"{duration(estimator.scoring)} a trial"))
    if plan.known:
        largest = max(
            sum(one.bytes for one in part) + max(one.beside for one in part) for part in plan.known
        )
        found.append(("memory", f"{size(largest)} at most, of {size(room)} for each process"))
    spent = sum(plan.seconds.values())
    found.append(("time left", f"{duration(plan.total_seconds)}; all trials {duration(spent)}"))
    return found + [("note", note) for note in plan.notes]


def _together(plan: "Plan") -> str:
    sizes = Counter(len(part) for part in plan.known)
    alone = sizes.pop(1, 0)
    parts = [f"{plural(n, 'cohort')} of {m}" for m, n in sorted(sizes.items(), reverse=True)]
    parts += [f"{alone} alone"] if alone else []
    said = ", ".join(parts) or "none"
    speeds = plan.estimator.speeds
    gains = [speeds.gain(t.operations, t.members) for t in plan.measured if t.members > 1]
    if not gains:
        return said
    low, high = f"{min(gains):.2f}", f"{max(gains):.2f}"
    span = low if low == high else f"{low} to {high}"
    asked = f"; {GAIN} is asked for" if plan.estimator.together == "auto" else ""
    return f"{said} (a member of a cohort trains {span} times as fast as alone{asked})"


def _timing(timing: Timing) -> str:
    together = f" of {timing.members} together" if timing.members > 1 else ""
    return f"{timing.seconds:.3g} s a step{together}, {timing.operations / 1e9:.2g} GFLOP a member"


def _order(timing: Timing) -> tuple[float, int]:
    return timing.operations, timing.members


def plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
