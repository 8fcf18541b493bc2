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
    "sliced_wasserstein": "Between 1,000 samples and as many held-out examples; 0 if they are "
    "alike.",
    "error": "The fraction of held-out examples that are classified wrongly; their labels are "
    "not trained on.",
    "calibration_error": "Difference between the probability of the predicted class and the "
    "fraction that is right, averaged over 15 bins.",
    "variance_ratio": "Near 1 the samples vary as much as the data; near 0 they have collapsed.",
    "l1": "The mean absolute difference between results and targets, on held-out pairs, in [0, 1].",
    "code_similarity": "Mean squared cosine of the samples' codes, relative to the data's mean "
    "code (dashed: the data's own codes). It approaches 1 in a collapse.",
    "modes": "How many of the data's modes have samples near them.",
    "high_quality_share": "Samples within three standard deviations of a mode.",
    "pull_away": "Mean squared cosine of the samples' codes in a batch; 1 if all point one way.",
}

CHAINS = {
    "chain-slopes": (
        "Slopes of chains",
        "The norm of the energy's gradient along chains, and how far their energy falls. A "
        "steady rise warns of divergence; near 0 chains no longer move.",
        {"chain_gradient": "norm of ∇U", "chain_drop": "fall of U"},
    ),
    "chain-ages": (
        "Age of chains",
        "Langevin steps since a chain was started from noise, averaged over a batch. It levels "
        "off at K divided by the fraction of restarts.",
        {"chain_age": "age"},
    ),
    "saturation": (
        "Coordinates at the ends of the range",
        "Their fraction should be that of the data: chains that all end there have diverged.",
        {"chain_saturation": "chains", "data_saturation": "data"},
    ),
    "acceptance": (
        "Accepted moves",
        "The fraction of moves that the Metropolis test accepts. The step size of MALA is best "
        "if it is near 0.57, that of HMC between 0.65 and 0.8.",
        {"chain_acceptance": "acceptance"},
    ),
    "chain-step": (
        "Step size of chains",
        "ε, adapted to the target acceptance: it falls as the energy gets steeper.",
        {"chain_step_size": "ε"},
    ),
}
"""Figures of models that are sampled by chains: title, what it says, lines."""


AUGMENTATION = (
    "Adaptive augmentation",
    "The probability p of each change, and r, the mean sign of the discriminator on augmented "
    "data, which controls p: above 0.6 the discriminator overfits, and p rises.",
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
    "Norm of the gradients of each network's loss. A steady rise warns of divergence; near 0 "
    "nothing is learned."
)
CROSS_ENTROPY = (
    "On the labelled examples in a batch, in training with noise. A value near 0 says little "
    "about held-out examples: few labels are soon memorised."
)


def energies_caption(contents: RunContents) -> str:
    """What to look for in the energies."""
    if contents.model is not None and contents.model.energy.denoises:
        pushed = (
            " The loss pushes the energy of samples up to the margin, if there is one, and the "
            "generator pulls it down."
            if contents.schedule("margin")
            else ""
        )
        return (
            "Squared errors of reconstructions. In training the inputs are noisy, in evaluation "
            f"they are not, so the latter errors are lower.{pushed} If the energy of held-out "
            "data is far above that of training data, both in evaluation, the model overfits."
        )
    if contents.schedule("margin") is not None:
        return (
            "Low energy means similar to the data. The energy of data falls; that of samples is "
            "pushed up to the margin and pulled down by the generator. If the energy of "
            "held-out data is far above that of training data, the model overfits."
        )
    return (
        "Low energy means similar to the data. The closer the energies of data and samples, the "
        "less they can be told apart. If the energy of held-out data is far above that of "
        "training data, the model overfits."
    )
