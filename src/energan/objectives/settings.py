"""Settings of objectives against a generator, for the models to take on."""

from typing import Literal

from pydantic import Field

from energan.core import Config, Domain, Objective, SettingError
from energan.core.schedules import Schedule
from energan.objectives.adversarial import LogitHinge, Relativistic
from energan.objectives.augmented import Augmentation, augmented
from energan.objectives.contrastive import Contrastive
from energan.objectives.logistic import Logistic, SamplerLoss

AdversarialLoss = Literal["logistic", "relativistic", "hinge", "wasserstein"]
KINDS: dict[str, type[Objective]] = {
    "relativistic": Relativistic,
    "hinge": LogitHinge,
    "wasserstein": Contrastive,
}


class Regularised(Config):
    """What D sees, and how steep its energy may be."""

    augment: tuple[Augmentation, ...] = Field(
        (), description="what D's images, real and fake, are augmented by (DiffAugment)"
    )
    r1: Schedule = Field(0.0, description="γ of the penalty γ/2 · E ‖∇U(x)‖² at data")
    r2: Schedule = Field(0.0, description="γ of the same penalty at samples")

    @property
    def penalties(self) -> dict[str, Schedule]:
        """Those with a weight, as hypers."""
        return {name: weight for name in ("r1", "r2") if (weight := getattr(self, name)) != 0}

    def on_seen(self, objective: Objective, domain: Domain) -> Objective:
        """The objective on what D sees. Raises SettingError if the data cannot be augmented."""
        return augmented(objective, self.augment, domain)


class Adversarial(Regularised):
    """The loss of a GAN, its energy of either sign."""

    loss: AdversarialLoss = Field("logistic", description="the two losses")
    sampler_loss: SamplerLoss = "non-saturating"
    gradient_penalty: Schedule = Field(
        0.0, description="λ of the penalty λ · E (‖∇U‖ − 1)² between data and samples (WGAN-GP: 10)"
    )

    @property
    def penalties(self) -> dict[str, Schedule]:
        weight = self.gradient_penalty
        return {**super().penalties, **({"gradient_penalty": weight} if weight != 0 else {})}

    def objective(self, domain: Domain) -> Objective:
        """The chosen loss on what D sees. Raises SettingError if the settings or the data do not
        fit."""
        if self.loss != "logistic" and self.sampler_loss != "non-saturating":
            raise SettingError(
                f"model.sampler_loss is of the logistic loss: leave it unset with {self.loss}"
            )
        if self.loss == "wasserstein" and not self.penalties:
            raise SettingError(
                "model.loss wasserstein has no bound without a penalty: set "
                "model.gradient_penalty to 10"
            )
        chosen = Logistic(self.sampler_loss) if self.loss == "logistic" else KINDS[self.loss]()
        return self.on_seen(chosen, domain)
