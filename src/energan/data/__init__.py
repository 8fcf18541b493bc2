"""Real events by name or by path, with one treatment of crop, size, range, classes and the rest."""

from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.data.open import SOURCES, open_data, open_test_part
from energan.data.pairs import PairSet
from energan.data.settings import DataSettings
from energan.data.tagged import TagSet

__all__ = [
    "SOURCES",
    "DataSet",
    "DataSettings",
    "Feed",
    "PairSet",
    "TagSet",
    "open_data",
    "open_test_part",
]
