"""The ladder network and EBGAN-LN as one writes them first, for the comparison of speed.

Torch's own layers and optimisers, float32, eager; labelled, unlabelled and generated batches pass
one after the other, the combinator is a line of arithmetic, and a clean pass of the labelled batch
keeps the running statistics that prediction needs (Rasmus et al. 2015).
"""

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from energan.experiment.settings import Job


class PlainLadder(nn.Module):
    def __init__(self, widths: tuple[int, ...], noise: float) -> None:
        super().__init__()
        self.noise = noise
        pairs = list(pairwise(widths))
        self.up = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs)
        self.down = nn.ModuleList(nn.Linear(b, a, bias=False) for a, b in pairs)
        self.betas = nn.ParameterList(torch.zeros(n) for n in widths[1:])
        self.numbers = nn.ParameterList()
        for n in widths:
            start = torch.zeros(10, n)
            start[1] = start[6] = 1
            self.numbers.append(start)
        self.means = [torch.zeros(n) for n in widths[1:]]
        self.variances = [torch.ones(n) for n in widths[1:]]

    def encode(self, x: Tensor, noise: float, running: bool = False) -> tuple[list[Tensor], Tensor]:
        h = x + noise * torch.randn_like(x)
        layers = [h]
        for i, (weight, beta) in enumerate(zip(self.up, self.betas, strict=True)):
            z = weight(h)
            mean, variance = z.mean(0), z.var(0, unbiased=False)
            if running:
                self.means[i] = 0.99 * self.means[i] + 0.01 * mean.detach()
                self.variances[i] = 0.99 * self.variances[i] + 0.01 * variance.detach()
            z = (z - mean) / torch.sqrt(variance + 1e-5)
            z = z + noise * torch.randn_like(z)
            layers.append(z)
            h = z + beta
            if i < len(self.up) - 1:
                h = F.relu(h)
        return layers, h

    def decode(self, layers: list[Tensor], logits: Tensor) -> Tensor:
        u = guess = logits.softmax(1)
        for i in reversed(range(len(layers))):
            u = (u - u.mean(0)) / torch.sqrt(u.var(0, unbiased=False) + 1e-5)
            a = self.numbers[i]
            mean = a[0] * torch.sigmoid(a[1] * u + a[2]) + a[3] * u + a[4]
            scale = a[5] * torch.sigmoid(a[6] * u + a[7]) + a[8] * u + a[9]
            guess = (layers[i] - mean) * scale + mean
            if i:
                u = self.down[i - 1](guess)
        return guess

    def energy(self, x: Tensor) -> Tensor:
        layers, logits = self.encode(x, self.noise)
        return (self.decode(layers, logits) - x).square().sum(1)


def plain_ladder(job: Job, x: Tensor) -> Callable[[int], None]:
    """The ladder network as a script, and EBGAN-LN before its generator stops."""
    m, batch = job.settings.model, job.settings.training.batch_size
    net = PlainLadder((x.shape[1], *m.hidden, 10), m.noise)
    labels = torch.arange(100) % 10
    few = x[:100]
    weight = m.reconstruction / x.shape[1]
    opt = torch.optim.Adam(net.parameters(), 0.0002, betas=(0.5, 0.999))
    adversarial = job.model == "ebgan_ln"
    if adversarial:
        g = nn.Sequential(
            nn.Linear(m.latent, 500), nn.BatchNorm1d(500), nn.ReLU(),
            nn.Linear(500, 500), nn.BatchNorm1d(500), nn.ReLU(),
            nn.Linear(500, x.shape[1]), nn.Sigmoid(),
        )  # fmt: skip
        opt_g = torch.optim.Adam(g.parameters(), 0.00025, betas=(0.5, 0.999))

    def step(t: int) -> None:
        opt.zero_grad()
        real = x[torch.randint(len(x), (batch,))]
        loss = F.cross_entropy(net.encode(few, net.noise)[1], labels)
        loss = loss + weight * net.energy(real).mean()
        if adversarial:
            fake = g(torch.randn(batch, m.latent)).detach()
            loss = loss + weight * F.relu(16 - net.energy(fake)).mean()
        loss.backward()
        opt.step()
        with torch.no_grad():
            net.encode(few, 0.0, running=True)
        if adversarial:
            opt_g.zero_grad()
            net.energy(g(torch.randn(batch, m.latent))).mean().backward()
            opt_g.step()
        loss.item()

    return step
