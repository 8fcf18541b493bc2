"""What the objectives share whose sampler simply descends the energy: L_G = E U(G(z)) + w·f_PT."""

from abc import abstractmethod

from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective, SettingError
from energan.objectives.penalties import score_pair
from energan.objectives.terms import pull_away


class Descent(Objective):
    """Base class of objectives whose sampler minimises E U(G(z)) (Zhao et al. 2017, eq. 2).

    Subclasses define the loss of the energy. The scheduled value "pull_away", if a model sets
    it, is the weight of the pulling-away term in the sampler's loss (eq. 14 and section 2.4).
    """

    @abstractmethod
    def contrast(self, real: Tensor, fake: Tensor, context: Context) -> Tensor:
        """The loss (M,) of energies real (M, N), fake (M, N')."""

    def data_term(self, real: Tensor) -> Tensor:
        """What `contrast` asks of data alone, (M,): the whole loss once the generator rests."""
        return real.mean(-1)

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        if draw is None:  # the generator rests: only the data speaks
            real = context.rows(energy(batch.x, batch.condition, stream="real").energy)
            return Loss(self.data_term(real), {"energy_real": real.detach().mean(-1)})
        pair = score_pair(energy, batch, draw, context)
        return pair.loss(self.contrast(pair.real, pair.fake, context))

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        scored = energy(draw.x, draw.condition, stream="fake")
        total = context.rows(scored.energy).mean(-1)
        weight = context.hyper.get("pull_away")
        if weight is None:
            return Loss(total)
        if scored.code is None:
            raise SettingError(
                "the pulling-away term needs the code of an encoder, and "
                f"{type(energy).__name__} has none: set its weight to 0, or use a reconstruction "
                "energy"
            )
        term = pull_away(context.gather(context.vectors(scored.code)))
        return Loss(total + weight.squeeze(-1) * term, {"pull_away": term.detach()})
