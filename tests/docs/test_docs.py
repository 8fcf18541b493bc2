"""The documentation: links lead somewhere, and what the pages on methods name exists."""

import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import energan
from energan import models
from energan.recipes import RECIPES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page.name for page in (DOCS / "methods").glob("*.md") if page.stem != "index")
FAMILIES = tuple(sorted({name.split("-")[0] for name in RECIPES}))


@pytest.mark.parametrize("page", PAGES)
def test_recipes_that_a_page_names_exist(page: str) -> None:
    """Names in code of a recipe's family, and what `energan train` is given."""
    text = (DOCS / "methods" / page).read_text(encoding="utf8")
    families = "|".join(FAMILIES)
    named = set(re.findall(rf"`((?:{families})-[a-z0-9-]*[a-z0-9])[` ]", text))
    named |= set(re.findall(r"energan (?:train|margin) ([a-z0-9-]+)", text))
    assert named
    assert named <= RECIPES.keys(), f"no recipes: {sorted(named - RECIPES.keys())}"


@pytest.mark.parametrize("page", PAGES)
def test_models_that_a_page_names_exist(page: str) -> None:
    text = (DOCS / "methods" / page).read_text(encoding="utf8")
    named = set(re.findall(r"--model ([a-z0-9_]+)", text))
    assert named <= set(models.names())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_stands_on_a_page_of_its_paper_or_of_its_use(name: str) -> None:
    pages = [page.read_text(encoding="utf8") for page in DOCS.rglob("*.md")]
    assert any(f"`{name}`" in text or f"train {name}" in text for text in pages)


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_a_page_names_exist(page: str) -> None:
    """`--model.…` of a page is a setting of some model."""
    text = (DOCS / "methods" / page).read_text(encoding="utf8")
    named = {n.replace("-", "_") for n in re.findall(r"--model\.(?:no-)?([a-z0-9-]+)", text)}
    known = {field for name in models.names() for field in models.find(name).config.model_fields}
    assert named <= known, f"no settings: {sorted(named - known)}"


ROOT = DOCS.parent
LINKED = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


CURRENT = [page for page in LINKED if page not in ("CHANGELOG.md", "docs/python/reference.md")]
"""Pages about this version; building the site checks the reference."""


@pytest.mark.parametrize("page", CURRENT)
def test_python_names_that_a_page_has_exist(page: str) -> None:
    """As `energan.samplers.langevin`; names of files, as energan.json, are none."""
    text = (ROOT / page).read_text(encoding="utf8")
    for name in set(re.findall(r"\benergan(?:\.[A-Za-z_]\w*)+", text)) - {"energan.json"}:
        value: object = energan
        for part in name.split(".")[1:]:
            with suppress(ModuleNotFoundError):
                import_module(f"{value.__name__}.{part}" if isinstance(value, ModuleType) else name)
            assert hasattr(value, part), f"{name} does not exist"
            value = getattr(value, part)


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf8")
    outside = ("http://", "https://", "mailto:")
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(outside):
            continue
        target, _, heading = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), f"{page}: {link}"
        if heading and path.suffix == ".md":
            assert heading in headings(path.read_text(encoding="utf8")), f"{page}: {link}"


def headings(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    found = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}
