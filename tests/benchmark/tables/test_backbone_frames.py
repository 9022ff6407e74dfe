"""What the sheet Backbones says, from made-up records and probes with numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.records.archive import load
from tests.benchmark.fabricated import make_plan, make_record, tables_of, write, write_probes

SHA, OTHER = "f" * 64, "a" * 64
RANDOM: dict[str, Any] = {"weights": "random", "weights_sha256": ""}


def weights(sha256: str, source: str = "weights folder, some.safetensors") -> dict[str, str]:
    return {"sha256": sha256, "source": source}


def make(arguments: dict[str, Any] | None = None, *, auroc: float = 0.9, **changes: Any) -> dict[str, Any]:
    """A record whose model has further arguments; without weights when it asks for none."""
    record = make_record(**{"metrics": {"image_AUROC": auroc, "pixel_AUROC": auroc - 0.1}} | changes)
    record["experiment"]["model"]["init_args"] |= arguments or {}
    if record["experiment"]["model"]["init_args"].get("pre_trained") is False:
        record |= {"weights": None, "settings": "pre_trained=False"}
    for name in ("key", "experiment_id"):
        record[name] += str(sorted((arguments or {}).items()))
    record["folder"] = f"runs/{record['key']}"
    return record


def sheet(tmp_path: Path, records: Sequence[dict], probes: Sequence[dict] = (), **options: Any) -> pd.DataFrame:
    write(tmp_path, list(records), **options)
    if probes:
        write_probes(tmp_path, list(probes))
    archive = load(tmp_path)
    assert not archive.warnings
    return tables_of(archive.records, archive.plans, probes=archive.probes).backbones


def test_one_backbone_without_a_probe_needs_no_sheet(tmp_path: Path) -> None:
    assert sheet(tmp_path, [make(), make(model="Padim"), make(dataset="tiles")]).empty
    assert len(sheet(tmp_path, [], [{}])) == 1


def test_a_random_backbone_is_not_the_trained_one_of_its_name(tmp_path: Path) -> None:
    records = [make(auroc=0.9), make({"pre_trained": False}, auroc=0.6)]
    found = sheet(tmp_path, records, [{}, RANDOM | {"top1": 0.25}]).set_index("weights")
    assert found["backbone"].tolist() == ["resnet18", "resnet18"]
    assert found["image_AUROC | Patchcore on elpv mono"].to_dict() == {"imagenet": 0.9, "random": 0.6}
    assert found["probe_top1 | shirts"].to_dict() == {"imagenet": 0.8, "random": 0.25}
    assert found["weights_sha256"].dropna().to_dict() == {"imagenet": SHA}


def test_the_leaderboard_ranks_a_random_backbone_beside_the_trained_one() -> None:
    found = tables_of([make(auroc=0.9), make({"pre_trained": False}, auroc=0.6)]).leaderboard
    assert found["image_AUROC"].tolist() == [0.9, 0.6]
    assert found["settings"].tolist() == ["", "pre_trained=False"]
    assert found["weights_sha256"].isna().tolist() == [False, True]


def test_probe_and_runs_meet_by_the_content_of_the_weights_whatever_their_names(tmp_path: Path) -> None:
    mine = make({"weights": "mine.pth"}, auroc=0.7) | {"weights": weights(OTHER, "file mine.pth")}
    probe = {"backbone": "resnet18.pool", "weights": "pool", "weights_sha256": OTHER, "top1": 0.5}
    found = sheet(tmp_path, [make(), mine], [{}, probe]).set_index("weights")
    assert found["backbone"].to_dict() == {"imagenet": "resnet18", "pool": "resnet18.pool"}
    assert found.loc["pool", "image_AUROC | Patchcore on elpv mono"] == 0.7
    assert found.loc["pool", "probe_top1 | shirts"] == 0.5


def test_weights_that_were_not_probed_are_told_by_their_tag_or_where_they_were_found(tmp_path: Path) -> None:
    tagged = make(backbone="resnet18.pool") | {"weights": weights(OTHER)}
    found = sheet(tmp_path, [make(), tagged])
    assert found["weights"].tolist() == ["package some-weights 1.0", "pool"]
    assert not [name for name in found if name.startswith(("probe", "deepest"))]


def test_runs_without_their_weights_join_the_probe_of_that_name_and_not_the_random_one(tmp_path: Path) -> None:
    lost = make(status="failed", dataset="tiles") | {"weights": None}
    of_file = make({"weights": "mine.pth"}, status="failed") | {"weights": None}
    found = sheet(tmp_path, [lost, of_file, make({"pre_trained": False}, auroc=0.6)], [{}])
    assert found["weights"].tolist() == ["imagenet", "random", "unknown"]
    assert found["image_AUROC | Patchcore on elpv mono"].dropna().tolist() == [0.6]
    assert "image_AUROC | Patchcore on tiles mono" in found


def test_pre_processing_makes_rows_of_its_own(tmp_path: Path) -> None:
    records = [
        make({"image_size": 224}, auroc=0.9, dataset="tiles"),
        make({"image_size": 320, "center_crop": 224}, auroc=0.95, dataset="tiles"),
        make({"image_size": 256, "center_crop": 224}, auroc=0.85, dataset="tiles"),
        make({"image_size": [224, 320]}, auroc=0.8, dataset="tiles"),
    ]
    found = sheet(tmp_path, records, [{}]).set_index("pre_processing")
    assert found["image_AUROC | Patchcore on tiles mono"].to_dict() == {
        "resize 224": 0.9,
        "resize 224x320": 0.8,
        "resize 256, center crop 224": 0.85,
        "resize 320, center crop 224": 0.95,
    }
    assert found["probe_top1 | shirts"].tolist() == [0.8] * 4


def test_what_the_record_leaves_out_is_the_size_that_was_seen_or_the_default(tmp_path: Path) -> None:
    records = [make(), make({"center_crop": 224}), make(backbone="resnet34")]
    assert set(sheet(tmp_path, records)["pre_processing"]) == {"resize 256", "resize 256, center crop 224"}


def test_values_are_means_over_seeds_and_categories_with_the_spread_over_seeds(tmp_path: Path) -> None:
    values = {("a", 0): 0.80, ("a", 1): 0.90, ("b", 0): 0.60, ("b", 1): 0.70}
    records = [make(auroc=value, category=c, seed=seed) for (c, seed), value in values.items()]
    found = sheet(tmp_path, records, [{}]).iloc[0]
    assert found["image_AUROC | Patchcore on elpv"] == pytest.approx(0.75)
    assert found["image_AUROC_std | Patchcore on elpv"] == pytest.approx(0.1 / 2**0.5)
    assert found["pixel_AUROC | Patchcore on elpv"] == pytest.approx(0.65)


def test_what_failed_did_not_converge_or_never_ran_is_blank(tmp_path: Path) -> None:
    records = [
        make(auroc=0.9), make(model="Cflow", converged=False), make(model="Padim", status="failed", dataset="tiles"),
        make(backbone="resnet34", model="Padim", auroc=0.8, metrics={"image_AUROC": 0.8, "pixel_AUROC": None}),
    ]  # fmt: skip
    never = make(model="Stfpm")
    records[2]["weights"] = None
    found = sheet(tmp_path, records, plans=(make_plan(*records, never),)).set_index("backbone")
    columns = [name for name in found if name.startswith("image_AUROC |")]
    assert columns == [f"image_AUROC | {name}" for name in (
        "Cflow on elpv mono", "Padim on elpv mono", "Patchcore on elpv mono", "Padim on tiles mono")]  # fmt: skip
    assert found.loc["resnet18", columns].isna().tolist() == [True, True, False, True]
    assert found.loc["resnet34", columns].isna().tolist() == [True, False, True, True]
    assert [name for name in found if name.startswith("pixel")] == ["pixel_AUROC | Patchcore on elpv mono"]


def test_settings_of_a_detector_and_of_its_data_are_columns_of_their_own(tmp_path: Path) -> None:
    records = [
        make({"num_neighbors": 3}, auroc=0.7, backbone="resnet34"),
        make({"num_neighbors": 9}, auroc=0.8),
        make({"num_neighbors": 9}, auroc=0.6, data_arguments={"k_shot": 8}),
    ]
    found = sheet(tmp_path, records).set_index("backbone")
    assert found.loc["resnet34", "image_AUROC | Patchcore, num_neighbors=3 on elpv mono"] == 0.7
    assert found.loc["resnet18", "image_AUROC | Patchcore, num_neighbors=9 on elpv mono"] == 0.8
    assert found.loc["resnet18", "image_AUROC | Patchcore, k_shot=8, num_neighbors=9 on elpv mono"] == 0.6


def test_layers_are_told_only_where_nothing_else_tells_runs_apart(tmp_path: Path) -> None:
    of_each = [make({"layers": ["layer3"]}), make({"layers": ["blocks.4"]}, backbone="tf_efficientnet_lite0")]
    assert "image_AUROC | Patchcore on elpv mono" in sheet(tmp_path, of_each)
    (tmp_path / "two").mkdir()
    both = sheet(tmp_path / "two", [*of_each, make({"layers": ["layer2"]}, auroc=0.4)]).set_index("backbone")
    assert both.loc["resnet18", "image_AUROC | Patchcore, layers=['layer2'] on elpv mono"] == 0.4
    assert both.loc["resnet18", "image_AUROC | Patchcore, layers=['layer3'] on elpv mono"] == 0.9


def test_probes_stand_at_layer3_or_its_like_and_at_the_deepest_other_layer(tmp_path: Path) -> None:
    probes = [
        *({"layer": layer, "top1": 0.1 * i} for i, layer in enumerate(("layer1", "layer2", "layer3", "layer4"))),
        *({"backbone": "lite", "layer": f"blocks.{i}", "top1": i / 100} for i in (4, 10, 6)),
        {"backbone": "one", "layer": "stages.3", "top1": 0.5},
        {"backbone": "last", "layer": "layer4", "top1": 0.6},
        {"backbone": "pixels", "layer": "16x16", "weights": "pixels", "weights_sha256": "", "top1": 0.4},
    ]
    found = sheet(tmp_path, [], probes).set_index("backbone")
    shown = found[["probe_layer", "probe_top1 | shirts", "deepest_layer", "deepest_top1 | shirts"]].astype(object)
    assert shown.where(shown.notna(), None).to_dict("index") == {
        name: dict(zip(shown, values, strict=True)) for name, values in {
            "resnet18": ("layer3", pytest.approx(0.2), "layer4", pytest.approx(0.3)),
            "lite": ("blocks.6", 0.06, "blocks.10", 0.1),
            "one": ("stages.3", 0.5, None, None),
            "last": (None, None, "layer4", 0.6),
            "pixels": ("16x16", 0.4, None, None),
        }.items()
    }  # fmt: skip


def test_seeds_of_a_probe_are_averaged_and_share_their_standard_error(tmp_path: Path) -> None:
    probes = [RANDOM | {"seed": seed, "top1": top1, "top1_se": 0.02} for seed, top1 in ((0, 0.2), (1, 0.3))]
    found = sheet(tmp_path, [], probes).iloc[0]
    assert found["probe_top1 | shirts"] == pytest.approx(0.25)
    assert found["probe_top1_se | shirts"] == pytest.approx(0.02)


def test_probes_of_other_image_sizes_are_not_mixed(tmp_path: Path) -> None:
    found = sheet(tmp_path, [], [{"top1": 0.8}, {"image_size": 224, "top1": 0.9}]).iloc[0]
    assert found["probe_top1 | shirts, image_size=96"] == 0.8
    assert found["probe_top1 | shirts, image_size=224"] == 0.9


def test_the_best_probe_comes_first_and_rows_of_a_backbone_stay_together(tmp_path: Path) -> None:
    records = [make({"image_size": 224}), make({"image_size": 96}), make({"pre_trained": False}), make(backbone="old")]
    found = sheet(tmp_path, records, [RANDOM | {"top1": 0.2}, {}])
    assert found["weights"].tolist() == ["imagenet", "imagenet", "random", "package some-weights 1.0"]
    assert found["pre_processing"].tolist()[:2] == ["resize 96", "resize 224"]
