"""What several test files need: small data, loops of small models."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from energan import models
from energan.core import Batch, Config, Domain, Model, SettingError, place_seed
from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.data.few_label_batches import LabelledFeed
from energan.data.pairs import PairSet
from energan.data.tagged import TagSet
from energan.training.batch_statistics import CHUNK
from energan.training.device import Device
from energan.training.distributed import ALONE, Distributed
from energan.training.loop import Hook, Loop
from energan.training.settings import TrainingSettings
from support.feature_networks import tiny_onnx

DOMAINS = [
    Domain((1, 8, 8), -1.0, 1.0, classes=10),
    Domain((1, 8, 8), 0.0, 1.0, classes=10),
    Domain((2,)),
    Domain((1, 16, 16), -1.0, 1.0, condition_shape=(2, 16, 16)),
    Domain((5,), condition_shape=(6,)),
]

Case = Callable[[int], Model]
"""seed -> a freshly built model."""


def small_data(domain: Domain, count: int = 96) -> DataSet:
    g = torch.Generator().manual_seed(7)
    labels = torch.randint(10, (count,), generator=g) if domain.classes else None
    if len(domain.shape) == 1 and domain.condition_shape is not None:
        tags = torch.rand(9, *domain.shape, generator=g)
        of, which = (torch.randint(n, (count,), generator=g) for n in (20, len(tags)))
        features = torch.randn(20, *domain.condition_shape, generator=g)
        return TagSet("tags", tags, domain, rows=which, features=features, images=of)
    if len(domain.shape) == 1:
        return DataSet("points", torch.randn(count, *domain.shape, generator=g), domain, labels)
    events = torch.randint(256, (count, *domain.shape), generator=g, dtype=torch.uint8)
    if domain.condition_shape is not None:
        shape = domain.condition_shape
        images = torch.randint(256, (count, *shape), generator=g, dtype=torch.uint8)
        sources = DataSet("sources", images, replace(domain, shape=shape, condition_shape=None))
        return PairSet("pairs", events, domain, sources=sources)
    return DataSet("images", events, domain, labels)


def tiny_settings(name: str) -> Config:
    """A model's tiny settings, and for one on features of a network that network."""
    tiny: Config = models.find(name).config.tiny()  # type: ignore[attr-defined]
    if "features" not in type(tiny).model_fields:
        return tiny
    return tiny.model_copy(update={"features": str(tiny_onnx()), "mean": (0.5,), "std": (0.3,)})


def model_case(name: str, domains: Sequence[Domain] = DOMAINS) -> tuple[Case, DataSet]:
    """A model of the listing at its tiny settings, on the first of `domains` that it accepts."""
    found = models.find(name)
    config = tiny_settings(name)
    for domain in domains:
        data = small_data(domain)
        try:
            found.build(config, domain)
        except SettingError:
            continue

        def case(seed: int, domain: Domain = domain) -> Model:
            with torch.random.fork_rng():
                torch.manual_seed(place_seed(seed, "init"))
                return found.build(config, domain)

        return case, data
    raise AssertionError(f"{name}.Config.tiny() builds on none of {domains}")


def make_loop(
    case: Case | Sequence[Model],
    data: DataSet,
    seeds: Sequence[int] = (0,),
    *,
    steps: int = 10,
    dtype: str = "32",
    device: str = "cpu",
    captures: bool = False,
    hooks: Sequence[Hook] = (),
    feed: Callable[[int, int, int], Batch] | None = None,
    ranks: Distributed = ALONE,
    **training: object,
) -> Loop:
    engine = Device(torch.device(device), dtype, 1, captures)  # type: ignore[arg-type]
    data = data.to(device)
    built = [case(s) for s in seeds] if callable(case) else list(case)
    settings = TrainingSettings(steps=steps, batch_size=8, **{"ema_every": 2, **training})
    labels = built[0].conditional
    orders: Callable[[int, int, int], Batch]
    if labelled := built[0].labelled:
        orders = LabelledFeed(data, seeds, 8, labelled, engine.dtype)
    else:
        orders = Feed(data, seeds, 8, engine.dtype, conditions=labels)

    at_rest = Feed(data, seeds, CHUNK, engine.dtype, "calibrate", labels)
    loop = Loop(built, feed or orders, at_rest, settings, engine, seeds, ranks)
    loop.hooks = list(hooks)
    return loop


def snapshot(loop: Loop) -> dict[str, Tensor]:
    """All that training carries from step to step."""
    tensors = {f"net.{k}": v.clone() for k, v in loop.networks.named_parameters()}
    if loop.ema is not None:
        tensors |= {f"ema.{k}": v.clone() for k, v in loop.ema.module.named_parameters()}
    for name, optimisers in loop.optimisers.items():
        tensors |= {f"{name}.{k}": v.clone() for k, v in optimisers.state().items()}
    return tensors | {f"state.{k}": v.clone() for k, v in loop.state.items()}


def assert_identical(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), f"{name} differs"


def weight_files(run: Path, step: int) -> tuple[bytes, bytes]:
    """A checkpoint's tensors as they lie on disk."""
    folder = run / "checkpoints" / f"step-{step:06d}"
    return (
        (folder / "weights.safetensors").read_bytes(),
        (folder / "state.safetensors").read_bytes(),
    )
