"""How the losses are formed: pure functions on energies, and the objectives made of them."""

from energan.objectives.adversarial import LogitHinge, Relativistic
from energan.objectives.cells import CellwiseFocal, focal
from energan.objectives.contrastive import Contrastive, MaximumLikelihood, contrastive, energy_l2
from energan.objectives.few_labels import FewLabels
from energan.objectives.joint import JointLikelihood
from energan.objectives.logistic import Logistic, logistic, minimax, non_saturating
from energan.objectives.margin import Hinge, Log, SquareSquare, hinge, log_loss, square_square
from energan.objectives.paired import PairedLogistic
from energan.objectives.penalties import gradient_penalty
from energan.objectives.regression import (
    DenoisingScoreMatching,
    EnergyMatching,
    EquilibriumMatching,
)
from energan.objectives.terms import absolute_difference, pull_away

__all__ = [
    "CellwiseFocal", "Contrastive", "DenoisingScoreMatching", "EnergyMatching",
    "EquilibriumMatching", "FewLabels", "Hinge", "JointLikelihood", "Log", "Logistic", "LogitHinge",
    "MaximumLikelihood", "PairedLogistic", "Relativistic", "SquareSquare", "absolute_difference",
    "contrastive", "energy_l2", "focal", "gradient_penalty", "hinge", "log_loss", "logistic",
    "minimax", "non_saturating", "pull_away", "square_square",
]  # fmt: skip
