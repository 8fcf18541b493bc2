"""The panels of the page, by the names of their tabs."""

from energan.studio.panels.base import StudioPanel
from energan.studio.panels.generate import GeneratePanel
from energan.studio.panels.judge import JudgePanel
from energan.studio.panels.runs import RunsPanel
from energan.studio.panels.sweeps import SweepsPanel
from energan.studio.panels.train import TrainPanel
from energan.studio.panels.uploaded import (
    ClassifyPanel,
    RestorePanel,
    TagPanel,
    TranslatePanel,
)

PANELS: dict[str, type[StudioPanel]] = {
    "Runs": RunsPanel,
    "Train": TrainPanel,
    "Generate": GeneratePanel,
    "Judge": JudgePanel,
    "Classify": ClassifyPanel,
    "Translate": TranslatePanel,
    "Restore": RestorePanel,
    "Tag": TagPanel,
    "Sweeps": SweepsPanel,
}

__all__ = ["PANELS", "StudioPanel"]
