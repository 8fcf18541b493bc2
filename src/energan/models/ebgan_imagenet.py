"""EBGAN and EBGAN-PT at 128×128 and 256×256 (Zhao et al. 2017, section 4.4): noise in every layer.

    U(x) = ‖Dec(Enc(x)) − x‖                                       (eq. 13)
    L_D = E U(x) + E [m − U(G(z))]^+                               (eq. 1)
    L_G = E U(G(z)) + w · f_PT(Enc(G(z)))                          (eqs 2, 14; w = 0 for EBGAN)

Appendix C's networks; the inputs of G's layers, maps + noise planes @ side:

    128: 100@1 → 1024+64@4 → 512+32@8 → 256+16@16 → 128+8@32 → 64+4@64 → 64@128 → 3@128
    256: 100@1 → 2048+64@4 → 1024+32@8 → 512+16@16 → 256+8@32 → 128+4@64 → 64+2@128 → 64@256 → 3@256

Enc (64)4c2s-(128)4c2s-(256)4c2s-(512)4c2s, Dec (256)4c2s-(128)4c2s-(64)4c2s-(3)4c2s, margins 40 and
80. All of G's noise is one z of 31,844 or 64,612 numbers. Other sides of 4·2^k follow the pattern.
"""

from pydantic import Field

from energan.core import Domain, Model, SettingError
from energan.core.schedules import MARGIN, Margin
from energan.models import ebgan_conv
from energan.nets.conv import image_shape
from energan.nets.mlp import Widths, check_output, set_weights
from energan.nets.noisy import START, NoisyGenerator
from energan.nets.recompute import recomputed
from energan.samplers.generator import Generator

AT_ONCE = 32
"""Images that the generator makes in one pass outside training: at 256×256 their feature maps fill
0.5 GiB a layer."""


class Config(ebgan_conv.Config):
    """Settings of EBGAN with noise in every layer; the defaults are the paper's for 128×128."""

    margin: Margin = Field(40.0, description=MARGIN)
    generator_width: int = Field(
        64,
        ge=1,
        description="channels of the generator's last two layers; each earlier layer has twice "
        "as many",
    )
    latent: int = Field(
        100, ge=1, description="dimension of the latent vector z, not counting the noise channels"
    )
    noise: Widths = Field(
        (),
        description="noise channels added to each layer, from 4x4 on; if not set, chosen from "
        "the image size",
    )
    noise_width: int = Field(
        64, ge=1, description="noise channels at 4x4; each later layer has half as many"
    )
    checkpointing: bool = Field(
        False,
        description="recompute activations in the backward pass (gradient checkpointing): less "
        "memory, more time",
    )

    @classmethod
    def tiny(cls) -> "Config":
        return cls(generator=(8, 4), noise=(2,), encoder=(4, 8), latent=4, checkpointing=True)

    def generator_widths(self, shape: tuple[int, int, int]) -> tuple[int, ...]:
        """Those that were set, or a layer for each doubling from 4×4, and one more."""
        doublings = (min(shape[1:]) // START).bit_length() - 1
        widths = [self.generator_width << i for i in range(doublings)]
        return self.generator or (*reversed(widths), self.generator_width)

    def noise_planes(self, layers: int) -> tuple[int, ...]:
        """Those that were set, or half as many at each of `layers` sizes, one at the least."""
        return self.noise or tuple(max(self.noise_width >> i, 1) for i in range(layers))


def build(config: Config, domain: Domain) -> Model:
    """The three choices, for images of `domain`."""
    shape = image_shape(domain, "ebgan_imagenet")
    check_output(config.output, domain)
    widths = config.generator_widths(shape)
    noise = config.noise_planes(len(widths) - 1)
    _check(widths, noise, shape)
    generator = NoisyGenerator(config.latent, widths, noise, shape[0], config.output)
    if config.scale is not None:
        set_weights(generator, "normal", config.scale)
    sampler = Generator(generator, generator.latent_size, config.prior, at_once=AT_ONCE)
    model = ebgan_conv.build_against(sampler, widths, config, domain)
    model.chosen["noise"] = "-".join(map(str, noise))
    if config.checkpointing:
        recomputed(generator)
        recomputed(model.energy)
    return model


def _check(widths: tuple[int, ...], noise: tuple[int, ...], shape: tuple[int, int, int]) -> None:
    """Raise SettingError unless G's doublings from 4×4 end at the images' size."""
    side = START << len(widths) - 1
    if len(widths) < 2 or shape[1:] != (side, side):
        near = START << max(round(min(shape[1:]) / START).bit_length() - 1, 1)
        raise SettingError(
            f"the generator doubles 4x4 {len(widths) - 1} times, to {side}x{side}, and the "
            f"images are {shape[1]}x{shape[2]}: resize them, for example with --data.size "
            f"{near}, or change the number of layers in --model.generator"
        )
    if len(noise) != len(widths) - 1:
        raise SettingError(
            f"model.noise has {len(noise)} entries, and the generator has {len(widths)} layers "
            f"before its output, all but the last of which take noise: give {len(widths) - 1} "
            "numbers"
        )
