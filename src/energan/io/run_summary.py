"""What a run's folder tells at a glance. Nothing here needs torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from energan.errors import EnerganError
from energan.io.run_folder import RunFolder

DAMAGED = "damaged"
FIGURES = ("energy_real", "energy_fake", "images_per_s", "sliced_wasserstein", "error")
"""The figures of a summary: three of the last logged step, two of the last scored checkpoint."""

ABILITIES = ("sample", "score", "classify", "restore", "translate", "tag")
"""Commands, of which a run has those that suit its data and its model."""


@dataclass(frozen=True)
class RunSummary:
    """One run.

    state: as `RunFolder.state`, or "damaged". step: the last that was logged, of `steps`. figures:
    those of FIGURES that there are. abilities: those of ABILITIES that it has. reason: why it is
    damaged, diverged or stopped.
    """

    path: Path
    state: str
    recipe: str = ""
    step: int = 0
    steps: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    abilities: tuple[str, ...] = ()
    reason: str = ""

    @property
    def progress(self) -> str:
        return f"{self.step}/{self.steps}" if self.steps else ""


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
        abilities_of(config["resolved"]),
        ends[-1] if ends and state in ("diverged", "stopped") else "",
    )


def abilities_of(resolved: dict[str, Any]) -> tuple[str, ...]:
    """What a run can be asked, by what its config.json has as resolved."""
    domain = resolved["domain"]
    image, given = len(domain["shape"]) == 3, domain.get("condition_shape")
    has = {
        "sample": resolved.get("makes_samples", True) and not given,
        "score": not given,
        "classify": resolved.get("labelled", 0) > 0,
        "restore": image and not given,
        "translate": image and given is not None and len(given) == 3,
        "tag": given is not None and len(given) == 1,
    }
    return tuple(name for name in ABILITIES if has[name])
