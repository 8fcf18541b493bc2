"""What makes features, and that it is found again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from energan.core import DataError, Domain
from energan.data import DataSettings, open_data
from energan.data.sources.tag_files import read_tag_file
from energan.evaluation import attributes
from energan.evaluation.features import (
    FeatureNetwork,
    feature_network,
    make_tag_file,
    network_of_file,
)

SETTINGS = DataSettings(source="digits", limit=200)


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureNetwork:
    monkeypatch.setenv("ENERGAN_CACHE", str(tmp_path))
    return feature_network("classifier", SETTINGS)


def test_the_classifier_gives_features_of_the_sources_own_split(
    maker: FeatureNetwork, tmp_path: Path
) -> None:
    file = make_tag_file(maker, SETTINGS, tmp_path / "d.npz")
    data = open_data(SETTINGS.model_copy(update={"range": "unit"}))
    assert data.held_out is not None
    assert file.held_out is not None
    assert (len(file.features), file.held_out.sum()) == (380, 180)
    network = attributes.attribute_classifier(data, data.held_out)
    assert file.maker == network.sha256
    for part, rows in ((data, ~file.held_out), (data.held_out, file.held_out)):
        assert part.rows is not None
        order = part.rows.argsort()
        wanted = network.features(part.gather(order).x)
        np.testing.assert_allclose(file.features[rows], wanted, atol=1e-5)
        assert part.labels is not None
        np.testing.assert_array_equal(file.tags[rows].argmax(1), part.labels[order])


def test_what_made_a_file_is_found_again_and_makes_the_same(
    maker: FeatureNetwork, tmp_path: Path
) -> None:
    make_tag_file(maker, SETTINGS, tmp_path / "d.npz").write()
    file = read_tag_file(tmp_path / "d.npz")
    again = network_of_file(file)
    assert (again.about, again.domain) == (maker.about, maker.domain)
    data = open_data(SETTINGS.model_copy(update={"range": "unit"}))
    np.testing.assert_array_equal(again(data), maker(data))
    changed = replace(
        file, about={**file.about, "extractor": {**file.about["extractor"], "sha256": "0"}}
    )
    with pytest.raises(DataError, match="has changed since"):
        network_of_file(changed)
    with pytest.raises(DataError, match="does not say how its features"):
        network_of_file(replace(file, about={}))


def test_other_images_keep_a_split_of_their_own_and_must_fit(
    maker: FeatureNetwork, tmp_path: Path
) -> None:
    g = torch.Generator().manual_seed(0)
    own = torch.randint(256, (30, 8, 8), generator=g, dtype=torch.uint8).numpy()
    np.savez(tmp_path / "own.npz", x=own)
    asked = DataSettings(source=str(tmp_path / "own.npz"), held_out=4)
    file = make_tag_file(maker, asked, tmp_path / "out.npz")
    assert (file.features.shape, file.names) == ((30, 128), ())
    assert file.held_out is not None
    assert file.held_out.sum() == 4
    images = torch.from_numpy(own)[:, None] / 255
    np.testing.assert_allclose(file.features, maker.network(images), atol=1e-5)
    with pytest.raises(DataError, match="holds points"):
        make_tag_file(maker, DataSettings(source="ring"), tmp_path / "r.npz")
    wide = replace(maker, domain=Domain((1, 8, 16), 0.0, 1.0))
    with pytest.raises(DataError, match=r"shape \(1, 8, 8\), and the network takes \(1, 8, 16\)"):
        make_tag_file(wide, asked, tmp_path / "w.npz")
