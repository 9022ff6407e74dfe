"""weights/manifest.yaml and what is generated from it."""

import pytest

from extensions.backbones import ManifestError
from extensions.backbones.manifest import CHECKOUT_WEIGHTS, row_for, rows, rows_of
from extensions.backbones.readme import readme

OFFERED = {
    "resnet18",
    "resnet50",
    "wide_resnet50_2",
    "tf_efficientnet_b7",
    "cspdarknet53",
    "tf_efficientnet_lite0",
    "tf_efficientnet_lite1",
    "tf_efficientnet_lite2",
    "resnet50_caffe.msra",
}


def test_every_offered_backbone_has_a_license_and_its_making():
    listed = {row.name: row for row in rows_of(CHECKOUT_WEIGHTS)}
    assert set(listed) >= OFFERED
    for row in listed.values():
        assert row.license != "not stated"
        assert row.how_made
        assert row.sha256 or (row.file is None and row.distribution is None), f"{row.name}: a known file has a checksum"


def test_committed_readme_equals_the_generated_one():
    assert (CHECKOUT_WEIGHTS / "README.md").read_text(encoding="utf-8") == readme(), (
        "run python -m extensions.backbones readme"
    )


def test_rows_of_the_weights_folder_are_added_and_win(manifest):
    manifest("- {name: resnet18.mine, file: mine.pth}\n- {name: resnet18, file: other.pth}\n")
    assert row_for("resnet18.mine").file == "mine.pth"
    assert row_for("resnet18").file == "other.pth"
    assert set(rows()) == {row.name for row in rows_of(CHECKOUT_WEIGHTS)} | {"resnet18.mine"}


def test_changed_manifest_is_read_again(manifest):
    manifest("- {name: resnet18.a, file: a.pth}")
    assert row_for("resnet18.a") is not None
    manifest("- {name: resnet18.other, file: a.pth}")
    assert row_for("resnet18.a") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {file: a.pth}", "`name` must be"),
        ("- {name: resnet18.a}", "no source"),
        ("- {name: resnet18.a, fil: a.pth}", "did you mean 'file'"),
        ("- {name: resnet18.a, file: a.pth, sha256: 12ab}", "64 lower-case hexadecimal digits"),
        ("- {name: resnet18.a, file: a.pth, key_map: nope}", "known: efficientnet_lite"),
        ("- {name: resnet18.a, file: a.pth, normalization: {mean: [0, 0, 0]}}", "mean and std"),
        ("- {name: resnet18.a, package: some-package}", "distribution and file"),
        ("- {name: resnet18.vitaly, file: a.pth}", "vision transformer"),
        ("- {name: resnet18.a, file: a.pth}\n- {name: resnet18.a, file: b.pth}", "two rows"),
        ("name: resnet18.a", "expected a list"),
        ("- [", "not valid YAML"),
    ],
)
def test_bad_row_is_refused_with_its_file(manifest, folder, text, said):
    manifest(text)
    with pytest.raises(ManifestError, match=said) as caught:
        rows()
    assert str(folder / "manifest.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_manifest_that_is_not_utf8_is_refused_with_its_path(folder):
    (folder / "manifest.yaml").write_bytes("- {name: resnet18.a, file: a.pth, license: é}".encode("latin-1"))
    with pytest.raises(ManifestError, match=r"manifest\.yaml: not valid YAML in UTF-8"):
        rows()
