"""What a run's folder tells at a glance. Nothing here needs torch."""

from dataclasses import dataclass, field
from pathlib import Path

from energan.errors import EnerganError
from energan.io.run_folder import RunFolder

DAMAGED = "damaged"
FIGURES = ("energy_real", "energy_fake", "images_per_s", "sliced_wasserstein", "error")
"""The figures of a summary: three of the last logged step, two of the last scored checkpoint."""


@dataclass(frozen=True)
class RunSummary:
    """One run.

    state: as `RunFolder.state`, or "damaged". step: the last that was logged, of `steps`. figures:
    those of FIGURES that there are. reason: why it is damaged, diverged or stopped.
    """

    path: Path
    state: str
    recipe: str = ""
    step: int = 0
    steps: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def progress(self) -> str:
        return "" if self.state == DAMAGED else f"{self.step}/{self.steps}"


def summarise(folder: RunFolder) -> RunSummary:
    """A run's summary; of one that cannot be read its state is "damaged", with the reason."""
    try:
        return _summarise(folder)
    except (EnerganError, OSError, ValueError, KeyError, TypeError) as error:
        return RunSummary(folder.path, DAMAGED, reason=str(error))


def _summarise(folder: RunFolder) -> RunSummary:
    config, events = folder.read_config(), folder.read()
    figures: dict[str, float] = {}
    for kind in ("step", "score"):
        last = [event for event in events if event["event"] == kind][-1:]
        figures |= {name: event[name] for event in last for name in FIGURES if name in event}
    ends = [event["reason"] for event in events if event["event"] in ("diverged", "stopped")]
    state = folder.state()
    return RunSummary(
        folder.path,
        state,
        config.get("recipe", ""),
        max((event["step"] for event in events), default=0),
        config["settings"]["training"]["steps"],
        figures,
        ends[-1] if ends and state in ("diverged", "stopped") else "",
    )
