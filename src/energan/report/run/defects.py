"""Whether a run tells normal parts from others: ROC, counts at the threshold, the worst images."""

from pathlib import PurePosixPath
from typing import Any

from energan.io.text import is_number, number, range_text, weights_text
from energan.report.html import Cell, PageTable, Picture, Theme, draw_figure
from energan.report.run.contents import RunContents

TITLE, WORST = "Is this part normal?", "Missed defects and false alarms"
INTRO = (
    "On labelled images with defect masks. Image AUROC is the probability that an image with "
    "this kind of defect scores higher than a normal one; AUPRO is the fraction of each defect "
    "that the heat map finds, up to 30 % of normal pixels flagged. Baselines (distance to the "
    "mean image, PCA, nearest neighbour) need no training."
)
WORST_INTRO = (
    "The normal images with the highest scores, and for each kind of defect the images with the "
    "lowest, with heat maps in the image's own proportions. Colours begin below the threshold "
    "of heat maps, which is not that of images: an image may be called anomalous without a red "
    "line. Red lines surround what is above it, blue lines the defects of the masks; the model "
    "does not see hatched parts."
)


def tabulate(contents: RunContents) -> list[PageTable]:
    """The tables of the newest entry."""
    entry = _newest(contents)
    if entry is None:
        return []
    tables = [_kinds(entry), _counts(entry), _baselines(entry)]
    return [table for table in tables if table is not None]


def draw_newest(contents: RunContents) -> list[Picture]:
    """The ROC curve of the newest entry."""
    entry = _newest(contents)
    picture = None if entry is None else draw_roc(entry)
    return [picture] if picture else []


def show_worst(contents: RunContents) -> list[Picture]:
    """The pictures that the evaluation kept, those of them that are still there."""
    entry = _newest(contents) or {}
    found = []
    for i, one in enumerate(entry.get("pictures") or []):
        file = contents.folder.path / str(one["file"])
        if file.is_file() and file.resolve().is_relative_to(contents.folder.path.resolve()):
            title = _verdict(one)
            caption = f"{PurePosixPath(str(one['image'])).name}, energy {number(one['energy'])}"
            found.append(Picture(f"worst-{i}", title, caption, file.read_bytes()))
    return found


def _verdict(one: dict[str, Any]) -> str:
    kind, flagged = str(one.get("kind") or "defect"), one.get("flagged")
    if not one.get("anomalous"):
        kind, words = "", ("Normal", "False alarm", "Normal, rightly")
    else:
        words = ("", ", found", ", missed")
    return kind + words[0 if flagged is None else 1 if flagged else 2]


def _newest(contents: RunContents) -> dict[str, Any] | None:
    entries = contents.scores.defects
    return max(entries, key=lambda e: e.get("step") or 0) if entries else None


def _about(entry: dict[str, Any]) -> str:
    data = entry.get("data") or {}
    return (
        f"Step {number(entry.get('step'))}, {weights_text(entry.get('weights'))} weights; "
        f"{data.get('source')}, {number(data.get('events'))} images, {number(data.get('masks'))} "
        f"with a mask; heat maps: {entry.get('map')}; intervals: {entry.get('interval')}; energan "
        f"{entry.get('energan')}."
    )


def _kinds(entry: dict[str, Any]) -> PageTable:
    rows = []
    for one in entry["kinds"]:
        pixels = one.get("pixels") or {}
        rows.append((
            str(one.get("kind")), number(one.get("images")),
            (number(one.get("auroc")), _ends(one.get("interval"))),
            (number(pixels.get("auroc")), _ends(pixels.get("auroc_interval"))),
            (number(pixels.get("aupro")), _ends(pixels.get("aupro_interval"))),
            number(pixels.get("defects")),
        ))  # fmt: skip
    notes = " ".join(f"{_capital(note)}." for note in entry.get("notes") or [])
    columns = ("Kind", "Images", "Image AUROC", "Pixel AUROC", "AUPRO (FPR 30%)", "Defects")
    return PageTable(columns, rows, f"{_about(entry)} {notes}".strip())


def _counts(entry: dict[str, Any]) -> PageTable | None:
    found = entry.get("threshold")
    if not isinstance(found, dict):
        return None
    rows: list[tuple[Cell, ...]] = []
    for one in found["counts"]:
        images, flagged = int(one["images"]), int(one["flagged"])
        name = str(one.get("kind") or ("defect" if one["anomalous"] else "normal"))
        share = f"{flagged / max(images, 1):.1%}"
        if isinstance(ends := one.get("interval"), dict):
            share += f" ({ends['low']:.1%} – {ends['high']:.1%})"
        if one["anomalous"]:
            rows.append((name, number(images), (number(flagged), share), number(images - flagged),
                         "–"))  # fmt: skip
        else:
            rows.append((name, number(images), "–", "–", (number(flagged), share)))
    caption = (
        f"At the threshold, energy {number(found.get('energy'))}, which at most "
        f"{found['fpr']:.1%} of new normal images exceed; calibrated on "
        f"{found.get('calibrated_on')}."
    )
    if found.get("fitted"):
        caption += " It was set on the normal images of this table, so it fits them by design."
    columns = ("At the threshold", "Images", "Caught", "Missed", "False alarms")
    return PageTable(columns, rows, caption)


def _baselines(entry: dict[str, Any]) -> PageTable | None:
    found = entry.get("baselines")
    if not isinstance(found, dict) or not found.get("compared"):
        return None
    compared = found["compared"]
    rows: list[tuple[Cell, ...]] = [("this energy", number(compared[0]["energy_auroc"]), "")]
    for one in compared:
        gap = (number(one["difference"]), _ends(one))
        rows.append((str(one["name"]), number(one["auroc"]), gap))
    best = max(compared, key=lambda one: one["auroc"])
    beaten = best.get("low", 0) > 0 or best["energy_auroc"] == 1
    caption = (
        f"On {number(found.get('images'))} images; baselines are {found.get('about')}. The last "
        "column is the energy's AUROC minus the baseline's, with its paired 95% interval. "
    ) + ("" if beaten else f"{_capital(best['name'])} is not beaten by this energy.")
    return PageTable(
        ("Beside baselines", "Image AUROC", "Energy minus baseline"), rows, caption.strip()
    )


def _capital(text: Any) -> str:
    return str(text)[:1].upper() + str(text)[1:]


def _ends(found: Any) -> str:
    if not isinstance(found, dict) or found.get("low") is None:
        return ""
    return range_text(found["low"], found.get("high"))


def operating_point(entry: dict[str, Any]) -> tuple[float, float] | None:
    """False and true positive rate at the threshold; None where it is not known."""
    counts = (entry.get("threshold") or {}).get("counts") or []
    rates = []
    for anomalous in (False, True):
        those = [one for one in counts if one["anomalous"] is anomalous]
        images = sum(one["images"] for one in those)
        if not images:
            return None
        rates.append(sum(one["flagged"] for one in those) / images)
    return rates[0], rates[1]


def draw_roc(entry: dict[str, Any]) -> Picture | None:
    """The curves of the energy and of the baselines, and the threshold's point on the first."""
    curves = entry.get("roc")
    if not curves:
        return None
    aurocs = {
        one["name"]: one["auroc"] for one in (entry.get("baselines") or {}).get("compared", [])
    }
    aurocs["energy"] = (entry.get("detection") or {}).get("auroc")
    point = operating_point(entry)

    def draw(axes: Any, theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], "--", color=theme.faint, linewidth=0.8)
        for i, curve in reversed(list(enumerate(curves))):
            value = aurocs.get(curve["name"])
            label = curve["name"] + (f"  {value:.3f}" if is_number(value) else "")
            axes.plot(curve["fpr"], curve["tpr"], color=theme.colours[i % len(theme.colours)],
                      linewidth=2.2 if i == 0 else 1.1, label=label)  # fmt: skip
        if point is not None:
            axes.plot(*point, "o", color=theme.ink, markersize=6, label="image threshold")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal",
                 xlabel="share of normal images called anomalous",
                 ylabel="share of defective images found")  # fmt: skip
        axes.legend(loc="lower right", reverse=True)

    caption = "The energy beside baselines, with the AUROC of each."
    if point is not None:
        caption += (
            f" Dot: the image threshold finds {point[1]:.1%} of defective images and calls "
            f"{point[0]:.1%} of normal ones anomalous."
        )
    return draw_figure("roc", "ROC of images", caption, draw, (4.7, 4.4), tall=True)
