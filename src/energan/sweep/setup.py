"""How trials are worked on: nothing here changes the result of one."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from energan.sweep.claiming import LOST_AFTER

SAMPLES = 10_000
Keep = Literal["best", "all", "none"]


@dataclass(frozen=True)
class Setup:
    """sweep: its name. metrics: what trials are scored by, the first of them ranks them.

    samples: drawn for a score. threads: of each process; all cores if not given. keep: whose
    checkpoints stay when they are scored. lost_after: see `claiming`. save_every: steps between
    checkpoints of a trial, from which it goes on after an interruption; 0 for none.
    """

    sweep: str
    metrics: tuple[str, ...]
    samples: int = SAMPLES
    threads: int | None = None
    keep: Keep = "best"
    lost_after: float = LOST_AFTER
    save_every: int = 0

    def record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Setup":
        """What `record` gave, also after a way through JSON."""
        return cls(**{**record, "metrics": tuple(record["metrics"])})
