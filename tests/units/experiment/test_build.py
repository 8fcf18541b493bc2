"""What is built of a run's config.json."""

import json
import shutil
from pathlib import Path

import pytest

import energan
from energan.core import RunError, SettingError
from energan.experiment.run_records import networks_of
from energan.io.run_folder import RunFolder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "digits"
    quiet = {"sample_every": 0, "tensorboard": False}
    energan.train(
        "ebgan-digits", steps=1, out=out, engine={"threads": 1}, output=quiet, progress=False
    )
    return out


@pytest.mark.parametrize(
    ("group", "values", "error", "says"),
    [
        ("settings", {"generator": [10**9, 10**9]}, RunError, "its sampler network has"),
        (
            "settings",
            {"generator": [10**30]},
            SettingError,
            r"generator: at most 1,000,000,000 \(given",
        ),
        ("resolved", {"shape": [16, 4096, 4096]}, RunError, r"its energy network has [\d,]+ param"),
    ],
)
def test_networks_larger_than_the_trained_ones_are_not_built(
    trained: Path, tmp_path: Path, group: str, values: dict[str, object], error: type, says: str
) -> None:
    """They would fill the memory, and the system would end the process."""
    run = Path(shutil.copytree(trained, tmp_path / "digits"))
    config = json.loads((run / "config.json").read_text())
    config[group]["model" if group == "settings" else "domain"].update(values)
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=rf"config\.json.*{says}"):
        networks_of(RunFolder(run))
