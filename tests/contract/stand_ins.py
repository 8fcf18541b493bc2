"""Toy systems that ask of the contracts what the later systems will: no loop line is for them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.core import (
    Batch,
    Context,
    Domain,
    Draw,
    Energy,
    Loss,
    Model,
    Objective,
    Optimiser,
    Sampler,
    Scored,
    State,
    Stream,
    place_seed,
)
from energan.data.batches import Feed
from energan.data.dataset import DataSet
from energan.models import ebgan
from energan.nets.dense import BatchNorm, Dense, Sequential
from energan.nets.mlp import mlp_generator
from energan.objectives import hinge
from energan.samplers.generator import Generator

POINTS = Domain((4,), classes=3)
GENERATOR_STOPS = 5


def points(count: int = 64) -> DataSet:
    g = torch.Generator().manual_seed(3)
    labels = torch.randint(3, (count,), generator=g)
    return DataSet("points", torch.randn(count, 4, generator=g) + labels[:, None], POINTS, labels)


def seeded(seed: int) -> torch.random.fork_rng:
    fork = torch.random.fork_rng()
    fork.__enter__()
    torch.manual_seed(place_seed(seed, "init"))
    return fork


# --- a labelled part, a decaying margin, a generator that stops (EBGAN-LN in small) ---------------


class Classifying(Energy):
    nonnegative = True

    def __init__(self) -> None:
        super().__init__()
        self.body = Sequential(Dense(4, 8), BatchNorm(8, scale=False), nn.ReLU())
        self.back, self.head = Dense(8, 4), Dense(8, 3)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        hidden = self.body(x, stream)
        energy = (self.back(hidden) - x).square().sum(-1)
        return Scored(energy, code=hidden, logits=self.head(hidden))


class LabelledMargin(Objective):
    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert batch.labelled is not None
        real = context.rows(energy(batch.x, stream="real").energy)
        logits = energy(batch.labelled.x, stream="labelled").logits
        assert logits is not None
        assert batch.labelled.condition is not None
        crossed = F.cross_entropy(logits, batch.labelled.condition).reshape(1)
        if draw is None:
            return Loss(crossed + real.mean(-1), {"classes": crossed.detach()})
        fake = context.rows(energy(draw.x, stream="fake").energy)
        contrast = hinge(real, fake, context.hyper["margin"])
        return Loss(crossed + contrast, {"classes": crossed.detach()})

    def sampler_loss(self, energy: Energy, batch: Batch, draw: Draw, context: Context) -> Loss:
        return Loss(context.rows(energy(draw.x, stream="fake").energy).mean(-1))


def labelled_model(seed: int) -> Model:
    fork = seeded(seed)
    network = mlp_generator(3, [8], (4,), norm=True, output="linear")
    model = Model(
        Classifying(),
        Generator(network, 3, until=GENERATOR_STOPS),
        LabelledMargin(),
        hyper={"margin": f"linear(4, 0, {GENERATOR_STOPS})"},
    )
    fork.__exit__(None, None, None)
    return model


class LabelledFeed:
    """Unlabelled batches that carry a labelled one, from an order of its own."""

    def __init__(self, data: DataSet) -> None:
        self.unlabelled = Feed(data, [0], 8)
        self.labels = Feed(data, [0], 6, stream="labelled", conditions=True)

    def __call__(self, step: int, substep: int, substeps: int) -> Batch:
        return Batch(
            self.unlabelled(step, substep, substeps).x,
            labelled=self.labels(step, substep, substeps),
        )


# --- no generator, a persistent buffer (IGEBM in small) -------------------------------------------


class Quadratic(Energy):
    def __init__(self) -> None:
        super().__init__()
        self.net = Sequential(Dense(4, 16), nn.Softplus(), Dense(16, 1))

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return Scored(self.net(x, stream).squeeze(-1) + 0.1 * x.square().sum(-1))


class Chains(Sampler):
    """Short noisy descents from a buffer that keeps where they ended."""

    def init(self, context: Context) -> State:
        return {"buffer": context.generator.normal(32, 4)}

    def draw(
        self, energy: Energy, batch: Batch, state: State, context: Context
    ) -> tuple[Draw | None, State]:
        n = len(batch.x)
        chosen = context.generator.uniform(0, 32, n).long().clamp_max(31)
        x = state["buffer"][chosen]
        for _ in range(3):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                (slope,) = torch.autograd.grad(energy(x, stream="fake").energy.sum(), x)
            x = x.detach() - 0.05 * slope + 0.05 * context.generator.normal(n, 4)
        buffer = state["buffer"].clone()
        buffer[chosen] = x
        return Draw(x, info={"chain_slope": slope.norm().reshape(1)}), {"buffer": buffer}


class Difference(Objective):
    def energy_loss(
        self, energy: Energy, batch: Batch, draw: Draw | None, context: Context
    ) -> Loss:
        assert draw is not None
        real = context.rows(energy(batch.x, stream="real").energy)
        fake = context.rows(energy(draw.x, stream="fake").energy)
        squares = real.square().mean(-1) + fake.square().mean(-1)
        return Loss(real.mean(-1) - fake.mean(-1) + 0.1 * squares)


def chain_model(seed: int) -> Model:
    fork = seeded(seed)
    model = Model(Quadratic(), Chains(), Difference(), energy_optimiser=Optimiser(clip=1.0))
    fork.__exit__(None, None, None)
    return model


# --- members of a cohort --------------------------------------------------------------------------


def member(seed: int, margin: float | str, lr: float, kind: str, momentum: float = 0.0) -> Model:
    """An EBGAN-PT with dropout whose values differ from member to member, not its shapes."""
    fork = seeded(seed)
    optimiser = Optimiser(kind=kind, lr=lr, momentum=momentum, clip=0.5)  # type: ignore[arg-type]
    config = ebgan.Config.tiny().model_copy(
        update={
            "margin": margin,
            "output": "linear",
            "energy_optimiser": optimiser,
            "sampler_optimiser": optimiser,
        }
    )
    model = ebgan.build(config, POINTS)
    fork.__exit__(None, None, None)
    return model
