"""Images that belong together stay on one side: of the split, and of few labels."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from energan.core import DataError, Domain
from energan.data import DataSet, DataSettings, open_data
from energan.data.few_label_batches import choose_labelled
from energan.data.inference import open_images
from energan.data.sources.splits import fixed_order, group_order

SCANS = tuple(f"p{p}/s{s}.png" for p in range(12) for s in range(p % 4 + 1))


def draw(folder: Path, files: tuple[str, ...] = SCANS) -> Path:
    """An image for each file; the i-th is of grey i."""
    for i, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(folder / file)
    return folder


def opened(folder: Path, groups: str | None, split: str = "train", **more: object) -> DataSet:
    told = {"source": str(folder), "groups": groups, "layout": "flat", **more}
    return open_data(DataSettings.model_validate(told), split)  # type: ignore[arg-type]


def groups_by_number(data: DataSet) -> dict[int, int]:
    """Of each image, by its number in `draw`."""
    assert data.groups is not None
    return dict(zip(data.raw()[:, 0, 0, 0].tolist(), data.groups.tolist(), strict=True))


def facts(data: DataSet, subject: str = "groups") -> list[str]:
    return [fact.text for fact in data.facts if fact.subject == subject]


def csv_of(path: Path, lines: list[str]) -> str:
    path.write_text("\n".join(["file,group", *lines]) + "\n")
    return str(path)


def patient(number: int) -> str:
    return SCANS[number].partition("/")[0]


@pytest.mark.parametrize("form", ["folder", r"(p\d+)/", r"^p\d+", "csv"])
@pytest.mark.parametrize("held_out", [None, 1, 7, 20])
def test_a_group_is_on_one_side(tmp_path: Path, form: str, held_out: int | None) -> None:
    folder = draw(tmp_path / "scans")
    lines = [f"{name},{name.partition('/')[0]}" for name in SCANS]
    word = csv_of(tmp_path / "groups.csv", lines) if form == "csv" else form
    data = opened(folder, word, held_out=held_out)
    assert data.held_out is not None
    training, kept = groups_by_number(data), groups_by_number(data.held_out)
    assert {*training, *kept} == set(range(len(SCANS)))
    sides = [{patient(n) for n in side} for side in (training, kept)]
    assert not sides[0] & sides[1]
    asked = len(SCANS) // 10 if held_out is None else held_out
    assert asked <= len(kept) < asked + 4  # the largest group has four
    for side in (training, kept):  # the numbers tell the same as the names
        assert len({(patient(n), g) for n, g in side.items()}) == len({*map(patient, side)})
        assert len({*side.values()}) == len({*map(patient, side)})
    assert facts(data)[-1].startswith(f"{len(sides[0])} for training, {len(sides[1])} held out")


def test_without_the_setting_nothing_changes(tmp_path: Path) -> None:
    folder = draw(tmp_path)
    data = opened(folder, None)
    assert data.groups is None
    assert not facts(data)
    rows = fixed_order(len(SCANS))[: len(data)].tolist()
    assert data.raw()[:, 0, 0, 0].tolist() == [SCANS.index(sorted(SCANS)[row]) for row in rows]


def test_a_shuffle_of_groups_is_one_of_events_where_each_is_its_own() -> None:
    assert torch.equal(group_order(torch.arange(50)), fixed_order(50))
    groups = torch.randint(0, 9, (200,), generator=torch.Generator().manual_seed(0))
    order = group_order(groups)
    assert torch.equal(order.sort().values, torch.arange(200))
    changes = int((groups[order].diff() != 0).sum())
    assert changes == len(groups.unique()) - 1


def test_what_no_group_is_told_of_is_counted_and_for_itself(tmp_path: Path) -> None:
    folder = draw(tmp_path, (*SCANS, "loose1.png", "loose2.png"))
    data = opened(folder, r"p\d+", held_out=0)
    found = groups_by_number(data)
    loose = [found[len(SCANS)], found[len(SCANS) + 1]]
    assert len({*loose}) == 2
    assert not {*loose} & {group for n, group in found.items() if n < len(SCANS)}
    told = [fact for fact in data.facts if fact.subject == "groups"]
    assert told[0].warning
    assert told[0].text == (
        rf"12 of {len(SCANS)} images, by p\d+; 2 images without one, each a group of its own"
    )
    assert told[1].text == "14 for training, 0 held out (0 images)"
    csv = csv_of(tmp_path / "g.csv", ["p0/s0.png,a", "p1/s0.png,a"])
    assert facts(opened(folder, csv))[0].startswith(
        "1 of 2 images, by g.csv; 30 images without one"
    )


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            r"(x\d)",
            r"data\.groups \(x\\d\) matches none of 30 paths, for example p0/s0\.png: correct",
        ),
        ("(p", r"data\.groups \(p is not the word folder, a CSV or a valid regular expression"),
        ("none.csv", r"data\.groups: there is no file none\.csv"),
        (r"x*", "matches none"),  # it matches, but nothing
    ],
)
def test_mistakes_are_told(tmp_path: Path, word: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(draw(tmp_path), word)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["p0/s0.png,a", "p0/s0.png,b"], r"s0\.png is a in line 2 and b in line 3: keep one"),
        (["p99/s0.png,a"], r"line 2: .* holds no image p99/s0\.png"),
        ([], r"holds no group: write lines such as scan1\.png,patient1 below file,group"),
        ([",a"], "line 2: a group without a file"),
    ],
)
def test_mistakes_of_a_csv_name_the_line(tmp_path: Path, lines: list[str], message: str) -> None:
    folder = draw(tmp_path / "scans")
    with pytest.raises(DataError, match=message):
        opened(folder, csv_of(tmp_path / "g.csv", lines))


def test_one_group_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"examples of one group stay together; lower data\.held_out"
    ):
        opened(draw(tmp_path), "p")
    assert opened(tmp_path, "p", held_out=0).held_out is None


def test_other_sources_have_no_groups(tmp_path: Path) -> None:
    for source in ("digits", "ring"):
        with pytest.raises(DataError, match=r"data\.groups gives the groups of a folder of image"):
            open_data(DataSettings(source=source, groups="folder"))


def test_groups_in_both_parts_are_told(tmp_path: Path) -> None:
    files = ("train/p1_a.png", "train/p2_a.png", "train/p2_b.png", "test/p2_c.png", "test/p3.png")
    folder = draw(tmp_path, files)
    for split in ("train", "test"):
        data = opened(folder, r"(p\d)", split, layout="auto", held_out=1)
        shared = [f for f in data.facts if f.subject == "groups" and f.warning]
        assert [f.text for f in shared] == [
            "1 (p2) has images in both the training and the test part, so scores on the test part "
            "look better than they are; move each group to one part"
        ]
    apart = draw(tmp_path / "apart", ("train/p1.png", "train/p2.png", "test/q3.png"))
    assert opened(apart, r"(p\d)", "test", layout="auto").groups is None
    assert not [f for f in opened(apart, r"(p\d)", layout="auto", held_out=1).facts if f.warning]


def test_pages_are_of_the_group_of_their_file(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b1", "b2", "c1"):
        pages = [Image.new("L", (4, 4), 10 * i + ord(name[0])) for i in range(3)]
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    data = opened(tmp_path, "^([abc])", pages="all", held_out=3)
    assert data.held_out is not None
    sizes = sorted([len(data), len(data.held_out)])
    assert sizes in ([3, 12], [6, 9])
    assert data.groups is not None
    assert sorted(data.groups.bincount().tolist())[-1] in (3, 6)
    assert {*data.groups.tolist()}.isdisjoint(data.held_out.groups.tolist())  # type: ignore[union-attr]


def test_in_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "scans.tar", "w") as tar:
        for i, name in enumerate(SCANS):
            file = io.BytesIO()
            Image.new("L", (4, 4), i).save(file, "PNG")
            entry = tarfile.TarInfo(name)
            entry.size = file.tell()
            file.seek(0)
            tar.addfile(entry, file)
    data = opened(tmp_path / "scans.tar", r"(p\d+)")
    assert data.held_out is not None
    assert {patient(n) for n in groups_by_number(data)}.isdisjoint(
        patient(n) for n in groups_by_number(data.held_out)
    )


def test_groups_of_images_that_are_judged(tmp_path: Path) -> None:
    folder = draw(tmp_path)
    settings = DataSettings(source=str(folder), groups="folder", layout="flat")
    (held,), _ = open_images([str(folder)], settings, Domain((1, 4, 4), -1.0, 1.0))
    assert held.part == "held-out"
    kept = open_data(settings).held_out
    assert kept is not None
    assert groups_by_number(held.data) == groups_by_number(kept)
    some = held.data.subset(torch.tensor([1, 0]))
    assert some.groups is not None
    assert some.groups.tolist() == held.data.groups[[1, 0]].tolist()  # type: ignore[index]


# --- few labels -----------------------------------------------------------------------------------


def test_groups_with_a_label_are_trained_on(tmp_path: Path) -> None:
    """A group of which some images have a label is not held out in part, nor at all."""
    folder = draw(tmp_path / "scans")
    lines = [f"p{p}/s0.png,{'ab'[p % 2]}" for p in range(0, 9)]
    csv = tmp_path / "labels.csv"
    csv.write_text("\n".join(["file,label", *lines]) + "\n")
    data = opened(folder, "folder", labels=str(csv))
    assert data.held_out is not None
    assert data.labels is not None
    kept = {patient(n) for n in groups_by_number(data.held_out)}
    assert kept
    assert kept <= {"p9", "p10", "p11"}
    assert int((data.labels >= 0).sum()) == 9
    assert bool((data.labels[:9] >= 0).all())  # they stand first, so that data.limit keeps them


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_few_labels_are_of_few_groups(seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (600,), generator=g)
    groups = torch.randint(0, 60, (600,), generator=g)
    rows = choose_labelled(labels, 3, 60, seed, groups=groups)
    assert labels[rows].bincount().tolist() == [20, 20, 20]
    chosen = {k: rows[labels[rows] == k] for k in range(3)}
    cut = 0
    for k, own in chosen.items():
        for group in groups[own].unique().tolist():
            there = int(((groups == group) & (labels == k)).sum())
            cut += int((groups[own] == group).sum()) < there
    assert cut <= 3  # the last group of each class
    assert (
        len(groups[rows].unique()) < 15 < len(groups[choose_labelled(labels, 3, 60, seed)].unique())
    )
    more = choose_labelled(labels, 3, 120, seed, groups=groups)
    assert {*rows.tolist()} <= {*more.tolist()}


def test_groups_that_do_not_fit_are_refused() -> None:
    events = torch.zeros(3, 1, 4, 4)
    with pytest.raises(DataError, match="2 groups for 3 images"):
        DataSet("made", events, Domain((1, 4, 4), -1.0, 1.0), groups=torch.zeros(2))


def test_settings_keep_what_names_a_csv() -> None:
    assert DataSettings(groups="G.CSV", labels="l.csv").csvs == {
        "labels": "l.csv",
        "groups": "G.CSV",
    }
    assert DataSettings(groups="(a)").csvs == {}
    assert DataSettings(groups="(a)").for_source("x").groups is None
    assert json.loads(DataSettings().model_dump_json())["groups"] is None


# --- pairs ----------------------------------------------------------------------------------------


def pairs_of(folder: Path, groups: str | None, **more: object) -> DataSet:
    told = {"source": str(folder), "groups": groups, "direction": "left-to-right", **more}
    return open_data(DataSettings.model_validate(told))


@pytest.mark.parametrize("form", ["side by side", "two folders"])
@pytest.mark.parametrize("word", ["folder", r"(p\d+)/"])
def test_pairs_of_a_group_are_on_one_side(tmp_path: Path, form: str, word: str) -> None:
    for i, file in enumerate(SCANS):
        sides = ("",) if form == "side by side" else ("A/", "B/")
        for side in sides:
            path = tmp_path / f"{side}{file}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4 if side else 8, 4), i).save(path)
    layout = "flat" if form == "side by side" else "auto"
    data = pairs_of(tmp_path, word, layout=layout)
    assert data.held_out is not None
    training, kept = groups_by_number(data), groups_by_number(data.held_out)
    assert {*training, *kept} == set(range(len(SCANS)))
    assert not {patient(n) for n in training} & {patient(n) for n in kept}
    for side_of in (training, kept):
        assert len({(patient(n), g) for n, g in side_of.items()}) == len({*side_of.values()})
    assert facts(data)[0].startswith("12 of 30 images, by ")


def test_groups_of_pairs_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for i in range(4):
            path = tmp_path / part / f"p{i}-{part}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("L", (8, 4), i).save(path)
    for word, message in (
        ("groups.csv", "groups of pairs are not read from a CSV: give a regular expression"),
        ("(x", "is not the word folder"),
        ("zebra", r"matches none of 4 paths, for example p0-train\.png"),
    ):
        with pytest.raises(DataError, match=message):
            pairs_of(tmp_path, word)
    data = pairs_of(tmp_path, r"p\d")
    assert any("4 (p0, p1, p2, …) have images in both" in text for text in facts(data))


# --- tables ---------------------------------------------------------------------------------------


def table(path: Path, rows: range, patients: list[object]) -> Path:
    """An image a row; the i-th is of grey i."""
    cells = []
    for i in rows:
        raw = io.BytesIO()
        Image.new("L", (4, 4), i).save(raw, "png")
        cells.append(raw.getvalue())
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": cells, "patient": patients}), path)
    return path


@pytest.mark.parametrize("kind", [str, int])
def test_a_column_tells_the_groups_of_a_table(tmp_path: Path, kind: type) -> None:
    patients = [kind(patient(n)[1:]) for n in range(len(SCANS))]
    file = table(tmp_path / "scans.parquet", range(len(SCANS)), patients)
    data = open_data(DataSettings(source=str(file), groups="patient"))
    assert data.held_out is not None
    training, kept = groups_by_number(data), groups_by_number(data.held_out)
    assert {*training, *kept} == set(range(len(SCANS)))
    assert not {patient(n) for n in training} & {patient(n) for n in kept}
    assert facts(data)[0] == "12 of 30 images, by column patient"
    assert "patient" not in " ".join(facts(data, "left out"))
    (judged,), _ = open_images(
        [str(file)], DataSettings(), Domain((1, 4, 4), -1.0, 1.0), groups="patient"
    )
    assert judged.data.groups is not None
    assert len(judged.data.groups.unique()) == 12


def test_groups_of_a_table_have_holes_and_may_be_on_both_sides(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", range(8), ["a", "a", None, None, "b", "c", "c", "c"])
    table(tmp_path / "test.parquet", range(8, 11), ["c", "d", None])
    data = open_data(DataSettings(source=str(tmp_path), groups="patient", held_out=0))
    assert data.groups is not None
    assert len(data.groups.unique()) == 5
    assert "2 images without one, each a group of its own" in facts(data)[0]
    test = open_data(DataSettings(source=str(tmp_path), groups="patient"), "test")
    assert any("1 (c) has images in both the training and the test part" in f for f in facts(test))


def test_columns_that_name_no_groups_are_refused(tmp_path: Path) -> None:
    file = table(tmp_path / "a.parquet", range(3), [0.5, 1.5, 2.5])
    for word, message in (
        ("patient", "holds neither integers nor texts"),
        ("camera", "has no column 'camera'; choose from image, patient"),
    ):
        with pytest.raises(DataError, match=message):
            open_data(DataSettings(source=str(file), groups=word))
    empty = table(tmp_path / "b.parquet", range(3), [None, None, None])
    with pytest.raises(DataError, match="is empty in every row"):
        open_data(DataSettings(source=str(empty), groups="patient"))
    for source in ("mnist", "digits"):
        with pytest.raises(DataError, match="of a folder of image files or a table, and"):
            open_data(DataSettings(source=source, groups="patient"))


def test_groups_of_single_files_are_refused(tmp_path: Path) -> None:
    folder = draw(tmp_path)
    with pytest.raises(DataError, match="name the folder or the table that holds"):
        open_images(
            [str(folder / SCANS[0])], DataSettings(), Domain((1, 4, 4), -1.0, 1.0), groups="folder"
        )
