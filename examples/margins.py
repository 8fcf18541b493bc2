"""A sweep of your own: three margins and two widths of an EBGAN on scikit-learn's digits.

energan sweep examples/margins.py --steps 1000        six trials, a few minutes on two cores
"""

from energan import Sweep


def settings(values):
    """Each trial's changes to the recipe, by dotted names of settings."""
    return {
        "model.margin": values["margin"],
        "model.generator": [values["width"]] * 2,
    }


sweep = Sweep(
    name="margins",
    summary="margin and width of G",
    recipe="ebgan-digits",
    axes={"margin": (1, 4, 16), "width": (64, 256)},
    settings=settings,
)
