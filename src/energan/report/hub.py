"""Runs on the Hugging Face hub: written as a folder with a model card, pushed, and loaded again.

The folder is the run with one checkpoint: config.json, events.jsonl, scores, weights as
safetensors. Nothing in it is pickled.
"""

import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from energan.core import DataError, RunError, SettingError, describe
from energan.inference.run import Run
from energan.io.documents import read_json
from energan.io.files import write_atomically
from energan.report.model_card import PICTURE, model_card
from energan.training.checkpoint_choice import Weights

HUB = "hub:"
NAME = re.compile(r"[\w.-]+/[\w.-]+")
KEPT = ("metrics.json", "calibration.json")
"""Files of a run that go along, where they are there."""
FILES = ["*.json", "*.jsonl", "*.safetensors", "*.png", "*.md"]
"""What is read of a repository: nothing that could hold code."""


def push(
    run: Run,
    name: str,
    *,
    license: str | None = None,
    private: bool = False,
    message: str = "energan push",
) -> str:
    """Push a run to the hub as OWNER/NAME, with a model card; the address it has there.

    Paths of data are cut down to their last part. Raises SettingError for another form of name,
    RunError if the hub refuses, as without a login (`hf auth login`).
    """
    from huggingface_hub import HfApi  # slow, and only needed here
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    check_name(name)
    with TemporaryDirectory() as made:
        write_hub_folder(run, Path(made), name, license)
        try:
            api = HfApi(library_name="energan")
            address = api.create_repo(name, private=private, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=made, commit_message=message)
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise RunError(
                f"{name}: the hub refused it ({describe(error)}): log in with `hf auth login` "
                "and a token with write access"
            ) from None
    return str(address)


def check_name(name: str) -> None:
    """Raise SettingError unless it is OWNER/NAME."""
    if not NAME.fullmatch(name):
        raise SettingError(f"{describe(name)} is not a name on the hub: write OWNER/NAME")


def write_hub_folder(run: Run, folder: Path, name: str, license: str | None = None) -> None:
    """What `push` pushes: the run with the checkpoint in use, and README.md, the model card.

    Raises SettingError if the folder holds something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SettingError(f"--folder {folder} exists already: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = _without_paths(run.folder.read_config())
    write_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
    shutil.copytree(run.checkpoint, folder / "checkpoints" / run.checkpoint.name)
    for file in KEPT:
        if (run.path / file).is_file():
            kept = _without_paths(read_json(run.path / file, remedy="create it again"))
            write_atomically(folder / file, json.dumps(kept, ensure_ascii=False) + "\n")
    _write_events(run, folder / "events.jsonl")
    shown = _newest_picture(run)
    if shown is not None:
        shutil.copyfile(shown, folder / PICTURE)
    card = model_card(run, config, name, license, picture=shown is not None)
    write_atomically(folder / "README.md", card)


def _without_paths(value: Any) -> Any:
    """The same JSON, of each absolute path the last part: what lies above is the user's own."""
    if isinstance(value, dict):
        return {name: _without_paths(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_paths(part) for part in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name or value
    return value


def _write_events(run: Run, path: Path) -> None:
    """Figures and ends; the events of files that do not go along stay behind."""
    kept = [_without_paths(event) for event in run.events() if "path" not in event]
    write_atomically(path, "".join(json.dumps(event) + "\n" for event in kept))


def _newest_picture(run: Run) -> Path | None:
    for what in ("samples", "reconstructions"):
        for event in reversed(run.events(what)):
            if (run.path / event["path"]).is_file():
                return run.path / str(event["path"])
    return None


def load_from_hub(
    word: str,
    *,
    checkpoint: str | int = "last",
    weights: Weights | None = None,
    device: str = "auto",
) -> Run:
    """The run hub:OWNER/NAME, or hub:OWNER/NAME@REVISION, downloaded unless it is there already.

    Raises DataError if it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = word.removeprefix(HUB).partition("@")
    check_name(name)
    try:
        path = snapshot_download(name, revision=revision or None, allow_patterns=FILES)
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{word} cannot be downloaded ({describe(error)}): check the name and the network"
        ) from None
    return Run(path, checkpoint=checkpoint, weights=weights, device=device)
