"""Learning from few labels: the energy also classifies (Zhao et al. 2017, section 4.2).

    L_D = w·CE(logits(x_l), y_l) + λ·(E U(x) + c·E [m − U(G(z))]^+)
    L_G = E U(G(z))

Without a generator, once it stopped, and at m = 0 this is the ladder network itself.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch.nn.functional as F
from torch import Tensor

from energan.core import Batch, Context, Draw, Energy, Loss, Objective, Scored, SettingError, Stream


@runtime_checkable
class PartedEnergy(Protocol):
    """An energy that scores the parts of a batch together, and classifies."""

    def score(self, parts: Mapping[Stream, Tensor]) -> dict[Stream, Scored]: ...


class FewLabels(Objective):
    """Objective of EBGAN-LN and of ladder networks (Zhao et al. 2017, section 4.2).

    Scheduled values: "classification" is the weight w of the cross-entropy, "reconstruction" the
    weight λ of the energies, "margin" is m, "contrast" the weight c of the hinge.
    """

    equilibrium = (
        "L_D is the cross-entropy of the labelled examples plus λ times the energies. While the "
        "generator trains, L_G is the energy of its samples."
    )

    def check(self, energy: Energy) -> None:
        if not isinstance(energy, PartedEnergy) or not energy.nonnegative:
            raise SettingError(
                "learning from few labels needs an energy that classifies and is never "
                f"negative, and {type(energy).__name__} is not one: use a ladder network"
            )

    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert isinstance(energy, PartedEnergy)
        x, labels = labelled_of(batch)
        parts: dict[Stream, Tensor] = {"real": batch.x}
        if draw is not None:
            parts["fake"] = draw.x
        scored = energy.score({**parts, "labelled": x})
        crossed = cross_entropy(scored["labelled"], labels, context)
        real = context.rows(scored["real"].energy)
        told = {"cross_entropy": crossed.detach(), "energy_real": real.detach().mean(-1)}
        contrast = real.mean(-1)
        if draw is not None:
            fake = context.rows(scored["fake"].energy)
            told["energy_fake"] = fake.detach().mean(-1)
            hinge = F.relu(context.hyper["margin"] - fake).mean(-1)
            told["hinge"] = hinge.detach()
            contrast = contrast + context.hyper["contrast"].squeeze(-1) * hinge
        w, weight = (context.hyper[n].squeeze(-1) for n in ("classification", "reconstruction"))
        return Loss(w * crossed + weight * contrast, told)

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        return Loss(context.rows(energy(draw.x, stream="fake").energy).mean(-1))


def labelled_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """A batch's labelled examples and their labels. Raises SettingError if it has none."""
    labelled = batch.labelled
    if labelled is None or labelled.condition is None:
        raise SettingError(
            "learning classes needs batches with labelled examples: give labels by data.labels "
            "or class folders"
        )
    return labelled.x, labelled.condition


def logits_of(energy: Energy, x: Tensor, stream: Stream) -> Scored:
    """The energy's scores of x, with logits. Raises SettingError if it gives none."""
    scored: Scored = energy(x, stream=stream)
    if scored.logits is None:
        raise SettingError(
            f"learning classes needs an energy with logits, and {type(energy).__name__} has "
            "none: use LogSumExp"
        )
    return scored


def cross_entropy(
    scored: Scored, labels: Tensor, context: Context, weights: Tensor | None = None
) -> Tensor:
    """Mean cross-entropy over the labelled examples of each seed, (M,); each times its weight."""
    assert scored.logits is not None
    each = F.cross_entropy(scored.logits.flatten(0, -2), labels.flatten(), reduction="none")
    return context.rows(each if weights is None else each * weights.flatten()).mean(-1)
