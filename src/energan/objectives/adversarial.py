"""GAN losses of an energy of either sign, beside the logistic one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective
from energan.objectives.descent import Descent
from energan.objectives.margin import log_loss
from energan.objectives.penalties import score_pair


class Relativistic(Objective):
    """Relativistic objective of R3GAN (Jolicoeur-Martineau 2019; Huang et al. 2024, eq. 2).

    L_D = E softplus(U(x) − U(G(z))) and L_G = E softplus(U(G(z)) − U(x)), over pairs of an
    example and a sample.
    """

    equilibrium = (
        "If samples cannot be told from data, both losses are ln 2 ≈ 0.69, before the gradient "
        "penalties."
    )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert draw is not None  # pairs have no form without fakes
        pair = score_pair(energy, batch, draw, context)
        return pair.loss(log_loss(pair.real, pair.fake))

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        with torch.no_grad():  # nothing of data depends on the sampler
            real = context.rows(energy(batch.x, batch.condition, stream="real").energy)
        fake = context.rows(energy(draw.x, draw.condition, stream="fake").energy)
        return Loss(log_loss(fake, real))


class LogitHinge(Descent):
    """Hinge objective of GANs (Lim & Ye 2017), for energies that are negated logits.

    L_D = E [1 + U(x)]^+ + E [1 − U(G(z))]^+ and L_G = E U(G(z)).
    """

    equilibrium = "If samples cannot be told from data, L_D is 2 and both energies are near 0."

    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        return F.relu(1 + real).mean(-1) + F.relu(1 - fake).mean(-1)
