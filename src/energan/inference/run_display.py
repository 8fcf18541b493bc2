"""A run as tables and as HTML, for notebooks: its figures over the steps, its state at a glance."""

from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energan.errors import RunError
from energan.experiment.settings import Job
from energan.io.documents import read_json
from energan.io.run_folder import RunFolder
from energan.io.text import number, range_text
from energan.metrics.catalogue import METRICS
from energan.training.history import figures_of

if TYPE_CHECKING:
    import pandas

PICTURES = ("samples", "reconstructions")
"""Events of pictures, those that are shown first."""
SCORES = ("evaluations", "classification")
"""Lists of metrics.json whose newest entry is shown."""


class RecordedRun:
    """What a run's folder tells of its training."""

    folder: RunFolder
    job: Job

    @property
    def path(self) -> Path:
        return self.folder.path

    def events(self, event: str | None = None) -> list[dict[str, Any]]:
        """Return what the run logged, in order.

        Args:
            event: only events of this kind: "step" for losses and energies, "score" for the
                scores of checkpoints. None for all.
        """
        return self.folder.read(event)

    def history(self) -> "pandas.DataFrame":
        """Return what the run logged as a table, one row per logged step, with losses, energies and
        the scores of checkpoints.
        """
        return history_of(self.folder)

    def _repr_html_(self) -> str:
        return html_of(self.folder, repr(self), self.job.settings.training.steps)


def history_of(folder: RunFolder) -> "pandas.DataFrame":
    """A row for each step of a "step" or a "score" event, a column for each figure."""
    import pandas

    rows: dict[int, dict[str, float]] = {}
    for event in folder.read():
        if event["event"] in ("step", "score"):
            rows.setdefault(event["step"], {}).update(figures_of(event))
    frame = pandas.DataFrame.from_dict(rows, orient="index").sort_index()
    return frame.rename_axis("step")


def html_of(folder: RunFolder, title: str, steps: int) -> str:
    """The run's state, its newest picture and its newest scores."""
    events = folder.read(faults=[])
    done = max((event["step"] for event in events), default=0)
    rows = {"state": f"{folder.state()}, step {done:,} of {steps:,}", **_scores(folder, events)}
    table = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<p><b>{escape(title)}</b></p><table>{table}</table>{_picture(folder, events)}"


def _scores(folder: RunFolder, events: list[dict[str, Any]]) -> dict[str, str]:
    """Those of the newest evaluations where there are some, else of the last checkpoint."""
    if found := _evaluated(folder):
        return found
    last = [event for event in events if event["event"] == "score"][-1:]
    return {
        f"{METRICS[name].title or name} at step {event['step']:,}": number(value)
        for event in last
        for name, value in event.items()
        if name in METRICS
    }


def _evaluated(folder: RunFolder) -> dict[str, str]:
    """What the run's metrics.json has last; nothing of a damaged one, which `evaluate` replaces."""
    path = folder.path / "metrics.json"
    try:
        kept = read_json(path, remedy="evaluate anew") if path.exists() else {}
        entries = [entry for name in SCORES for entry in kept.get(name, ())[-1:]]
        found = {
            metric["name"]: f"{number(metric.get('value'))}{_interval(metric)}"
            for entry in entries
            for metric in entry.get("metrics", ())
        }
        errors = [entry for entry in entries if "error" in entry]
        return {"error": number(errors[-1]["error"]), **found} if errors else found
    except (RunError, AttributeError, KeyError, TypeError):
        return {}


def _interval(metric: dict[str, Any]) -> str:
    if metric.get("low") is None or metric.get("high") is None:
        return ""
    return f" [{range_text(metric['low'], metric['high'])}]"


def _picture(folder: RunFolder, events: list[dict[str, Any]]) -> str:
    for what in PICTURES:
        for event in reversed(events):
            path = folder.path / str(event.get("path", ""))
            if event["event"] == what and path.is_file():
                content = b64encode(path.read_bytes()).decode()
                return (
                    f"<img alt='{what}' style='image-rendering:pixelated' "
                    f"src='data:image/png;base64,{content}'>"
                )
    return ""
