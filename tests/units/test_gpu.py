"""tests/gpu in a process of their own, which sees a GPU: this machine's, or a pretended one."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import pretended_gpu

TESTS = Path(__file__).parents[1]
NOTHING_COLLECTED = 5


@pytest.mark.slow
def test_all_that_a_gpu_does_works(pytestconfig: pytest.Config) -> None:
    if pretended_gpu.REAL:
        variables = pretended_gpu.unhidden()
    else:
        if reason := pretended_gpu.why_not():
            pytest.skip(reason)
        assert pytestconfig.cache is not None
        try:
            library = pretended_gpu.build(pytestconfig.cache.mkdir("pretended-gpu"))
        except subprocess.CalledProcessError as error:
            first = error.stderr.strip().splitlines()[0]
            pytest.skip(f"the pretended GPU cannot be built: {first}")
        variables = pretended_gpu.environment(library)
    words = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(TESTS / "gpu")]
    done = subprocess.run(
        [sys.executable, *words], cwd=TESTS.parent, env=variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if pretended_gpu.REAL and done.returncode == NOTHING_COLLECTED:
        pytest.skip("torch is built for CUDA, and there is no GPU")
    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert "passed" in last
    assert pretended_gpu.REAL or "skipped" not in last, done.stdout
