"""One cache for all tests of evaluation, so that a classifier is trained once."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENERGAN_CACHE", str(shared_cache))
