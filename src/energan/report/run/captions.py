"""What the captions of curves say, of the objective that was trained by."""

from energan.report.run.contents import RunContents

TITLES = {
    "variance_ratio": "Variance of samples over the data's",
    "l1": "Distance from the target",
    "code_similarity": "Likeness of codes",
    "high_quality_share": "Share of samples near a mode",
    "pull_away": "Pulling-away term",
    "images_per_s": "Images per second",
}
"""Of curves, where they say more than the catalogue of metrics does."""
CAPTIONS = {
    "sliced_wasserstein": "Between 1,000 samples and as many held-out events; 0 if they are alike.",
    "error": "The share of held-out events whose class is not found; their labels are not trained "
    "on.",
    "calibration_error": "How far the probability of the found class is from the share that is "
    "right, the mean over 15 bins.",
    "variance_ratio": "Near 1 the samples vary as the data does; near 0 they have collapsed.",
    "l1": "The mean absolute difference of results from their targets, of held-out pairs, in "
    "[0, 1].",
    "code_similarity": "Mean squared cosine of the samples' codes about the data's mean code "
    "(dashed: of the data's own). It nears 1 in a collapse.",
    "modes": "How many of the data's modes have samples near them.",
    "high_quality_share": "Samples within three standard deviations of a mode.",
    "pull_away": "Mean squared cosine of the samples' codes in a batch; 1 if all point one way.",
}

CHAINS = {
    "chain-slopes": (
        "Slopes of chains",
        "Along chains: the norm of the energy's gradient, and how far they fall. A steady rise "
        "warns of a divergence; near 0 chains no longer move.",
        {"chain_gradient": "norm of ∇U", "chain_drop": "fall of U"},
    ),
    "chain-ages": (
        "Age of chains",
        "Langevin steps since a chain was started from noise, mean over a batch. It levels off at "
        "K over the share of restarts.",
        {"chain_age": "age"},
    ),
    "saturation": (
        "Coordinates at the ends of the range",
        "Their share should be that of the data: chains that all end there have run away.",
        {"chain_saturation": "chains", "data_saturation": "data"},
    ),
    "acceptance": (
        "Accepted moves",
        "The share of moves that the Metropolis test accepts. MALA's steps are best near 0.57, "
        "those of HMC between 0.65 and 0.8.",
        {"chain_acceptance": "acceptance"},
    ),
    "chain-step": (
        "Step size of chains",
        "ε, adapted to the acceptance that was asked for: it falls as the energy grows steeper.",
        {"chain_step_size": "ε"},
    ),
}
"""Figures of models that are sampled by chains: title, what it says, lines."""


AUGMENTATION = (
    "What D sees",
    "Of adaptive augmentation: the probability p of each change, and r, the mean sign of D on "
    "augmented data, that steers it: above 0.6 D learns the data by heart, and p rises.",
    {"augment_p": "p", "augment_r": "r"},
)


def settles_at_margin(contents: RunContents) -> bool:
    """Whether the energy's loss settles at m: theorem 1 says so of the hinge."""
    return contents.model is not None and contents.model.objective.settles_at == "margin"


def losses_caption(contents: RunContents) -> str:
    """What to look for in the losses."""
    tends = "" if contents.model is None else contents.model.objective.equilibrium
    return f"Means over the steps between two readings. {tends}".rstrip()


GRADIENTS = (
    "Of the gradients of each network's loss. A steady rise warns of a divergence; near 0 nothing "
    "is learnt."
)
CROSS_ENTROPY = (
    "Of the labelled events in a batch, in training with noise. That it nears 0 says little of "
    "held-out events: a few labels are soon learnt by heart."
)


def energies_caption(contents: RunContents) -> str:
    """What to look for in the energies."""
    if contents.model is not None and contents.model.energy.denoises:
        pushed = (
            " That of samples is pushed up to the margin, as long as there is one, and pulled down "
            "by the sampler."
            if contents.schedule("margin")
            else ""
        )
        return (
            "Squared errors of reconstructions. In training events are noisy, in evaluation they "
            f"are not, so that the latter lie lower.{pushed} Held-out energies far above those of "
            "training data, both in evaluation, mean that the training set is learnt by heart."
        )
    if contents.schedule("margin") is not None:
        return (
            "Low means like data. The energy of data falls, and that of samples is pushed up to "
            "the margin and pulled down by the sampler. Held-out energies far above those of "
            "training data mean that the training set is learnt by heart."
        )
    return (
        "Low means like data. The nearer the energies of data and of samples, the less they can "
        "be told apart; held-out energies far above those of training data mean overfitting."
    )
