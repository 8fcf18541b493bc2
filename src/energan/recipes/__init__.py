"""Named settings, a file per paper. They are plain data, so that listing them needs no torch."""

from difflib import get_close_matches

from energan.errors import SettingError
from energan.recipes import (
    conditional,
    dcgan2015,
    ebgan2017,
    energymatching2025,
    equilibriummatching2025,
    fixmatch2020,
    gan2014,
    igebm2019,
    inspection,
    isola2016,
    jem2020,
    ladder2017,
    r3gan2024,
    scorematching2019,
    tagging,
)
from energan.recipes.recipe import TASKS, Recipe

FILES = (
    ebgan2017,
    gan2014,
    dcgan2015,
    conditional,
    isola2016,
    r3gan2024,
    igebm2019,
    scorematching2019,
    jem2020,
    energymatching2025,
    equilibriummatching2025,
    ladder2017,
    fixmatch2020,
    tagging,
    inspection,
)
RECIPES: dict[str, Recipe] = {r.name: r for file in FILES for r in file.RECIPES}


def find(name: str) -> Recipe:
    """The recipe of that name. Raises SettingError, naming the near ones, if there is none."""
    if name in RECIPES:
        return RECIPES[name]
    near = get_close_matches(name, RECIPES, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`energan recipes` lists them."
    raise SettingError(f"no recipe or settings file {name!r}: {hint}")


__all__ = ["RECIPES", "TASKS", "Recipe", "find"]
