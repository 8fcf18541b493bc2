"""Runs of several seeds: what they score together, as JSON takes it."""

import json

from energan.evaluation.over_seeds import OverSeeds
from energan.metrics import over_seeds


def test_a_seed_that_ran_away_leaves_nulls_and_no_word_that_json_lacks() -> None:
    values = [1.0, float("inf")]
    mean, middle = sum(values) / 2, 1.23456789
    found = OverSeeds("psnr", [0, 1], values, mean, over_seeds(values), middle, None).record()
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text)["values"] == [1.0, None]
    assert (found["mean"], found["low"], found["high"]) == (None, None, None)
    assert found["median"] == 1.23457
