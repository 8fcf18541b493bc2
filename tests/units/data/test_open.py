from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from energan.core import DataError
from energan.data import SOURCES, DataSettings, open_data
from energan.data.sources.named import NAMED


def test_every_name_of_the_list_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENERGAN_DATA", raising=False)
    for name, found in NAMED.items():
        if found.form is not None:
            with pytest.raises(DataError, match=f"{name} was not found"):
                open_data(DataSettings(source=name))
        else:
            assert open_data(DataSettings(source=name)).name == name


@pytest.mark.parametrize(
    ("written", "hint"), [("rnig", "ring"), ("Digits", "digits"), ("fashionmnist", "fashion-mnist")]
)
def test_an_unknown_name_lists_the_known_and_the_nearest(written: str, hint: str) -> None:
    with pytest.raises(
        DataError, match=rf"did you mean {hint}\?.*give a path, or one of"
    ) as raised:
        open_data(DataSettings(source=written))
    assert all(name in str(raised.value) for name in SOURCES)


@pytest.mark.parametrize("written", ["qqqq", "no/such/file.npy", "~nobody-at-all/x", "x" * 5000])
def test_what_is_nothing_at_all_is_a_short_data_error(written: str) -> None:
    with pytest.raises(DataError) as raised:
        open_data(DataSettings(source=written))
    assert "did you mean" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_a_file_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(DataError, match=r"a\.txt has an unknown format"):
        open_data(DataSettings(source=str(tmp_path / "a.txt")))


def test_a_name_wins_over_a_file_and_a_path_reaches_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").write_text("hello")
    assert open_data(DataSettings(source="digits")).name == "digits"
    with pytest.raises(DataError, match="unknown format"):
        open_data(DataSettings(source="./digits"))


@pytest.mark.parametrize("source", ["digits", "ring"])
def test_only_sources_with_a_test_set_have_one(source: str) -> None:
    with pytest.raises(DataError, match=f"{source} has no test part"):
        open_data(DataSettings(source=source), split="test")


@pytest.mark.parametrize("size", [8, 10, 11])
def test_padding_surrounds_the_image_with_the_low_end(size: int) -> None:
    plain, padded = (open_data(DataSettings(pad=p)) for p in (None, size))
    assert padded.domain.shape == (1, size, size)
    before = (size - 8) // 2
    inside = (..., slice(before, before + 8), slice(before, before + 8))
    assert torch.equal(padded.raw()[inside], plain.raw())
    assert padded.raw().sum(dtype=torch.int64) == plain.raw().sum(dtype=torch.int64)
    assert padded.held_out is not None
    assert padded.held_out.raw().shape[-2:] == (size, size)
    x = padded.gather(torch.arange(5)).x
    x[inside] = -1
    assert (x == -1).all()


def test_padding_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="would cut: use at least 8"):
        open_data(DataSettings(pad=7))
    with pytest.raises(DataError, match="points, not images"):
        open_data(DataSettings(source="ring", pad=4))
    np.save(tmp_path / "a.npy", np.zeros((4, 3, 5), np.uint8))
    with pytest.raises(DataError, match=r"3x5: data\.pad is for square"):
        open_data(DataSettings(source=str(tmp_path / "a.npy"), pad=8))


def test_limit_takes_the_first_and_leaves_the_held_out_part_alone() -> None:
    full, few = open_data(DataSettings()), open_data(DataSettings(limit=50))
    assert len(few) == 50
    assert torch.equal(few.raw(), full.raw()[:50])
    assert few.labels is not None
    assert full.labels is not None
    assert torch.equal(few.labels, full.labels[:50])
    assert few.held_out is not None
    assert full.held_out is not None
    assert few.held_out.fingerprint == full.held_out.fingerprint
    assert few.domain.classes == 10
    assert few.domain.mean is not None
    mean = few.gather(torch.arange(50), torch.float64).x.mean(0)
    torch.testing.assert_close(few.domain.mean, mean.float())


def test_held_out_may_be_set() -> None:
    assert open_data(DataSettings(held_out=0)).held_out is None
    assert len(open_data(DataSettings(held_out=0))) == 1797
    data = open_data(DataSettings(held_out=1796))
    assert data.held_out is not None
    assert (len(data), len(data.held_out)) == (1, 1796)
    assert data.held_out.domain is data.domain


def test_limit_and_held_out_beyond_the_data_are_refused() -> None:
    with pytest.raises(DataError, match="1,797 examples: holding out 1,797 leaves none"):
        open_data(DataSettings(held_out=1797))
    with pytest.raises(
        DataError, match=r"1,617 training examples .* data\.limit 1,618 is too large"
    ):
        open_data(DataSettings(limit=1618))
    assert len(open_data(DataSettings(limit=1617))) == 1617


def test_the_range_is_that_of_the_domain_and_leaves_points_alone() -> None:
    for name, low in (("signed", -1.0), ("unit", 0.0)):
        data = open_data(DataSettings.model_validate({"range": name}))
        x = data.gather(torch.arange(len(data))).x
        assert (data.domain.low, data.domain.high) == (low, 1.0)
        assert (x.min().item(), x.max().item()) == (low, 1.0)
    signed, unit = (
        open_data(DataSettings.model_validate({"source": "ring", "range": r}))
        for r in ("signed", "unit")
    )
    assert signed.fingerprint == unit.fingerprint


@pytest.mark.parametrize(
    "bad", [{"limit": 0}, {"held_out": -1}, {"pad": 0}, {"source": ""}, {"range": "0..1"}, {"n": 1}]
)
def test_settings_out_of_bounds_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataSettings.model_validate(bad)


def test_every_setting_is_described() -> None:
    assert all(f.description for f in DataSettings.model_fields.values())
    description = DataSettings.model_fields["source"].description
    assert description is not None
    assert "energan data" in description
