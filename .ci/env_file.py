"""Print env.yml, made from constraints.txt: `make env.yml` after a change of the pins."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINUX_ONLY = ("nvidia-", "cuda-", "triton")
HEADER = """\
# Generated from constraints.txt by `make env.yml`; do not edit.
# conda env create --file env.yml
name: anomaly-workbench
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def environment(constraints: str) -> str:
    """The text of env.yml for the text of constraints.txt."""
    pins = [line for line in constraints.splitlines() if line and not line.startswith("#")]
    marked = [f"{pin} ; sys_platform == 'linux'" if pin.startswith(LINUX_ONLY) else pin for pin in pins]
    lines = [*marked, "--editable .[demo,notebooks,dev,docs,ray]"]
    return HEADER + "".join(f'    - "{line}"\n' for line in lines)


if __name__ == "__main__":
    print(environment((ROOT / "constraints.txt").read_text(encoding="utf-8")), end="")
