"""Radford, Metz, Chintala: Unsupervised Representation Learning with DCGANs (2015).

Each stands beside EBGAN and EBGAN-PT of the same data (Zhao et al. 2017, section 4.3): the data,
the batch, the length, G with its first weights and the optimisers are theirs; the system differs.
"""

from energan.recipes.ebgan2017 import BEDROOMS, FACES, PATCHES
from energan.recipes.recipe import Recipe

RECIPES = [
    Recipe("dcgan-celeba", "DCGAN on faces of 64×64 (EBGAN's figure 6)", "dcgan", FACES),
    Recipe("dcgan-lsun", "DCGAN on bedrooms of 64×64 (EBGAN's figure 5)", "dcgan", BEDROOMS),
    Recipe("dcgan-lsun-patches", "DCGAN on patches of bedrooms (figure 11)", "dcgan", PATCHES),
]
