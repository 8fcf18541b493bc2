"""What `import energan` offers."""

import inspect
import subprocess
import sys

import energan

NAMES = {
    "EnerganError", "Run", "Sweep", "__version__", "evaluate", "export", "load", "metrics",
    "objectives", "restore", "sample_chains", "samplers", "sklearn", "sweep",
    "train",
}  # fmt: skip


def test_the_names_are_these_and_each_is_there() -> None:
    assert set(energan.__all__) == NAMES
    assert dir(energan) == sorted(energan.__all__)
    assert all(getattr(energan, name) is not None for name in energan.__all__)


def test_what_is_called_is_a_function_and_what_holds_more_is_a_package() -> None:
    for name in ("evaluate", "export", "load", "restore", "sample_chains", "sweep", "train"):
        assert inspect.isfunction(getattr(energan, name))
    for name in ("metrics", "objectives", "samplers", "sklearn"):
        assert inspect.ismodule(getattr(energan, name))
    assert inspect.isclass(energan.Sweep)


def test_importing_energan_does_not_import_torch() -> None:
    code = "import sys, energan, energan.sweeps; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
