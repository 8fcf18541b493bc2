"""Likelihood of x and cross-entropy of its label, of one energy (Grathwohl et al. 2020, eq. 8).

−log p(x, y) = −log p(x) − log p(y | x)
L = c·(E U(x) − E U(x̃) + λ(E U(x)² + E U(x̃)²)) + w·CE(logits(x_l), y_l),   x̃ chains
"""

from energan.core import Batch, Context, Draw, Energy, Loss
from energan.objectives.contrastive import MaximumLikelihood
from energan.objectives.few_labels import cross_entropy, labelled_of, logits_of


class JointLikelihood(MaximumLikelihood):
    """Objective of JEM: classification, and maximum likelihood of x (Grathwohl et al. 2020).

    Scheduled values: "contrast" is the weight of log p(x), "classification" that of the
    cross-entropy, "energy_l2" that of squared energies.
    """

    equilibrium = (
        "The cross-entropy falls towards 0; the rest stays near 0 once chains match the data."
    )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        likelihood = super().energy_loss(energy, batch, draw, context)
        x, labels = labelled_of(batch)
        scored = logits_of(energy, self.noisy(x, context), "labelled")
        crossed = cross_entropy(scored, labels, context)
        c, w = (context.hyper[name].squeeze(-1) for name in ("contrast", "classification"))
        parts = {**likelihood.parts, "cross_entropy": crossed.detach()}
        return Loss(c * likelihood.total + w * crossed, parts)
