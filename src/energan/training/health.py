"""What a run warns of: what is seen, in words, and what usually helps. Each warning comes once.

A rule reads the figures that were logged so far and says a sentence, or nothing. The thresholds
come from runs that went well and runs made sick on purpose; docs/guides/health.md lists them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from energan.core import BlowUpError, DivergenceError
from energan.io.run_folder import RunFolder
from energan.training.history import History, add_event, figures_of, last_figures
from energan.training.hooks import Figures
from energan.training.loop import Hook
from energan.training.train_state import TrainState

LASTING, LASTING_STEPS = 10, 1000
"""Log events in a row, and steps, that a state must last; the longer one counts."""
SURE = 15.0
"""Distance of the mean logits beyond which the discriminator is certain: e^15."""
GROWTH, GROWTH_LOGITS = 5.0, 15.0
"""A loss this many times as large as at the beginning is exploding; logits start near 0."""
FIRST, GROWN = 5, 3
"""Log events that make up the beginning, and for which a loss must stay this large."""
SETTLED = 1500
"""Steps before which samples say little about collapse."""
VARIANCE, SIMILARITY = 0.1, 0.8
"""Samples are alike below this fraction of the data's variance, or above this mean squared
cosine."""
DRIFT = 2.0
"""Ratio of held-out to training energy and, for energies of either sign, the distance in logits."""
DRIFT_LOGITS = 5.0


@dataclass
class Evidence:
    """What the rules read.

    steps: means of losses and energies; scores: figures at checkpoints. margins: the margin at each
    of the steps, where the objective has one. nonnegative: whether the energy is, as of an
    auto-encoder; else it is taken for a logit.
    """

    steps: History = field(default_factory=list)
    scores: History = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    nonnegative: bool = False

    def add(self, step: int, figures: Figures, margin: float | None) -> None:
        history = self.steps if "loss_energy" in figures else self.scores
        add_event(history, step, figures)
        if history is self.steps and margin is not None:
            self.margins = [*self.margins[: len(self.steps) - 1], margin]

    @property
    def chains(self) -> bool:
        """Whether the samples are chains on the energy itself: there is no G to advise on."""
        return any("chain_gradient" in figures for _, figures in self.steps[-1:])

    @property
    def regresses(self) -> bool:
        """Whether the energy is trained by the regression of its gradient."""
        return any("regression" in figures for _, figures in self.steps[-1:])

    @property
    def classifies(self) -> bool:
        """Whether the energy also learns classes: what its samples look like is not the aim."""
        return any("cross_entropy" in figures for _, figures in self.steps[-1:])

    @property
    def resting(self) -> bool:
        """Whether the generator stopped: nothing more can help its samples."""
        made = [("energy_fake" in figures) for _, figures in self.steps]
        return any(made) and not made[-1]

    def lasting(self, names: tuple[str, ...]) -> list[Figures]:
        """Of the log events of the last LASTING_STEPS steps, LASTING of them at least.

        None if there are fewer, or one of them lacks one of `names`.
        """
        if len(self.steps) < LASTING or self.steps[-1][0] < LASTING_STEPS:
            return []
        count, since = LASTING, self.steps[-1][0] - LASTING_STEPS
        while count < len(self.steps) and self.steps[-count - 1][0] > since:
            count += 1
        return last_figures(self.steps, count, *names)


Rule = Callable[[Evidence], str | None]
"""Returns what is wrong and what helps, or nothing."""


def d_wins(seen: Evidence) -> str | None:
    """D tells all fakes from data, so that it learns nothing from fakes and G next to nothing."""
    last = seen.lasting(("energy_real", "energy_fake", "loss_energy"))
    if not last or seen.chains:  # how far chains may lie above data is the guard's to judge
        return None
    now = last[-1]
    if seen.margins:
        margins = seen.margins[-len(last) :]
        if not all(
            f["energy_fake"] >= m
            and f["energy_real"] <= m / 2
            and abs(f.get("hinge", f["loss_energy"] - f["energy_real"])) <= 0.01 * m
            for f, m in zip(last, margins, strict=True)
        ):
            return None
        return (
            "the discriminator wins: the energy of fakes is beyond the margin (U "
            f"{now['energy_fake']:.3g}, m {margins[-1]:.3g}) and that of data far below it "
            f"({now['energy_real']:.3g}), so it no longer learns from fakes; a higher "
            "--model.sampler-optimiser.lr, a lower --model.energy-optimiser.lr or a larger "
            "--model.margin usually helps"
        )
    if seen.nonnegative or not all(f["energy_fake"] - f["energy_real"] > SURE for f in last):
        return None
    if "gradient_penalty" in now:  # U of a slope near 1 lies as far apart as data and fakes do
        return None
    return (
        f"the discriminator wins: its logits of data and fakes differ by {SURE:g} or more (U "
        f"{now['energy_real']:.3g} and {now['energy_fake']:.3g}), so the generator hardly "
        "learns; a lower --model.energy-optimiser.lr, dropout in the discriminator or a smaller "
        "discriminator usually helps"
    )


def margin_too_small(seen: Evidence) -> str | None:
    """Data itself lies beyond a constant margin, and fakes do: nothing pushes them apart."""
    last = seen.lasting(("energy_real", "energy_fake"))
    if not last or not seen.margins:
        return None
    m = seen.margins[-1]
    if m != seen.margins[0] or not all(min(f["energy_real"], f["energy_fake"]) > m for f in last):
        return None
    return (
        f"the margin {m:.3g} is below the energy of data ({last[-1]['energy_real']:.3g}) and of "
        f"fakes ({last[-1]['energy_fake']:.3g}), so they cannot be told apart; a larger "
        "--model.margin usually helps: `energan margin` estimates one"
    )


def collapse(seen: Evidence) -> str | None:
    """Samples hardly differ: at two checkpoints in a row, once the run has got going."""
    last = [figures for step, figures in seen.scores[-2:] if step >= SETTLED]
    if len(last) < 2 or seen.resting:
        return None
    now = last[-1]
    pulled = any("pull_away" in f for _, f in seen.steps[-1:])
    # the term compares codes: an energy without an encoder has none, and more steps of D help it
    special = "a larger --model.pull-away" if pulled else "--model.pull-away 0.1"
    if "code_similarity" not in now:
        special = "more discriminator updates (--model.energy-steps 2)"
    if seen.classifies:
        special = "a larger --model.contrast"
    help = (
        "; longer chains (--model.steps), more restarts (--model.restart) or a lower "
        "--model.energy-optimiser.lr usually helps"
        if seen.chains
        else f"; {special}, a lower --model.sampler-optimiser.lr or a larger --training.batch-size "
        "usually helps"
    )
    if seen.regresses:
        help = (
            "; longer training, a lower --model.energy-optimiser.lr or more steps of a sample "
            "usually helps"
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


def exploding(seen: Evidence) -> str | None:
    """A loss is far larger than in the beginning, and stays so."""
    if len(seen.steps) < FIRST + GROWN:
        return None
    # What data cost an untrained network, and the margin, are ordinary sizes of an energy.
    ordinary = [1.0] if not seen.nonnegative else [*seen.margins[:1]]
    ordinary += [abs(f["held_out_energy"]) for _, f in seen.scores[:1] if "held_out_energy" in f]
    growth = GROWTH if seen.nonnegative else GROWTH_LOGITS
    for name in ("loss_energy", "loss_sampler"):
        first = [abs(f[name]) for _, f in seen.steps[:FIRST] if name in f]
        last = [abs(f[name]) for _, f in seen.steps[-GROWN:] if name in f]
        if first and len(last) == GROWN and min(last) > growth * max(median(first), *ordinary):
            return (
                f"{name} explodes: {seen.steps[-1][1][name]:.3g}, and {median(first):.3g} at the "
                "beginning; lower learning rates, --model.energy-optimiser.clip 1 or "
                f"{_special(seen)} usually helps"
            )
    return None


def _special(seen: Evidence) -> str:
    """What else helps against a loss that explodes, of this kind of model."""
    if seen.chains:
        return "a larger --model.energy-l2"
    if seen.classifies:
        return "a smaller --model.reconstruction"
    return "a smaller --model.margin" if seen.margins else "an objective with a margin"


def drift(seen: Evidence) -> str | None:
    """Held-out data lies far above training data in energy, at two checkpoints in a row."""
    last = [figures for _, figures in seen.scores[-2:]]
    if len(last) < 2 or any("train_energy" not in f or "held_out_energy" not in f for f in last):
        return None
    if seen.regresses:
        return None  # such an energy is of no known scale: its gradient times a temperature is

    def apart(f: Figures) -> bool:
        held_out, training = f["held_out_energy"], f["train_energy"]
        if seen.nonnegative:
            return held_out > DRIFT * training
        return held_out - training > DRIFT_LOGITS

    if not all(apart(f) for f in last):
        return None
    now = last[-1]
    return (
        f"the discriminator overfits: energy {now['held_out_energy']:.3g} on held-out data, "
        f"{now['train_energy']:.3g} on training data; more data, --data.mirror, "
        "--data.random-crop, a smaller discriminator or an earlier checkpoint (--checkpoint "
        "best) usually helps"
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
        self.seen = Evidence()
        self._told: set[str] = set()
        self._loop: TrainState | None = None

    def start(self, loop: TrainState) -> None:
        """Read what the run logged before a resume: it goes on as if it had not stopped."""
        self._loop = loop
        self.seen = Evidence(nonnegative=loop.energy.nonnegative)
        events = self.folder.read()
        self._told = {e.get("kind", "") for e in events if e["event"] == "health"}
        for e in (e for e in events if e["event"] in ("step", "score")):
            self.seen.add(e["step"], figures_of(e), loop.scheduled("margin", e["step"]))

    def __call__(self, step: int, figures: Figures) -> None:
        margin = self._loop.scheduled("margin", step) if self._loop else None
        self.seen.add(step, figures, margin)
        for kind, rule in RULES.items():
            if kind not in self._told and (says := rule(self.seen)) is not None:
                self._tell(kind, step, says)

    def rescue(self, loop: TrainState, error: DivergenceError) -> bool:
        """Say in words what blew up; going back is another hook's."""
        if isinstance(error, BlowUpError):
            kind = "blow-up"
            says = (
                f"{error}; lower learning rates, a smaller step of the chains, spectral norm or "
                "a larger penalty on the energies usually helps (--training.no-guard continues "
                "anyway)"
            )
        else:
            kind = "not-finite"
            says = (
                f"{error}: a number overflowed; lower learning rates, "
                "--model.energy-optimiser.clip 1 or --precision 32 usually helps"
            )
        self._tell(kind, loop.step, says)
        return False

    def _tell(self, kind: str, step: int, says: str) -> None:
        if kind in self._told:
            return
        self._told.add(kind)
        self.folder.append("health", step=step, kind=kind, says=says)
        self.say(f"health: {says}")
