"""U(x) = ‖x − ẑ⁰‖² of a ladder network, which also classifies (Zhao et al. 2017, section 4.2)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from energan.core import Energy, Scored, Stream, exact
from energan.energies.reconstruction import reconstruction_energy
from energan.nets.ladder import EncoderPass, Ladder, Parts


class LadderEnergy(Energy):
    """Energy of a ladder network: ‖x − x̂‖², x̂ reconstructed from the layers of the noisy encoder
    (Rasmus et al. 2015).

    The labelled part of a batch is classified and not reconstructed, so its energy is 0.

    Args:
        network: the ladder network.
        shape: shape of an example.
        layer_weights: weights of the costs ‖zˡ − ẑˡ‖² of the layers above the input (the input
            has weight 1), where zˡ is from the clean encoder and both are normalised by its
            statistics; () for the bottom-layer cost alone.
    """

    nonnegative = True
    denoises = True

    def __init__(
        self, network: Ladder, shape: tuple[int, ...], layer_weights: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.network, self.shape = network, shape
        self.layer_weights = tuple(layer_weights)

    def forward(self, x: Tensor, condition: Tensor | None = None, *, stream: Stream) -> Scored:
        return self.score({stream: x})[stream]

    def score(self, parts: Parts) -> dict[Stream, Scored]:
        """Score several batches (..., B, *event) in one pass, each with its own statistics."""
        dims = len(self.shape)
        flat: dict[Stream, Tensor] = {s: exact(x).flatten(-dims) for s, x in parts.items()}
        encoded = self.network.encode(flat)
        decoded: dict[Stream, EncoderPass] = {s: c for s, c in encoded.items() if s != "labelled"}
        found = self.network.decode(decoded) if decoded else {}
        above = self._above(flat, found)
        scored: dict[Stream, Scored] = {}
        for stream, c in encoded.items():
            logits = exact(c.logits)
            if stream == "labelled":
                scored[stream] = Scored(logits.new_zeros(logits.shape[:-1]), logits=logits)
                continue
            energy = reconstruction_energy(flat[stream], found[stream][0], 1, "sum")
            reconstruction = found[stream][0].unflatten(-1, self.shape)
            scored[stream] = Scored(
                energy + above.get(stream, 0.0), reconstruction=reconstruction, logits=logits
            )
        return scored

    def _above(
        self, flat: Parts, found: Mapping[Stream, tuple[Tensor, ...]]
    ) -> dict[Stream, Tensor]:
        """The weighted costs of the layers above the input, (..., B) for each decoded part."""
        if not any(self.layer_weights):
            return {}
        clean = self.network.encode({s: flat[s] for s in found}, noisy=False)
        above: dict[Stream, Tensor] = {}
        for stream, guesses in found.items():
            costs = self.network.errors(stream, clean[stream], guesses)
            weighted = [w * c for w, c in zip(self.layer_weights, costs, strict=True)]
            above[stream] = torch.stack(weighted).sum(0)
        return above
