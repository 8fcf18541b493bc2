"""Cores: the environment's word, the affinity, the container's quota, and processes that share."""

import os
from pathlib import Path

import pytest

from energan.io.cores import cores, threads


def test_threads_are_the_environments_or_the_cores_within_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr("energan.io.cores.QUOTA", quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == 6
    for told, found in (("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("", 6)):
        quota.write_text(told)
        assert threads() == found
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # set by torchrun, not by the user
    quota.write_text("max 100000")
    assert threads() == 3  # the two share the machine
    assert cores() == 6
