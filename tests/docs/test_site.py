"""`make docs`: the site builds without a warning, and its pages fetch nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.markdown import DOCS, ROOT

pytest.importorskip("mkdocs", reason="the site needs the extra docs")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_every_page_is_built(site: Path) -> None:
    built = len(list(site.rglob("index.html")))
    assert built == len(list(DOCS.rglob("*.md")))


def test_no_page_fetches_anything(site: Path) -> None:
    fetched = re.compile(r'(?:src="|<link[^>]+href="|@import |url\()(?:https?:)?//')
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        assert not fetched.search(page.read_text(encoding="utf8")), page


def test_the_reference_has_signatures_and_docstrings(site: Path) -> None:
    text = (site / "python" / "reference" / "index.html").read_text(encoding="utf8")
    for name in ("energan.train", "energan.load", "energan.Run.score"):
        assert f'id="{name}"' in text


def test_the_reference_shows_every_name_that_it_lists(site: Path) -> None:
    """A name that has moved is left out without a word."""
    text = (site / "python" / "reference" / "index.html").read_text(encoding="utf8")
    source = (DOCS / "python" / "reference.md").read_text(encoding="utf8")
    listed = re.findall(r"^::: (\S+)\n((?:    .*\n)*)", source, re.M)
    assert len(listed) > 50
    for owner, options in listed:
        members = re.findall(r"members: \[(.*)\]", options)
        names = [f"{owner}.{m}" for each in members for m in each.split(", ")] or [owner]
        if "show_root_heading: false" in options and not members:
            continue  # a whole module, without a heading of its own
        missing = [name for name in names if f'id="{name}"' not in text]
        assert not missing
