"""The text of weights/README.md: the manifest for people."""

from extensions.backbones.manifest import CHECKOUT_WEIGHTS, Row, rows_of


def readme() -> str:
    """The whole text, from the checkout's manifest alone."""
    listed = rows_of(CHECKOUT_WEIGHTS)
    lines = [_START, "| backbone | source | license | layers | how made |", "|---|---|---|---|---|"]
    lines += [_line(row) for row in listed]
    sums = [f"- `{row.sha256}` {row.file or row.distribution}" for row in listed if row.sha256]
    return "\n".join([*lines, "", "sha256:", "", *sums, "", _END])


def _line(row: Row) -> str:
    sources = [f"file `{row.file}`"] if row.file else []
    sources += [f"package `{row.distribution}`"] if row.distribution else []
    sources += [f"hub `{row.hub if '/' in row.hub else f'{row.architecture}.{row.hub}'}`"] if row.hub else []
    layers = f"{', '.join(row.layers)} (file)" if row.layers else "all"
    how_made = " ".join(row.how_made.split())
    return f"| `{row.name}` | {', else '.join(sources)} | {row.license} | {layers} | {how_made} |"


_START = """# Weights

Generated from `manifest.yaml` by `python -m extensions.backbones readme`; edit the manifest, not this file.

Weights are data and are not committed. They are looked for in this order: the file given as `weights`, this folder (or
`$WORKBENCH_WEIGHTS`), an installed package, timm's hub. `python -m extensions.backbones list` shows what is here.
"""

_END = """A checksum stands here where the file is known; that of a hub download is computed and recorded with each
result. All were trained on ImageNet, whose images are for non-commercial research: check whether your use allows it.

## Your own weights

A `.safetensors` or `.pth` file with a network's `state_dict` (also saved from DataParallel, or nested under
`state_dict` or `model`; the classifier may be there or not) works in two ways.

- In a config: `weights: /path/to/mine.pth` beside `backbone: resnet18`.
- By name: put the file into this folder and add a row to `manifest.yaml`; then `backbone: resnet18.mine` works
  everywhere.

```yaml
- name: resnet18.mine     # a timm architecture and a tag of your own
  file: mine.pth
  sha256: ...             # sha256sum mine.pth; may be left out
  license: internal
  how_made: fine-tuned on our parts, July
```

Other keys: `layers` if the file covers only some, `normalization: {mean: [...], std: [...]}` if it is not timm's for
the architecture, `hub: owner/name` for a hub repository, `key_map` if its tensors have other names than timm's. A
folder named by `$WORKBENCH_WEIGHTS` may hold a `manifest.yaml` of its own with further rows.
"""
