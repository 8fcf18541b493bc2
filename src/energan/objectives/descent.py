"""What the objectives share whose sampler simply descends the energy: L_G = E U(G(z)) + w·f_PT."""

from abc import abstractmethod

from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective
from energan.objectives.terms import pull_away


class Descent(Objective):
    """The sampler lowers U(G(z)) (Zhao et al. 2017, eq. 2); a subclass says how U is shaped.

    hyper "pull_away": the weight w of the pulling-away term, if the model sets one; it stands in
    the sampler's loss alone (eq. 14 and section 2.4).
    """

    @abstractmethod
    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        """The loss (M,) of energies real (M, N), fake (M, N')."""

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        real = context.rows(energy(batch.x, batch.condition, stream="real").energy)
        if draw is None:  # the generator rests: only the data speaks
            total = real.mean(-1)
            return Loss(total, {"energy_real": total.detach()})
        fake = context.rows(energy(draw.x, draw.condition, stream="fake").energy)
        return Loss(
            self.contrast(real, fake, context),
            {"energy_real": real.detach().mean(-1), "energy_fake": fake.detach().mean(-1)},
        )

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        scored = energy(draw.x, draw.condition, stream="fake")
        total = context.rows(scored.energy).mean(-1)
        weight = context.hyper.get("pull_away")
        if weight is None:
            return Loss(total)
        assert scored.code is not None  # check() refused energies without a code
        term = pull_away(context.vectors(scored.code))
        return Loss(total + weight.squeeze(-1) * term, {"pull_away": term.detach()})
