"""What a model takes beside its events."""

from pathlib import Path

import pytest
import torch

from energan.cli.main import main
from energan.core import DataError, Domain, SettingError
from energan.inference import latents
from energan.inference.chains import sample_chains
from energan.inference.conditions import (
    AT_ONCE,
    NUMBERS_AT_ONCE,
    Conditions,
    check_examples,
    examples_at_once,
)
from energan.inference.run import Run
from energan.io import memory


def test_labels_are_the_classes_in_turn_unless_they_are_given() -> None:
    labels = Conditions("m", 3)
    found = labels.check(5, None)
    assert found is not None
    assert found.tolist() == [0, 1, 2, 0, 1]
    given = labels.check(2, torch.tensor([2, 0], dtype=torch.int32))
    assert given is not None
    assert given.dtype == torch.int64
    for wrong in (torch.tensor([0, 3]), torch.tensor([-1, 0])):
        with pytest.raises(SettingError, match=r"labels must be in \[0, 3\)"):
            labels.check(2, wrong)
    for wrong in (torch.tensor([0]), torch.tensor([0.0, 1.0])):
        with pytest.raises(SettingError, match=r"integers \(2,\)"):
            labels.check(2, wrong)


def test_tensors_must_be_given_and_images_may_be_of_other_sides() -> None:
    images, vectors = Conditions("m", shape=(3, 8, 8)), Conditions("m", shape=(4,))
    with pytest.raises(SettingError, match=r"give 2 images.*energan translate"):
        images.check(2, None)
    with pytest.raises(SettingError, match=r"give 2 vectors.*energan tag"):
        vectors.check(2, None)
    wide = images.check(2, torch.zeros(2, 3, 16, 24, dtype=torch.float64))
    assert wide is not None
    assert wide.shape == (2, 3, 16, 24)
    assert wide.dtype == torch.float32
    for shape in ((2, 1, 8, 8), (1, 3, 8, 8), (2, 3, 8)):
        with pytest.raises(SettingError, match="conditions must be float"):
            images.check(2, torch.zeros(shape))
    with pytest.raises(SettingError, match="conditions must be float"):
        vectors.check(2, torch.zeros(2, 5))


def test_a_model_without_conditions_takes_none() -> None:
    assert Conditions("m").check(3, None) is None
    with pytest.raises(
        SettingError, match=r"the model m is unconditional.*leave the condition out"
    ):
        Conditions("m").check(3, torch.zeros(3))


def test_fewer_events_go_together_where_conditions_are_large() -> None:
    assert examples_at_once(None) == examples_at_once(torch.zeros(9)) == AT_ONCE
    large = torch.empty(1, 3, 512, 512, device="meta")
    assert examples_at_once(large) == NUMBERS_AT_ONCE // large[0].numel()
    assert examples_at_once(torch.empty(1, 2 * NUMBERS_AT_ONCE, device="meta")) == 1


def test_events_are_of_the_datas_shape_and_type() -> None:
    domain = Domain((1, 4, 4), -1.0, 1.0)
    check_examples(torch.zeros(2, 1, 4, 4), domain)
    with pytest.raises(DataError, match="as_tensor"):
        check_examples([0.0], domain)  # type: ignore[arg-type]
    for wrong in (torch.zeros(2, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.int64)):
        with pytest.raises(DataError, match=r"float examples of shape \(1, 4, 4\)"):
            check_examples(wrong, domain)


def test_more_than_memory_holds_is_refused_before_it_is_made(
    runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs["ebgan"]
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * 4 * 64 * 100)
    assert run.sample(100).shape == (100, 1, 8, 8)
    with pytest.raises(
        SettingError, match="101 samples would take 51,712 bytes, and 51,200 bytes are"
    ):
        run.sample(101)
    with pytest.raises(SettingError, match="10 chains would take"):
        sample_chains(run, 10, steps=1)
    with pytest.raises(SettingError, match="100 latents, with what they give, would take"):
        latents.draw(run, 100)


@pytest.mark.parametrize("command", ["sample RUN -n", "sample RUN --steps 1 --chains",
                                     "interpolate RUN -n", "neighbours RUN -n"])  # fmt: skip
def test_a_hundred_million_are_refused_at_once(
    command: str, runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command.replace("RUN", str(runs["ebgan"].path)).split()
    assert main([*words, str(10**9), "--out", str(tmp_path / "a.png")]) == 2
    said = capsys.readouterr().err
    assert "are free: ask for fewer at a time" in said
    assert not list(tmp_path.iterdir())
