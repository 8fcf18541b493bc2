"""Loggers of figures and pictures: TensorBoard, MLflow, Weights & Biases, behind one class.

Each is a listener of the log's figures, and a hook for what it must do at the end. The packages are
imported when the first figure is there.
"""

import json
import os
import secrets
import time
from abc import abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from energan.core import DivergenceError, SettingError
from energan.io.files import write_atomically
from energan.io.nested import dotted
from energan.io.run_folder import RunFolder
from energan.training.hooks import Figures
from energan.training.loop import Hook
from energan.training.train_state import TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

PROJECT = "energan"
"""MLflow experiment and W&B project, unless their own variables name another."""
IDS = "trackers.json"
"""The run's identifier in the trackers, so that a resumed run continues its log."""


class Tracker(Hook):
    """A place where a run's figures and pictures are logged to.

    settings: of the run, nested; logged once as its parameters.
    """

    package: str
    extra: str

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = folder, settings

    @classmethod
    def installed(cls) -> bool:
        return find_spec(cls.package) is not None

    @classmethod
    def check_installed(cls) -> None:
        """Raise SettingError if its package is missing."""
        if not cls.installed():
            raise SettingError(
                f"output.{cls.extra} needs {cls.package}: pip install 'energan[{cls.extra}]'"
            )

    @abstractmethod
    def __call__(self, step: int, figures: Figures) -> None:
        """Log figures of a step."""

    @abstractmethod
    def picture(self, step: int, pixels: NDArray[np.uint8], what: str) -> None:
        """Log a grid of samples, or of something else, uint8 (H, W, 3)."""

    def known_id(self) -> str | None:
        """What the tracker calls this run, if it was there before."""
        path = self.folder.path / IDS
        try:
            found = json.loads(path.read_text(encoding="utf8")).get(self.extra)
        except (FileNotFoundError, ValueError, AttributeError):  # none, or damaged: a new one
            return None
        return found if isinstance(found, str) else None

    def keep_id(self, name: str) -> None:
        path = self.folder.path / IDS
        try:
            known = dict(json.loads(path.read_text(encoding="utf8")))
        except (FileNotFoundError, ValueError, TypeError):
            known = {}
        write_atomically(path, json.dumps({**known, self.extra: name}) + "\n")


class TensorBoard(Tracker):
    """Event files in RUN/tensorboard."""

    package = extra = "tensorboard"

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, settings or {})
        self.writer: SummaryWriter | None = None

    def __call__(self, step: int, figures: Figures) -> None:
        writer = self._writer(step)
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    def picture(self, step: int, pixels: NDArray[np.uint8], what: str) -> None:
        self._writer(step).add_image(what, pixels, step, dataformats="HWC")

    def _writer(self, step: int) -> "SummaryWriter":
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow: only for those who log to it

            # what a resumed run repeats replaces what was logged beyond its checkpoint
            self.writer = SummaryWriter(str(self.folder.path / "tensorboard"), purge_step=step)
        return self.writer

    def rescue(self, loop: TrainState, error: DivergenceError) -> bool:
        self.close()  # the next figure opens it anew and replaces what the rollback undid
        return False

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class MLflow(Tracker):
    """A run of MLflow, in the store that MLFLOW_TRACKING_URI names, else MLflow's own default."""

    package = extra = "mlflow"
    MOST_PARAMETERS, LONGEST = 100, 500
    """Parameters in one call, and characters in a value."""

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        super().__init__(folder, settings)
        self.client: Any = None
        self.run = ""
        self.finished = False

    def __call__(self, step: int, figures: Figures) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in figures.items()]
        self._open().log_batch(self.run, metrics=metrics)

    def picture(self, step: int, pixels: NDArray[np.uint8], what: str) -> None:
        self._open().log_image(self.run, pixels, key=what, step=step)

    def _open(self) -> Any:
        if self.client is None:
            from mlflow import MlflowClient

            self.client = MlflowClient()
            known = self.known_id()
            if known is None:
                self._begin()
            else:
                self.run = known
                self.client.update_run(known, status="RUNNING")
        return self.client

    def _begin(self) -> None:
        from mlflow.entities import Param

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        number = self.client.create_experiment(name) if found is None else found.experiment_id
        self.run = self.client.create_run(number, run_name=self.folder.path.name).info.run_id
        self.keep_id(self.run)
        values = [Param(name, str(v)[: self.LONGEST]) for name, v in dotted(self.settings)]
        for start in range(0, len(values), self.MOST_PARAMETERS):
            self.client.log_batch(self.run, params=values[start : start + self.MOST_PARAMETERS])

    def finish(self, loop: TrainState) -> None:
        self.finished = loop.step >= loop.settings.steps

    def close(self) -> None:
        if self.client is not None:
            self.client.set_terminated(self.run, "FINISHED" if self.finished else "KILLED")
            self.client = None


class WandB(Tracker):
    """A run of Weights & Biases in RUN/wandb: offline, unless WANDB_MODE says otherwise."""

    package = extra = "wandb"

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        super().__init__(folder, settings)
        self.run: Any = None

    def __call__(self, step: int, figures: Figures) -> None:
        # the step is a figure, since W&B drops those of its own that go back, as a rollback's do
        self._open().log({**figures, "step": step})

    def picture(self, step: int, pixels: NDArray[np.uint8], what: str) -> None:
        import wandb

        self._open().log({what: wandb.Image(pixels), "step": step})

    def _open(self) -> Any:
        if self.run is None:
            import wandb

            name = self.known_id() or secrets.token_hex(4)
            self.run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=self.folder.path.name,
                id=name,
                resume="allow",
                dir=str(self.folder.path),
                config=dict(self.settings),
                mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
                reinit="create_new",  # several seeds of a cohort log side by side
                settings=wandb.Settings(silent=True),
            )
            self.run.define_metric("*", step_metric="step")
            self.keep_id(name)
        return self.run

    def close(self) -> None:
        if self.run is not None:
            self.run.finish()
            self.run = None


TRACKERS: tuple[type[Tracker], ...] = (TensorBoard, MLflow, WandB)
