"""What is worth saying before a training begins."""

from energan import recipes
from energan.core.schedules import unfinished_settings
from energan.data import DataSet
from energan.experiment.callbacks.held_out import describe_errors
from energan.experiment.own_code import own_code
from energan.experiment.settings import Job, load
from energan.io.text import agree, plural


def remarks(chosen: dict[str, str], data: DataSet, job: Job) -> list[str]:
    """What the model chose from the data, how much of that is left out, whether model, code and
    data belong together, and which schedules would still change when the run ends."""
    found = ["; ".join(f"{name}: {what}" for name, what in chosen.items())] if chosen else []
    if data.skipped:
        where, reason = data.skipped[0]
        found.append(
            f"{len(data.skipped)} of {data.name} cannot be used and "
            f"{agree(len(data.skipped), 'are')} skipped (the first: {where}: {reason}); "
            "skipped.txt in the run lists them"
        )
    found += [str(fact) for fact in data.facts if fact.warning]
    if job.code is not None and (code := own_code(job.model)) and code.sha256 != job.code:
        found.append(
            f"warning: the code of the model {job.model} is not the one that these settings were "
            "trained with, so this is not the same run"
        )
    better = job.settings.model.recipe_for_photographs
    if better is not None and _are_photographs(data):
        height, width = data.domain.shape[-2:]
        found.append(
            f"warning: images are resized to {width}x{height} and flattened, which suits digits, "
            f"symbols and icons; for photographs use energan train {better}"
        )
    if about_errors := describe_errors(job, data):
        found.append(about_errors)
    if left := _unfinished(job):
        found.append(
            f"warning: training ends after {plural(job.settings.training.steps, 'step')}, before "
            f"{plural(len(left), 'schedule')} {agree(len(left), 'do')}: {' and '.join(left)}; "
            "use --scale or --minutes instead of --steps to shorten schedules too"
        )
    return found


def _unfinished(job: Job) -> list[str]:
    """The model's schedules that training ends before, but for those of which the recipe's own does
    too."""
    found = unfinished_settings(job.settings.model, job.settings.training.steps, "model.")
    if job.recipe not in recipes.RECIPES:
        return found
    own = load(job.recipe).settings
    known = unfinished_settings(own.model, own.training.steps, "model.")
    return [what for what in found if what not in known]


def _are_photographs(data: DataSet) -> bool:
    """Whether images are in colour, or of quite another size than what a model is trained on."""
    resized = any(fact.subject == "size" and fact.warning for fact in data.facts)
    return len(data.domain.shape) == 3 and (data.domain.shape[0] == 3 or resized)
