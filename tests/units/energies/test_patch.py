"""The patch energy: negated logits of the pair, cell by cell."""

import pytest
import torch

from energan.core import SettingError
from energan.energies.patch import Patches
from energan.nets.patch import patch_logits


def test_the_energy_is_the_negated_logit_of_each_patch_given_the_source() -> None:
    torch.manual_seed(0)
    energy = Patches(patch_logits(5, (4, 8)))
    x, source = torch.randn(6, 3, 16, 24), torch.randn(6, 2, 16, 24)
    scored = energy(x, source, stream="real")
    logits = energy.network(torch.cat([source, x], 1), "real")
    assert scored.energy.shape == (6, 6, 10)
    assert torch.equal(scored.energy, -logits[:, 0])
    other = energy(x, source.roll(1, 0), stream="real").energy
    assert (other - scored.energy).abs().max() > 1e-3
    assert not energy.nonnegative


def test_evaluated_energies_do_not_depend_on_the_neighbours() -> None:
    torch.manual_seed(0)
    energy = Patches(patch_logits(2, (4, 8, 8)))
    x, source = torch.randn(4, 1, 24, 24), torch.randn(4, 1, 24, 24)
    with torch.no_grad():
        together = energy(x, source, stream="eval").energy
        parts = [energy(x[i : i + 1], source[i : i + 1], stream="eval").energy for i in range(4)]
    torch.testing.assert_close(together, torch.cat(parts), rtol=1e-4, atol=1e-5)


def test_energies_are_in_full_precision() -> None:
    energy = Patches(patch_logits(2, (4, 8)))
    with torch.autocast("cpu", torch.bfloat16):
        scored = energy(torch.randn(2, 1, 16, 16), torch.randn(2, 1, 16, 16), stream="real")
    assert scored.energy.dtype == torch.float32


def test_without_a_source_it_says_what_is_missing() -> None:
    energy = Patches(patch_logits(2, (4, 8)))
    with pytest.raises(SettingError, match=r"and its source: use data in pairs"):
        energy(torch.randn(2, 1, 16, 16), stream="real")
