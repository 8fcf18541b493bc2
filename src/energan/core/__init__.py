"""The contracts, and nothing else.

Every system is an **energy** (low on data), a **sampler** (where the contrast comes from) and an
**objective** (how the two losses are formed), trained by one loop:

| system | energy | sampler | objective |
|---|---|---|---|
| GAN | -logit(x) | generator(z) | logistic (minimax or non-saturating) |
| EBGAN | ||Dec(Enc(x)) - x|| | generator(z) | margin |
| EBGAN-PT | the same | generator(z) | margin + w * pulling-away |
| R3GAN | -logit(x) | generator(z) | relativistic pairs + penalties |
| CGAN | -logit(x given y) | generator(z, y) | logistic |
| tagging | -logit(tag vector given features) | generator(z, features) | logistic |
| pix2pix | -logit of each patch of (source, x) | U-Net(source) | logistic + w * L1 |
| inspection | max of a map: each cell's log-odds | the batch with defects | focal, each cell |
| LN | ladder reconstruction | none | reconstruction + classification |
| EBGAN-LN | the same | generator(z), until a step | margin (to 0) + classification |
| conditional EBGAN | ||Dec(Enc(x, y), y) - x|| | generator(z, y) | margin |
| IGEBM | f(x), or f(x, y) | Langevin chains on U | maximum likelihood |
| Energy Matching | V(x) / T | annealed chains | regression of ∇V + contrast |
| Equilibrium Matching | f(x) | descent from noise | regression of ∇U, 0 at data |
| score matching | f(x) | annealed Langevin chains | regression of ∇U on noise |
| JEM | -logsumexp of logits | Langevin chains on U | maximum likelihood + classification |

Low energy means real. Shapes: a single run has tensors `(B, *event)` and energies `(B,)` (or
`(B, *cells)`); a **cohort** of M members that train as one program puts a leading member axis
before everything: `(M, B, *event)`. `Context.rows` maps both to `(M, N)`, so an objective is
written once.
"""

from energan.core.chains import ChainState, Draws, Function, Kernel, StepRule, start_chains
from energan.core.contracts import Energy, Objective, Sampler, Sum
from energan.core.gradients import mean_energy, potential, value_and_gradient
from energan.core.model import Config, Model, Optimiser
from energan.core.randomness import PerSample, Randomness, place_seed
from energan.core.streams import (
    Calibrated,
    Noisy,
    Stream,
    Streamed,
    attach,
    calibrating,
    evaluating,
    frozen,
    frozen_weights,
    kept_while_frozen,
    through,
)
from energan.core.values import (
    Batch,
    Context,
    Domain,
    Draw,
    LabelMap,
    Loss,
    Scored,
    State,
    exact,
    full_precision,
)
from energan.errors import (
    BlowUpError,
    CheckpointError,
    DataError,
    DivergenceError,
    EnerganError,
    MixedSizes,
    NoReadableImage,
    NoTestPart,
    NothingHeldOut,
    OtherRankError,
    RunError,
    SettingError,
    describe,
)

__all__ = [
    "Batch",
    "BlowUpError",
    "Calibrated",
    "ChainState",
    "CheckpointError",
    "Config",
    "Context",
    "DataError",
    "DivergenceError",
    "Domain",
    "Draw",
    "Draws",
    "EnerganError",
    "Energy",
    "Function",
    "Kernel",
    "LabelMap",
    "Loss",
    "MixedSizes",
    "Model",
    "NoReadableImage",
    "NoTestPart",
    "Noisy",
    "NothingHeldOut",
    "Objective",
    "Optimiser",
    "OtherRankError",
    "PerSample",
    "Randomness",
    "RunError",
    "Sampler",
    "Scored",
    "SettingError",
    "State",
    "StepRule",
    "Stream",
    "Streamed",
    "Sum",
    "attach",
    "calibrating",
    "describe",
    "evaluating",
    "exact",
    "frozen",
    "frozen_weights",
    "full_precision",
    "kept_while_frozen",
    "mean_energy",
    "place_seed",
    "potential",
    "start_chains",
    "through",
    "value_and_gradient",
]
