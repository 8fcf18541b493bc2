"""The objective of samples that each belong to one real event (Isola et al. 2016)."""

from energan.core import Batch, Context, Draw, Energy, Loss
from energan.objectives.logistic import Logistic
from energan.objectives.terms import absolute_difference


class PairedLogistic(Logistic):
    """Objective of pix2pix (Isola et al. 2016): logistic losses, and an L1 distance to the target.

    The discriminator's loss is halved, "which slows down the rate at which D learns relative to
    G" (section 3.3). The scheduled value "l1" is the weight λ of the distance between each
    sample and its target (eq. 4).
    """

    equilibrium = (
        "If samples cannot be told from data, L_D is ln 2 ≈ 0.69 (half the sum). Near 0 the "
        "generator hardly learns."
    )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        loss = super().energy_loss(energy, batch, draw, context)
        return Loss(loss.total / 2, loss.parts)

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        deceit = super().sampler_loss(energy, batch, draw, context).total
        l1 = absolute_difference(context.rows(draw.x), context.rows(batch.x))
        total = deceit + context.hyper["l1"].squeeze(-1) * l1
        return Loss(total, {"difference": l1.detach(), "deceit": deceit.detach()})
