"""What energan does, written down: the moves of the rebuilding must not change it.

    python scripts/recordings.py record SRC TESTS OUT.json    of a checkout's src and tests folders
    python scripts/recordings.py compare A.json B.json        the differences; exit code 1 if any

Figures depend on the machine, so both recordings are made on one: the first from commit 2666d70 in
a worktree of its own. It goes when the rebuilding is done.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path

RUNS = {  # one `metrics.json` of each kind: images, points, pairs, tags, classes, labels, chains
    "digits": (["ebgan-digits", "--steps", "50"], []),
    "ring": (["ebgan-ring", "--steps", "50"], []),
    "chains": (["igebm-ring", "--steps", "20"], []),
    "conditional": (["cebgan-digits", "--steps", "50"], []),
    "labels": (
        ["ladder-mnist-100", "--steps", "50", "--data", "digits", "--data.labelled", "100",
         "--data.held-out", "200",
         "--model.labelled", "20", "--training.batch-size", "40"],
        [],
    ),
    "pairs": (["pix2pix-facades", "--steps", "3", "--limit", "12", "--data.size", "32"], []),
    "gan": (["gan-ring", "--steps", "30"], []),
}  # fmt: skip
QUICK = ["--output.sample-every", "25", "--output.log-every", "10", "--output.checkpoint-every",
         "25", "--engine.threads", "1", "--seed", "3"]  # fmt: skip


def digest(what: bytes | str) -> str:
    return hashlib.sha256(what.encode() if isinstance(what, str) else what).hexdigest()[:16]


def cleaned(text: str, folder: str) -> str:
    """Without what two equal runs differ in: places, times, rates."""
    text = text.replace(folder, "<TMP>")
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?", "<TIME>", text)
    text = re.sub(r"images/s [\d.e+]+", "images/s 0", text)
    text = re.sub(
        r'"(time|images_per_s|seconds|rate|steps_per_second|elapsed)": [\d.e+-]+', r'"\1": 0', text
    )
    return re.sub(r"\d+(\.\d+)? ?(s|ms|min|minutes|steps/s|it/s)\b", "<DURATION>", text)


def of_file(path: Path) -> str:
    """Of its bytes; of a picture's pixels, since its texts hold places."""
    if path.suffix != ".png":
        return digest(path.read_bytes())
    from PIL import Image

    with Image.open(path) as picture:
        return digest(f"{picture.mode} {picture.size}".encode() + picture.tobytes())


def import_main():
    try:
        from energan.cli.main import main
    except ImportError:
        from energan.cli import main
    return main


def command(*words: str, folder: str = "<none>") -> dict[str, object]:
    main = import_main()

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
    return {
        "code": code,
        "out": cleaned(out.getvalue(), folder),
        "err": cleaned(err.getvalue(), folder),
    }


def weights() -> dict[str, str]:
    try:
        from support.helpers import make_loop, model_case, snapshot
    except ImportError:
        from helpers import make_loop, model_case, snapshot
    from energan import models

    found = {}
    for name in models.names():
        case, data = model_case(name)
        loop = make_loop(case, data, [0])
        loop.run()
        sha = hashlib.sha256()
        for key, value in sorted(snapshot(loop).items()):
            sha.update(key.encode() + value.detach().contiguous().numpy().tobytes())
        found[name] = sha.hexdigest()[:16]
    return found


def commands() -> list[str]:
    main = import_main()

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        main(["--help"])
    return re.findall(r"^  ([a-z]+) ", out.getvalue(), re.M)


def sweeps() -> dict[str, list[str]]:
    from energan.sweep import SWEEPS
    from energan.sweep.trials import trials_of

    found = {}
    for name, sweep in SWEEPS.items():
        values = list(sweep.values())
        ids = [t.id for t in trials_of(sweep, values[::10], fingerprint=lambda data: "f" * 16)]
        found[name] = [len(values), digest(" ".join(ids)), *ids[:3]]
    return found


def runs(folder: str) -> dict[str, object]:
    found = {}
    for name, (words, _) in RUNS.items():
        out = f"{folder}/{name}"
        told = {"train": command("train", *words, *QUICK, "--out", out, folder=folder)}
        told["evaluate"] = command("evaluate", out, "-n", "200", folder=folder)
        told["report"] = command("report", out, folder=folder)
        files = {}
        for path in sorted(Path(out).rglob("*")):
            where = str(path.relative_to(out))
            if not path.is_file() or "tensorboard" in where or "tfevents" in where:
                continue
            if path.suffix in (".json", ".jsonl", ".txt"):
                text = cleaned(path.read_text(encoding="utf8"), folder)
                files[where] = text if len(text) < 20_000 else digest(text)
            elif path.suffix == ".html":
                files[where] = digest(cleaned(path.read_text(encoding="utf8"), folder))
            else:
                files[where] = of_file(path)
        found[name] = {"commands": told, "files": files}
    return found


def after(folder: str) -> dict[str, object]:
    """Other commands over the runs made before."""
    digits, ring, chains = f"{folder}/digits", f"{folder}/ring", f"{folder}/chains"
    labels = f"{folder}/labels"
    grid = f"{folder}/grid.png"
    asked = {
        "sample": ["sample", digits, "-n", "16", "--out", grid],
        "sample npz": ["sample", digits, "-n", "16", "--out", f"{folder}/s.npz"],
        "chains": ["sample", chains, "--chains", "8", "--steps", "20", "--out", f"{folder}/c.png"],
        "folder": ["sample", digits, "-n", "12", "--out", f"{folder}/pictures"],
        "calibrate": ["score", digits, f"{folder}/pictures", "--calibrate", "digits"],
        "score": ["score", digits, f"{folder}/pictures", "--heatmaps", f"{folder}/heat"],
        "restore": ["restore", digits, f"{folder}/pictures", "--mask", "left", "--steps", "5",
                    "--out", f"{folder}/restored"],
        "classify": ["classify", labels, f"{folder}/pictures"],
        "interpolate": ["interpolate", digits, "--out", f"{folder}/i.png"],
        "neighbours": ["neighbours", digits, "--out", f"{folder}/n.png"],
        "landscape": ["landscape", ring, "--out", f"{folder}/l.png"],
        "compare": ["compare", digits, f"{folder}/conditional", "--out", f"{folder}/cmp.png"],
        "export": ["export", digits, "--format", "torch", "--out", f"{folder}/exported"],
        "features": ["features", "celeba", "--limit", "60", "--size", "16", "--with", "classifier",
                     "--out", f"{folder}/faces.npz"],
        "tags": ["train", "tagging-celeba", "--data", f"{folder}/faces.npz", "--steps", "20",
                 *QUICK, "--out", f"{folder}/tags"],
        "evaluate tags": ["evaluate", f"{folder}/tags"],
        "anomaly": ["evaluate", digits, "-n", "100", "--ood", "noise", "textures"],
        "resume": ["resume", digits, "--steps", "60"],
        "resume again": ["resume", digits],
        "data": ["data", "show", f"{folder}/pictures"],
        "data digits": ["data", "show", "digits"],
        "figures": ["figures", "samples", digits, "--out", f"{folder}/f.png"],
        "margin": ["margin", "ebgan-digits", "--steps", "30"],
        "seeds": ["train", "ebgan-digits", "--steps", "20", "--seeds", "2", *QUICK[:-2],
                  "--out", f"{folder}/seeds"],
        "evaluate seeds": ["evaluate", f"{folder}/seeds/s0", f"{folder}/seeds/s1",
                           "-n", "100"],
        "unknown recipe": ["train", "ebgan-digit"],
        "unknown setting": ["train", "ebgan-digits", "--model.margn", "3"],
        "bad value": ["train", "ebgan-digits", "--training.batch-size", "0"],
        "no data": ["train", "ebgan-folder", "--data", f"{folder}/nowhere"],
        "no run": ["sample", f"{folder}/nowhere"],
        "taken": ["train", "ebgan-digits", "--out", digits],
    }  # fmt: skip
    told = {name: command(*words, folder=folder) for name, words in asked.items()}
    made = [grid, *(f"{folder}/{n}.png" for n in ("c", "i", "n", "l", "cmp", "f"))]
    for path in map(Path, made):
        told[path.name] = of_file(path) if path.exists() else None
    for part in ("pictures", "heat", "restored"):
        told[part] = {p.name: of_file(p) for p in sorted(Path(folder, part).glob("*.png"))}
    for run in ("digits", "seeds/s0", "seeds/s1"):
        for path in sorted(Path(folder, run).rglob("*.safetensors")):
            told[str(path.relative_to(folder))] = digest(path.read_bytes())
    return told


def record(src: str, tests: str, out: str) -> None:
    sys.path[:0] = [src, tests]
    os.environ |= {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    import torch

    torch.set_num_threads(1)
    import energan

    assert str(Path(energan.__file__).resolve()).startswith(str(Path(src).resolve()))
    from energan.recipes import RECIPES

    found: dict[str, object] = {"all": sorted(energan.__all__), "weights": weights()}
    found["help"] = {name: command(name, "--help") for name in commands()}
    found["usage"] = command("--help")
    found["dry"] = {name: command("train", name, "--dry-run") for name in RECIPES}
    found["recipes"] = command("recipes")
    found["sweeps"] = sweeps()
    folder = "/tmp/energan-recordings"  # always the same: pictures show their places
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.environ["ENERGAN_CACHE"] = f"{folder}/cache"
    os.chdir(folder)
    found["runs"] = runs(folder)
    found["after"] = after(folder)
    Path(out).write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf8")


def compare(a: object, b: object, where: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            line
            for key in sorted({*a, *b})
            for line in compare(a.get(key), b.get(key), f"{where}/{key}")
        ]
    if a == b:
        return []
    if isinstance(a, str) and isinstance(b, str) and "\n" in a + b:
        import difflib

        lines = difflib.unified_diff(a.splitlines(), b.splitlines(), lineterm="", n=0)
        return [where, *("    " + line for line in list(lines)[2:14])]
    return [f"{where}: {str(a)[:300]} -> {str(b)[:300]}"]


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(*(str(Path(p).resolve()) for p in sys.argv[2:5]))
    else:
        first, second = (json.loads(Path(p).read_text(encoding="utf8")) for p in sys.argv[2:4])
        print("\n".join(lines := compare(first, second)) or "the same")
        sys.exit(bool(lines))
