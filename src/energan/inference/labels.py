"""The classes of a conditional run, as a user names them."""

from energan.core import SettingError
from energan.inference.run import Run


def class_number(run: Run, label: str) -> int:
    """A class by its number, or by its name.

    Raises SettingError if the run's energy and samples do not depend on a label, or if there is no
    such class.
    """
    if run.classes is None:
        why = "was trained without labels"
        if run.classifies:
            why = "learns classes to classify images, not to draw or restore images of one class"
        raise SettingError(
            f"--label {label}: {run.job.model} {why}; leave --label out, or choose a run of a "
            "conditional model (for example energan train cdcgan-folder)"
        )
    names = run.job.settings.data.classes or run.class_names
    if label in names:
        return names.index(label)
    if label.isdigit() and int(label) < run.classes:
        return int(label)
    raise SettingError(
        f"--label {label}: the model has {run.classes} classes; choose one of "
        f"{', '.join(names[:20])}"
    )
