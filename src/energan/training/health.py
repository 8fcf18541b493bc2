"""What a run warns of: what is seen, in words, and what usually helps. Each warning comes once.

A rule reads the figures that were logged so far and says a sentence, or nothing. The thresholds
come from runs that went well and runs made sick on purpose; docs/health.md lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from energan.core import DivergenceError
from energan.folder import RunFolder
from energan.training.hooks import Figures
from energan.training.loop import Hook, Loop

History = list[tuple[int, Figures]]
"""(step, figures), oldest first."""

LASTING = 10
"""Log events in a row that a state must last."""
SURE = 15.0
"""Distance of a logit energy's means beyond which D is sure of everything: e^15."""
GROWTH = 15.0
"""A loss that is so many times as large as at the beginning is exploding."""
FIRST = 5
"""Log events that make the beginning."""
SETTLED = 1500
"""Steps before which samples say little about collapse."""
VARIANCE, SIMILARITY = 0.1, 0.8
"""Share of the data's variance below which, mean squared cosine above which samples are alike."""
DRIFT = 2.0
"""Ratio of held-out to training energy, and for energies of either sign the distance in logits."""
DRIFT_LOGITS = 5.0


@dataclass
class Seen:
    """What the rules read.

    steps: means of losses and energies; scores: figures at checkpoints. margin: the margin at each
    of the steps, where the objective has one.
    """

    steps: History = field(default_factory=list)
    scores: History = field(default_factory=list)
    margins: list[float] = field(default_factory=list)

    def lasting(self, names: tuple[str, ...]) -> list[Figures]:
        """The last LASTING log events if there are so many and all have `names`; else none."""
        last = [figures for _, figures in self.steps[-LASTING:]]
        enough = len(last) == LASTING and all(n in f for f in last for n in names)
        return last if enough else []


class Rule(Protocol):
    """Says what is wrong and what helps, or nothing."""

    def __call__(self, seen: Seen) -> str | None: ...


def d_wins(seen: Seen) -> str | None:
    """D tells all fakes from data, so that it learns nothing from fakes and G next to nothing."""
    last = seen.lasting(("energy_real", "energy_fake", "loss_energy"))
    if not last:
        return None
    now = last[-1]
    if seen.margins:
        margins = seen.margins[-LASTING:]
        if not all(
            f["energy_fake"] >= m
            and f["energy_real"] <= m / 2
            and abs(f["loss_energy"] - f["energy_real"]) <= 0.01 * m
            for f, m in zip(last, margins, strict=True)
        ):
            return None
        return (
            f"D wins outright: fakes lie beyond the margin (U {now['energy_fake']:.3g}, m "
            f"{margins[-1]:.3g}) and data far below it ({now['energy_real']:.3g}), so D no longer "
            "learns from fakes; a higher --model.sampler-optimiser.lr, a lower "
            "--model.energy-optimiser.lr or a larger --model.margin usually helps"
        )
    if not all(f["energy_fake"] - f["energy_real"] > SURE for f in last):
        return None
    return (
        f"D wins outright: its logits of data and of fakes are {SURE:g} and more apart (U "
        f"{now['energy_real']:.3g} and {now['energy_fake']:.3g}), where G hardly learns; a lower "
        "--model.energy-optimiser.lr, dropout in D or a smaller D usually helps"
    )


def margin_too_small(seen: Seen) -> str | None:
    """Data itself lies beyond a constant margin, and fakes do: nothing pushes them apart."""
    last = seen.lasting(("energy_real", "energy_fake"))
    if not last or not seen.margins or seen.steps[-1][0] < 1000:
        return None
    m = seen.margins[-1]
    if m != seen.margins[0] or not all(min(f["energy_real"], f["energy_fake"]) > m for f in last):
        return None
    return (
        f"the margin {m:.3g} lies below the energy of data ({last[-1]['energy_real']:.3g}) and of "
        f"fakes ({last[-1]['energy_fake']:.3g}), so nothing tells them apart; a larger "
        "--model.margin usually helps: `energan margin` estimates one"
    )


def collapse(seen: Seen) -> str | None:
    """Samples hardly differ: at two checkpoints in a row, once the run has got going."""
    last = [figures for step, figures in seen.scores[-2:] if step >= SETTLED]
    if len(last) < 2:
        return None
    now = last[-1]
    help = (
        "; the pulling-away term (--model.pull-away 0.1), a lower --model.sampler-optimiser.lr or "
        "a larger batch usually helps"
    )
    if all(f.get("variance_ratio", 1.0) < VARIANCE for f in last):
        return (
            f"samples collapse: their variance is {now['variance_ratio']:.1%} of the data's{help}"
        )
    if all(f.get("code_similarity", 0.0) > SIMILARITY for f in last):
        return (
            "samples collapse: their codes point the same way (mean squared cosine "
            f"{now['code_similarity']:.2f}, of data {now.get('code_similarity_real', 0.0):.2f})"
            f"{help}"
        )
    return None


def exploding(seen: Seen) -> str | None:
    """A loss is far larger than in the beginning."""
    if len(seen.steps) <= FIRST:
        return None
    now = seen.steps[-1][1]
    for name in ("loss_energy", "loss_sampler"):
        first = [abs(f[name]) for _, f in seen.steps[:FIRST] if name in f]
        if first and name in now and abs(now[name]) > GROWTH * max(1.0, *first):
            return (
                f"{name} explodes: {now[name]:.3g}, after {first[-1]:.3g} in the beginning; lower "
                "learning rates, --model.energy-optimiser.clip 1 or an objective with a margin "
                "usually helps"
            )
    return None


def drift(seen: Seen) -> str | None:
    """Held-out data lies far above training data in energy, at two checkpoints in a row."""
    last = [figures for _, figures in seen.scores[-2:]]
    if len(last) < 2 or any("train_energy" not in f or "held_out_energy" not in f for f in last):
        return None

    def apart(f: Figures) -> bool:
        held_out, training = f["held_out_energy"], f["train_energy"]
        if training > 0:
            return held_out > DRIFT * training and held_out - training > 0.05
        return held_out - training > DRIFT_LOGITS

    if not all(apart(f) for f in last):
        return None
    now = last[-1]
    return (
        f"D learns the training data by heart: energy {now['held_out_energy']:.3g} on held-out "
        f"data, {now['train_energy']:.3g} on training data; more data, --data.mirror, "
        "--data.random-crop, a smaller D or an earlier checkpoint (--checkpoint best) usually helps"
    )


RULES: dict[str, Rule] = {
    "d-wins": d_wins,
    "margin-too-small": margin_too_small,
    "collapse": collapse,
    "exploding": exploding,
    "drift": drift,
}


class Health(Hook):
    """A listener of the log and a hook: it asks every rule after every event, and each speaks once.

    say: how the user is told. Warnings are "health" events of the run, and what a run has said
    before a resume is not said again.
    """

    def __init__(self, folder: RunFolder, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.seen = Seen()
        self._told: set[str] = set()
        self._loop: Loop | None = None

    def start(self, loop: Loop) -> None:
        self._loop = loop
        self.seen = Seen()
        self._told = {e["kind"] for e in self.folder.read("health")}

    def __call__(self, step: int, figures: Figures) -> None:
        if "loss_energy" in figures:
            self.seen.steps.append((step, figures))
            margin = self._loop.scheduled("margin") if self._loop else None
            if margin is not None:
                self.seen.margins.append(margin)
        else:
            self.seen.scores.append((step, figures))
        for kind, rule in RULES.items():
            if kind not in self._told and (says := rule(self.seen)):
                self._tell(kind, step, says)

    def rescue(self, loop: Loop, error: DivergenceError) -> bool:
        """Say in words what blew up; going back is another hook's."""
        self._tell(
            "not-finite",
            loop.step,
            f"{error}: the numbers overflowed; lower learning rates, "
            "--model.energy-optimiser.clip 1 or --precision 32 usually helps",
        )
        self.seen = Seen()  # what led there is undone
        return False

    def _tell(self, kind: str, step: int, says: str) -> None:
        self._told.add(kind)
        self.folder.append("health", step=step, kind=kind, says=says)
        self.say(f"health: {says}")
