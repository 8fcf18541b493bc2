"""Settings of objectives against a generator, for the models to take on."""

from typing import Literal

from pydantic import Field

from energan.core import Config, Domain, Objective, SettingError
from energan.core.schedules import Schedule
from energan.objectives.adaptive import IMAGES, AdaptivelyAugmented
from energan.objectives.adversarial import LogitHinge, Relativistic
from energan.objectives.augmented import Augmentation, augmented, image_range
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

    augment: tuple[Augmentation | Literal["adaptive"], ...] = Field(
        (),
        description="augmentation of the discriminator's images, real and fake: colour, "
        "translation, cutout (DiffAugment), or adaptive (ADA)",
    )
    augment_images: int = Field(
        IMAGES,
        ge=1,
        description="adaptive: number of images over which its probability goes from 0 to 1",
    )
    r1: Schedule = Field(0.0, description="γ of the penalty γ/2 · E ‖∇U(x)‖² on real examples (R1)")
    r2: Schedule = Field(0.0, description="γ of the same penalty on samples (R2)")

    @property
    def penalties(self) -> dict[str, Schedule]:
        """Those with a weight, as hypers."""
        return {name: weight for name in ("r1", "r2") if (weight := getattr(self, name)) != 0}

    def on_seen(self, objective: Objective, domain: Domain, *, pairs: bool = False) -> Objective:
        """The objective on what D sees. pairs: whether D's level means nothing. Raises SettingError
        if the data cannot be augmented so."""
        named = tuple(name for name in self.augment if name != "adaptive")
        if named == self.augment:
            return augmented(objective, named, domain)
        if named:
            raise SettingError(
                f"model.augment: adaptive has its own transforms: leave out {' '.join(named)}, "
                "or adaptive"
            )
        low, high = image_range(domain)
        images = self.augment_images
        return AdaptivelyAugmented(objective, low, high, pairs=pairs, images=images)


class Adversarial(Regularised):
    """The loss of a GAN, its energy of either sign."""

    loss: AdversarialLoss = Field("logistic", description="adversarial loss of both networks")
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
                "model.sampler_loss applies to the logistic loss only: leave it unset with "
                f"{self.loss}"
            )
        if self.loss == "wasserstein" and not self.penalties:
            raise SettingError(
                "model.loss wasserstein needs a gradient penalty: set model.gradient_penalty to 10"
            )
        chosen = Logistic(self.sampler_loss) if self.loss == "logistic" else KINDS[self.loss]()
        if self.loss == "wasserstein" and "adaptive" in self.augment:
            raise SettingError(
                "model.augment adaptive needs logits whose sign tells real from fake, which "
                "model.loss wasserstein does not give: use colour translation cutout"
            )
        return self.on_seen(chosen, domain, pairs=self.loss == "relativistic")
