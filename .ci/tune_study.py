"""How well what a search looks at predicts the test set: the table in docs/tuning.md, and the files it is made from.

    python .ci/tune_study.py score  --data elpv --data-root DATA --output FOLDER     hours of one core; resumable
    python .ci/tune_study.py judge  --output FOLDER --to results/tune                seconds

For this study alone every setting is scored on the test set, too: `workbench tune` never does. Settings are drawn at
random, the same ones for all data sets, and fitted once, to `N_TRAIN` good images at most; held-out good images, drawn
defects and test images are scored by that one fit. From the scores each kind of validation is computed with
`N_SEEDS` draws: the test set of `labelled` is what its draw leaves.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

N_SETTINGS, N_TRAIN, N_GOOD, N_DRAWN, N_LABELLED, N_SEEDS = 14, 100, 60, 40, 20, 3
LARGEST = {"resnet50_caffe.msra": 256}  # px; beyond, an image takes this study's one core a second
MOST_TEST = {0: 100, 1: 120}  # test images by label, drawn once
BACKBONES = ["resnet18", "resnet50_caffe.msra", "tf_efficientnet_lite0"]
INPUT = {"backbone": BACKBONES, "image_size": [128, 192, 256, 320, 384], "center_crop": [None, 0.875]}
OWN: dict[str, dict[str, list[Any]]] = {
    "Patchcore": {"layers": [[8, 16], [8], [16]], "neighborhood": [1, 3, 5], "coreset_sampling_ratio": [0.01, 0.02],
                  "num_neighbors": [1, 9]},
    "Padim": {"layers": [[4, 8, 16], [8, 16], [4, 8], [16]]},
}  # fmt: skip
DEFAULTS = {
    "Patchcore": {"class_path": "extensions.Patchcore", "init_args": {"coreset_sampling_ratio": 0.01}},
    "Padim": {"class_path": "extensions.Padim", "init_args": {}},
}
PAPERS = ("pa_bdp01_tl", "pa_brg01_rl", "pa_brg03_tl", "pa_gla01_tl")  # two that are solved and the two that are not
MTD = {"name": "mtd", "root": "mtd", "category": ""}
DATA: dict[str, list[dict[str, Any]]] = {
    "elpv": [{"class_path": "extensions.Elpv", "init_args": {"n_train": 200, "n_test": 200}}],
    "mtd": [{"class_path": "extensions.MVTecAD", "init_args": MTD}],
    # Training images of tiles that are tested left out: no tile is on both sides, in the test as in the validation.
    "mtd_by_tile": [{"class_path": "extensions.MVTecAD",
                     "init_args": {**MTD, "group": "groups.csv", "shared_groups": "not_trained"}}],
    # Validation by tile, and the published test set, whose good images are of tiles that are trained on.
    "mtd_mixed": [{"class_path": "extensions.MVTecAD", "init_args": {**MTD, "group": "groups.csv"}}],
    "bottle": [{"class_path": "extensions.MVTecAD",
                "init_args": {"name": "bottle", "root": "mvtec", "category": "bottle"}}],
    "piped": [{"class_path": "extensions.MVTecAD",
               "init_args": {"name": "piped", "root": "piped", "category": paper, "group": "groups.csv"}}
              for paper in PAPERS],
}  # fmt: skip


def settings() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Detector, choices and model of each trial: the defaults, then random ones; both detectors share their inputs."""
    from benchmark.tune.space import space_of

    spaces = {name: space_of(DEFAULTS[name], {**INPUT, **own, **_fixed(own)})[0] for name, own in OWN.items()}
    for name, space in spaces.items():
        yield name, space.default, space.at(space.default)
    rng = random.Random(0)
    seen: set[str] = set()
    while len(seen) < N_SETTINGS - 1:
        shared = {name: rng.choice(values) for name, values in INPUT.items()}
        own = {name: {key: rng.choice(values) for key, values in mine.items()} for name, mine in OWN.items()}
        too_large = shared["image_size"] > LARGEST.get(shared["backbone"], 384)
        if json.dumps(shared) in seen or too_large:
            continue
        seen.add(json.dumps(shared))
        for name, space in spaces.items():
            values = {**shared, **own[name]}
            choices = {one.name: one.choices[list(one.values).index(values[one.name])] for one in space.dimensions}
            yield name, choices, space.at(choices)


def _fixed(own: dict[str, Any]) -> dict[str, list[Any]]:
    """Arguments that have candidates of their own, but not in this study: the default alone."""
    return {"score_pooling": [None]} if "neighborhood" in own else {"score_pooling": [None], "n_features": [None]}


def score(names: list[str], output: Path, data_root: Path | None) -> None:
    """Score every setting on every image, a file a setting and data set; those that are there are not scored again."""
    from benchmark.tune.scoring import judge
    from extensions.backbones import default_layers

    parts = {name: [_scored_part(spec, data_root) for spec in DATA[name]] for name in names}
    numbered = list(enumerate(settings()))
    by_input = [numbered[start : start + len(OWN)] for start in range(0, len(numbered), len(OWN))]
    for name, (number, (detector, choices, model)) in ((n, one) for group in by_input for n in names for one in group):
        path = output / name / f"{number:03}.csv"
        if path.is_file():
            continue
        layers = tuple(default_layers(str(choices["backbone"]), reductions=(4, 8, 16)))
        rows, began, cpu = [], time.perf_counter(), time.process_time()
        for part, tags, labelled in parts[name]:
            with tempfile.TemporaryDirectory() as folder:
                judged = judge(model, part, workspace=Path(folder), layers=layers)
            scores = judged.scores.assign(category=part.datamodule.category, latency_ms=judged.quality.latency_ms)
            scores["tag"] = scores["image"].map(tags)
            for seed, taken in enumerate(labelled):
                scores[f"role{seed}"] = scores["image"].map(taken).fillna("")
            rows.append(scores)
        frame = pd.concat(rows).assign(detector=detector, setting=number, choices=json.dumps(choices), data=name)
        frame["seconds"], frame["cpu_seconds"] = time.perf_counter() - began, time.process_time() - cpu
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(path.with_suffix(".part"), index=False)
        path.with_suffix(".part").rename(path)
        print(name, number, detector, choices, f"{time.perf_counter() - began:.0f} s", flush=True)


def _scored_part(spec: dict[str, Any], data_root: Path | None) -> tuple[Any, dict[str, str], list[dict[str, str]]]:
    """A part with all images that are scored, what each of them is, and what draws of labelled ones make of it."""
    from benchmark.tune.part import part_of
    from benchmark.tune.validation import Validation

    validation = Validation("drawn", n=N_DRAWN, n_train=N_TRAIN, n_good=N_GOOD)
    part = part_of(spec, validation, data_root=data_root)
    name_of = part.datamodule.relative
    test = part.datamodule.test_data.samples
    test = pd.concat([_some(test[test["label_index"] == label], most) for label, most in MOST_TEST.items()])
    told = {"test": test, "held_out": part.good, "drawn": part.bad}
    tags = {name_of(path): tag for tag, samples in told.items() for path in samples["image_path"]}
    good = pd.concat([part.good, test[test["label_index"] == 0]])
    bad = pd.concat([part.bad, test[test["label_index"] == 1]]).assign(mask_path="")
    return dataclasses.replace(part, good=good, bad=bad), tags, _labelled(part.datamodule, test)


def _some(samples: pd.DataFrame, n: int) -> pd.DataFrame:
    return samples.sample(min(n, len(samples)), random_state=0).sort_values("image_path")


def _labelled(datamodule: Any, test: pd.DataFrame) -> list[dict[str, str]]:
    """By seed: what a draw of `tuned_on` makes of each test image, `taken`, `left`, or gone with its part."""
    from extensions.data.datamodules.tuned_on import take_tuned_on

    test = test.assign(split="test")
    defects = datamodule._tested_defects(test)
    found = []
    for seed in range(N_SEEDS):
        left, taken = take_tuned_on(test, defects.drop(columns=["content", "name"]), defects["content"].tolist(),
                                    n=N_LABELLED, seed=seed, name=datamodule.name)  # fmt: skip
        roles = {datamodule.relative(path): "left" for path in left["image_path"]}
        found.append(roles | {datamodule.relative(path): "taken" for path in taken["image_path"]})
    return found


def judged(output: Path) -> pd.DataFrame:
    """A row a setting, data set and category: image AUROC and separation by each validation, and on the test set.

    Columns `labelled_<seed>`, `drawn` and their `separation_…`; `error_…` and `separation_error_…`, standard errors of
    what these two are above the default's on the same images; `test_<seed>` without what that draw took, `test` all.
    """
    rows = []
    defaults: dict[tuple[str, str, str], pd.DataFrame] = {}  # by data, detector and category; files are in order
    for path in sorted(output.glob("*/*.csv")):
        frame = pd.read_csv(path, keep_default_na=False).assign(data=path.parent.name)
        for category, scores in frame.groupby("category", sort=True):
            place = (path.parent.name, str(scores["detector"].iloc[0]), str(category))
            default = defaults.setdefault(place, scores)
            first = scores.iloc[0]
            row = {name: first[name] for name in ("data", "detector", "setting", "choices", "latency_ms", "seconds")}
            row |= {"category": category, "cpu_seconds": first["cpu_seconds"]}
            for name in ("drawn", *(f"labelled_{seed}" for seed in range(N_SEEDS))):
                row |= _measured(name, _looked_at(scores, name), _looked_at(default, name))
            row["test"] = _auroc(scores[scores["tag"] == "test"])
            for seed in range(N_SEEDS):
                row[f"test_{seed}"] = _auroc(scores[scores[f"role{seed}"] == "left"])
            rows.append(row)
    return pd.DataFrame(rows)


def _looked_at(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    """The images of a validation: the good ones held out, and drawn defects or those that a draw took."""
    is_bad = scores["tag"] == "drawn" if name == "drawn" else scores[f"role{name.removeprefix('labelled_')}"] == "taken"
    return scores[(scores["tag"] == "held_out") | is_bad]


def _auroc(scores: pd.DataFrame) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(scores["label"], scores["score"]))


def _measured(name: str, scores: pd.DataFrame, default: pd.DataFrame) -> dict[str, float]:
    from benchmark.tune.lead import lead_of, sample_of
    from benchmark.tune.objective import separation

    lead = lead_of([sample_of(scores)], [sample_of(default)])
    apart = separation(scores["label"].to_numpy(int), scores["score"].to_numpy(float))
    return {name: _auroc(scores), f"separation_{name}": apart, f"error_{name}": lead.standard_error,
            f"separation_error_{name}": lead.separation_error}  # fmt: skip


def summary(trials: pd.DataFrame) -> pd.DataFrame:
    """A row a data set, detector and validation: how it ranks the settings, and what its choice loses on the test set.

    Of several categories one setting is chosen by the mean over them (`one`), or one for each (`each`).

    Returns:
        Columns data, detector, choice, validation, n_settings, spearman (mean over draws), and test AUROC of the best
        setting less that of the default (default_regret), of what `workbench tune` takes (regret) and of the best on
        the validation, however little it is above the default (regret_of_best); taken is the share of draws in which
        tune takes another than the default. All are means over draws.
    """
    lines = []
    for (data, detector), rows in trials.groupby(["data", "detector"], sort=False):
        choices = {"one": [_mean_rows(rows)]}
        if rows["category"].nunique() > 1:
            choices["each"] = [part for _, part in rows.groupby("category")]
        for choice, groups in choices.items():
            for kind, draws in {
                "labelled": [f"labelled_{seed}" for seed in range(N_SEEDS)],
                "drawn": ["drawn"],
            }.items():
                found = [_loss(group, draw) for draw in draws for group in groups]
                means = pd.DataFrame(found).mean()
                line = {"data": data, "detector": detector, "choice": choice, "validation": kind}
                lines.append(line | {"n_settings": rows["setting"].nunique()} | means.to_dict())
    return pd.DataFrame(lines)


def _mean_rows(rows: pd.DataFrame) -> pd.DataFrame:
    errors = [name for name in rows if "error_" in name]
    means = [name for name in rows if name.startswith(("labelled", "drawn", "separation", "test", "latency"))]
    grouped = rows.groupby("setting")
    mean_errors = grouped[errors].agg(lambda found: (found**2).sum() ** 0.5 / len(found))
    return grouped[[name for name in means if name not in errors]].mean().join(mean_errors).reset_index()


def _loss(rows: pd.DataFrame, draw: str) -> dict[str, float]:
    """Of one draw of one validation."""
    from benchmark.tune.lead import Lead
    from benchmark.tune.objective import Quality

    rows = rows.sort_values("setting")  # the default first
    test = rows["test" if draw == "drawn" else draw.replace("labelled", "test")]
    orders = [
        Quality(line[draw], line[f"separation_{draw}"], None, line["latency_ms"]).order
        for line in rows.to_dict("records")
    ]
    best = min(range(len(orders)), key=orders.__getitem__)
    found, default = rows.iloc[best], rows.iloc[0]
    differences = [found[name] - default[name] for name in (draw, f"separation_{draw}")]
    lead = Lead(differences[0], found[f"error_{draw}"], differences[1], found[f"separation_error_{draw}"])
    chosen = best if lead.is_enough else 0
    ranked = pd.Series([-sorted(orders).index(order) for order in orders], dtype=float)
    spearman = ranked.corr(test.reset_index(drop=True), method="spearman")
    lacks = {"default_regret": 0, "regret": chosen, "regret_of_best": best}
    return {
        "spearman": spearman,
        **{name: test.max() - test.iloc[place] for name, place in lacks.items()},
        "taken": float(chosen != 0),
    }


def write(output: Path, to: Path) -> None:
    """Write trials.csv and summary.csv."""
    from extensions.runtime.atomic_write import write_whole

    trials = judged(output)
    write_whole(to / "trials.csv", trials.to_csv(index=False, float_format="%.5g"))
    found = summary(trials)
    write_whole(to / "summary.csv", found.to_csv(index=False, float_format="%.4f"))
    print(found.to_string(index=False, float_format=lambda value: f"{value:.3f}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=["score", "judge"])
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--to", type=Path)
    parser.add_argument("--data-root", type=Path)
    options = parser.parse_args()
    if options.work == "score":
        score(options.data, options.output, options.data_root)
    else:
        write(options.output, options.to)
