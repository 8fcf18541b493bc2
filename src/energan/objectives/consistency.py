"""FixMatch (Sohn et al. 2020): labels, and the network's own sure guesses of what has none.

    L = CE(f(α(x_l)), y_l) + λ · E 1[max p ≥ τ] · CE(f(A(x)), argmax p),   p = softmax f(α(x))

α is a weak augmentation and A a strong one, each drawn anew; p has no gradient.
"""

import torch

from energan.core import Batch, Context, Draw, Energy, Loss, Objective
from energan.objectives.augmented import Augment
from energan.objectives.few_labels import cross_entropy, labelled_of, logits_of


class FixMatch(Objective):
    """hyper "consistency": λ.

    weak, strong: α and A. threshold: τ, the least probability of a guess that counts.
    """

    equilibrium = "The cross-entropy falls towards 0, and ever more guesses count (confident)."

    def __init__(self, weak: Augment, strong: Augment, threshold: float) -> None:
        self.weak, self.strong, self.threshold = weak, strong, threshold

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        x, labels = labelled_of(batch)
        scored = logits_of(energy, self.weak(x, context.generator), "labelled")
        crossed = cross_entropy(scored, labels, context)
        with torch.no_grad():
            clean = logits_of(energy, self.weak(batch.x, context.generator), "real")
            assert clean.logits is not None
            sure, guess = clean.logits.softmax(-1).max(-1)
            counts = (sure >= self.threshold).to(sure.dtype)
        strong = logits_of(energy, self.strong(batch.x, context.generator), "real")
        consistency = cross_entropy(strong, guess, context, counts)
        total = crossed + context.hyper["consistency"].squeeze(-1) * consistency
        return Loss(total, {
            "cross_entropy": crossed.detach(),
            "consistency": consistency.detach(),
            "confident": context.rows(counts).mean(-1),
            "energy_real": context.rows(clean.energy).mean(-1),
        })  # fmt: skip
