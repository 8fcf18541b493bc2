"""Memory that is free is given back."""

import resource
from pathlib import Path

import pytest

from energan.io.memory import return_memory


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_below_a_block_in_use_goes_back_to_the_system() -> None:
    """Free blocks with used ones between them, which the C library keeps to itself."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    if not return_memory():
        pytest.skip("the C library cannot")
    blocks = [bytearray(b"x" * 64_000) for _ in range(1_500)]
    kept = blocks[::10]
    before = resident()
    del blocks
    assert return_memory()
    assert len(kept) == 150
    assert resident() < before - 50_000_000
