"""Arithmetic of latents by attributes (Radford et al. 2015, section 6.3.2).

For each of three concepts some z whose images show it are averaged; G is asked for
v = mean(a) − mean(b) + mean(c), and for its neighbours. Where Radford et al. chose z by hand, a
classifier of the data's attributes does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from torch import Tensor

from energan.core import Randomness, SettingError
from energan.evaluation.attributes import AttributeClassifier
from energan.evaluation.reference import View
from energan.inference import latents
from energan.inference.run import Run
from energan.io.text import agree, plural
from energan.metrics.classification import error_interval

Concept = dict[str, bool]
"""Attribute -> whether it is to be there."""


@dataclass(frozen=True)
class SuccessRate:
    """How many of `draws` had it, and the 95 % Wilson interval of their share."""

    hits: int
    draws: int

    @property
    def share(self) -> float:
        return self.hits / self.draws

    @property
    def interval(self) -> tuple[float, float]:
        found = error_interval(self.hits, self.draws)  # Wilson's, of any share
        return found.low, found.high

    def record(self) -> dict[str, float | int]:
        low, high = self.interval
        return {
            "hits": self.hits, "draws": self.draws, "share": self.share, "low": low, "high": high
        }  # fmt: skip


@dataclass(frozen=True)
class ArithmeticResult:
    """Images of a − b + c, and how often they show what was wanted.

    chosen: images (3, P, *event) of the z that were averaged, of a, b and c; means: G of the three
        averages (3, *event); around: G(v) and its eight neighbours (9, *event), v in the middle.
    candidates: how many samples showed each concept. result, neighbours: how often G(v), and G of a
        neighbour of v, showed what was wanted; plain: how often any sample does; start: how often
        the average of c alone does.
    """

    chosen: Tensor
    means: Tensor
    around: Tensor
    candidates: tuple[int, int, int]
    result: SuccessRate
    neighbours: SuccessRate
    plain: SuccessRate
    start: SuccessRate


def parse_concept(text: str, names: Sequence[str]) -> Concept:
    """ "Smiling,-Male" -> {"Smiling": True, "Male": False}.

    Raises SettingError for an attribute that the data does not have, or one that is named twice.
    """
    found: Concept = {}
    lower = {name.lower(): name for name in names}
    for word in filter(None, (part.strip() for part in text.split(","))):
        there = word in names or not word.startswith("-")
        plain = word if there else word[1:].strip()
        name = plain if plain in names else lower.get(plain.lower().replace(" ", "_"))
        name = name or lower.get(plain.lower())
        if name is None:
            near = get_close_matches(plain.lower(), lower, 3, 0.5)
            hint = ", ".join(lower[n] for n in near) or ", ".join(names[:20])
            raise SettingError(f"{plain!r} is not an attribute of the data: choose from {hint}")
        if name in found:
            raise SettingError(f"{name} is named twice in {text!r}")
        found[name] = there
    if not found:
        raise SettingError(f"{text!r} names no attribute: give some, for example {names[0]}")
    return found


def concept_text(concept: Concept) -> str:
    """A concept as it is written."""
    return ",".join(("" if there else "-") + name for name, there in concept.items())


def target_concept(a: Concept, b: Concept, c: Concept, exclusive: bool = False) -> Concept:
    """What a − b + c should show: of each attribute a's value less b's plus c's.

    Where a concept is silent: what only a or only c names stays as it is there, what only b names
    is turned round; where b and one other name it alike it is cancelled, where they differ the
    other's stays; where a and c differ nothing is said.
    exclusive: an image has at most one of them, a class.
    Raises SettingError where the sum of three is neither 0 nor 1, nothing is left, or no image can
    show it.
    """
    found: Concept = {}
    for name in dict.fromkeys((*a, *b, *c)):
        if name in a and name in b and name in c:
            total = a[name] - b[name] + c[name]
            if total not in (0, 1):
                raise SettingError(
                    f"{name}: {a[name]:d} − {b[name]:d} + {c[name]:d} is {total}, neither yes "
                    "nor no: give --wanted"
                )
            found[name] = bool(total)
            continue
        said_so = {part[name] for part in (a, c) if name in part}
        said_so |= {not b[name]} if name in b else set()
        if len(said_so) == 1:
            found[name] = said_so.pop()
    if exclusive and sum(found.values()) > 1:
        raise SettingError(
            f"a − b + c leaves {concept_text(found)}, and an image has only one class: give "
            "--wanted"
        )
    if not found:
        raise SettingError("a − b + c leaves nothing to look for: give --wanted")
    return found


def concept_margin(logits: Tensor, names: Sequence[str], concept: Concept) -> Tensor:
    """How surely images (N, A) show a concept, (N,): the least margin; above 0 where they do."""
    columns = [list(names).index(name) for name in concept]
    signs = torch.tensor([1.0 if there else -1.0 for there in concept.values()])
    return (logits[:, columns] * signs).amin(1)


def check_latents(run: Run) -> None:
    """Raise SettingError if samples of the run are not made of z alone, or are no images."""
    if latents.draw(run, 1) is None:
        why = "has no latents"
    elif run.classes is not None:
        why = "takes labels"
    elif run.given is not None:
        why = "takes conditions"
    elif len(run.domain.shape) != 3:
        why = "makes points"
    else:
        return
    raise SettingError(
        f"{run.path}: the model {run.job.model} {why}; latent arithmetic needs a generator that "
        "makes images from z alone"
    )


def latent_arithmetic(
    run: Run,
    classifier: AttributeClassifier,
    view: View,
    concepts: tuple[Concept, Concept, Concept],
    wanted: Concept,
    *,
    candidates: int = 2000,
    pick: int = 3,
    among: int = 30,
    draws: int = 100,
    noise: float = 0.25,
    seed: int = 0,
) -> ArithmeticResult:
    """a − b + c in the latents of `run`, drawn and judged.

    view: how the run's samples become what the classifier takes. candidates: z that are drawn once
    and classified. pick: z that are averaged for a concept: in the picture the surest, in each of
    `draws` draws others, at random among the `among` surest that show it. noise: half the width of
    the uniform noise that makes neighbours; each draw looks at one.

    Raises SettingError if the run has no latents, or takes labels, or too few candidates show a
    concept.
    """
    check_latents(run)
    z = latents.draw(run, candidates, seed)
    assert z is not None
    logits = classifier.logits(view(latents.generate(run, z)))
    pools = [_pool(logits, classifier.names, concept, pick, among) for concept in concepts]
    signs = torch.tensor([1.0, -1.0, 1.0], device=z.device).view(3, 1)
    surest = torch.stack([z[rows[:pick]] for rows, _ in pools])  # (3, P, L)
    means = surest.mean(1)
    v = (signs * means).sum(0)
    shake = Randomness([seed], z.device).at("arithmetic", "noise")
    around = v + shake.uniform(-noise, noise, 9, len(v))
    around[4] = v
    averages = torch.stack(
        [_averages(z, rows, pick, draws, seed, k) for k, (rows, _) in enumerate(pools)]
    )  # (3, draws, L)
    results = (signs.unsqueeze(1) * averages).sum(0)
    shaken = results + shake.uniform(-noise, noise, *results.shape)

    def rate(latent: Tensor) -> SuccessRate:
        seen = classifier.logits(view(latents.generate(run, latent)))
        return _rate(seen, classifier.names, wanted)

    drawn = latents.generate(run, torch.cat([surest.flatten(0, 1), means, around]))
    chosen, averaged, neighbourhood = drawn.split([3 * pick, 3, 9])
    return ArithmeticResult(
        chosen.unflatten(0, (3, pick)), averaged, neighbourhood,
        (pools[0][1], pools[1][1], pools[2][1]),
        result=rate(results), neighbours=rate(shaken),
        plain=_rate(logits, classifier.names, wanted), start=rate(averages[2]),
    )  # fmt: skip


def _pool(
    logits: Tensor, names: Sequence[str], concept: Concept, pick: int, among: int
) -> tuple[Tensor, int]:
    """Rows of the surest samples that show a concept, the surest first; how many show it at all."""
    sure = concept_margin(logits, names, concept)
    shown = int((sure > 0).sum())
    if shown < pick:
        raise SettingError(
            f"{shown} of {plural(len(sure), 'sample')} {agree(shown, 'show')} "
            f"{concept_text(concept)}, and {pick} are needed for the average: draw more "
            "(--candidates), or name a more common concept"
        )
    return sure.argsort(descending=True)[: min(among, shown)], shown


def _averages(z: Tensor, rows: Tensor, pick: int, draws: int, seed: int, concept: int) -> Tensor:
    """The averages (draws, L) of `pick` different z at random among `rows`, draw by draw."""
    chance = Randomness([seed], rows.device).at("arithmetic", "picks", concept)
    order = chance.uniform(0, 1, draws, len(rows)).argsort(1)[:, :pick]
    return z[rows[order].to(z.device)].mean(1)


def _rate(logits: Tensor, names: Sequence[str], wanted: Concept) -> SuccessRate:
    return SuccessRate(int((concept_margin(logits, names, wanted) > 0).sum()), len(logits))
