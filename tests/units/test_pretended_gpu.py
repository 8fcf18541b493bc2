"""tests/gpu on a machine without a GPU: in a process of their own, since torch looks for devices
once."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import pretended_gpu

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_all_that_a_gpu_does_works_on_a_pretended_one(pytestconfig: pytest.Config) -> None:
    if reason := pretended_gpu.why_not():
        pytest.skip(reason)
    assert pytestconfig.cache is not None
    try:
        library = pretended_gpu.build(pytestconfig.cache.mkdir("pretended-gpu"))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the pretended GPU cannot be built: {error.stderr.strip().splitlines()[0]}")
    words = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(TESTS / "gpu")]
    done = subprocess.run(
        [sys.executable, *words], cwd=TESTS.parent, env=pretended_gpu.environment(library),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert "passed" in last
    assert "skipped" not in last, done.stdout
