# %% [markdown]
# # A trained model on the line
# Train PaDiM on real solar cells with drawn defects, export it to OpenVINO, see that it gives the answers of
# training, score a folder with it, and make it faster in int8. Needs `pip install -e '.[demo,notebooks]'`; nothing is
# downloaded. About two minutes on two cores.

# %% tags=["parameters"]
n_train = 100  # good cells to learn from
n_test = 60  # half good, half with a drawn defect
image_size = 224  # px
n_shown = 4
seconds = 2.0  # of each measurement of speed

# %%
import logging
import shutil
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from anomalib.engine import Engine
from lightning import seed_everything

from extensions import ElpvSynthetic, Padim
from extensions.lightning_runs import quiet
from inference.bench import measure
from inference.checkpoints import load_checkpoint
from inference.export import ExportOptions, export_model
from inference.predictors import load_predictor
from inference.run import predict
from inference.sources import open_source

output = Path("output/notebook/openvino")

# %% [markdown]
# ## Train
# Any model of anomalib's CLI, of the benchmark (`--run KEY`) or of a notebook will do: what is exported is a
# checkpoint.

# %%
seed_everything(0)
data = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0)
with quiet():
    engine = Engine(logger=False, default_root_dir=output / "training", enable_progress_bar=False)
    metrics = engine.train(Padim("tf_efficientnet_lite0", image_size=image_size, visualizer=False), datamodule=data)
checkpoint = Path(engine.best_model_path)
metrics

# %% [markdown]
# ## Export
# `python -m inference export --checkpoint FILE --calibration GOOD_PICTURES --output FOLDER` does the same. The
# network is compared with the trained model on the training pictures, half of them with drawn defects, from the file
# to the score. Where they disagree nothing is written.

# %%
model, info = load_checkpoint(checkpoint)
good = [Path(path) for path in data.train_data.samples["image_path"]]
agreement = export_model(model, info, output / "fp32", files=good)
print(agreement.sentence())
sorted(path.name for path in (output / "fp32").iterdir())

# %% [markdown]
# Each point is a picture: on the line, both say the same. `agreement.csv` has the same rows.

# %%
rows = pd.DataFrame(agreement.rows)
figure, axes = plt.subplots(figsize=(5, 5))
for kind, group in rows.groupby(rows["defect"].replace("", "good")):
    axes.scatter(group["torch_score"], group["exported_score"], label=kind, s=18)
ends = [rows["torch_score"].min(), rows["torch_score"].max()]
axes.plot(ends, ends, color="gray", linewidth=0.8, zorder=0)
axes.axvline(info.threshold, color="gray", linestyle=":", label="threshold")
axes.set(xlabel="score of the trained model", ylabel="score of the exported network")
_ = axes.legend()

# %% [markdown]
# ## Score a folder
# Test cells in a folder of each kind, as they would come from a camera. Pictures of any size go in as they are:
# resizing is part of the network. On the command line it is
# `python -m inference predict --model model.xml --input FOLDER --output FOLDER --overlays`.
# The threshold was found on these very cells; for a line find it on others (`val_split_mode="from_test"`).

# %%
cells = output / "cells"
for sample in data.test_data.samples.itertuples():
    folder = cells / ("defective" if sample.label_index else "good")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(sample.image_path, folder)
predictor = load_predictor(output / "fp32/model.xml")
report = predict(predictor, open_source(str(cells)), output / "predictions", overlays=True, progress=False)
found = pd.read_csv(output / "predictions/predictions.csv")
print(f"{report.n_done} cells in {report.seconds:.1f} s, {report.n_anomalous} anomalous")
found.head(n_shown)

# %%
kinds = found["image"].str.split("/").str[0]
figure, axes = plt.subplots(figsize=(7, 3))
axes.hist([found["pred_score"][kinds == kind] for kind in ("good", "defective")], bins=20, label=["good", "defective"])
axes.axvline(predictor.info.threshold, color="gray", linestyle=":", label="threshold")
axes.set(xlabel="raw score", ylabel="cells")
_ = axes.legend()

# %% [markdown]
# What an operator sees: the highest scores of either kind, with heat map, the outline of what is anomalous, and
# verdict.

# %%
highest = found.sort_values("pred_score", ascending=False)
figure, axes = plt.subplots(2, n_shown, figsize=(3.2 * n_shown, 7), squeeze=False)
for row, kind in zip(axes, ("defective", "good"), strict=True):
    for place, cell in zip(row, highest[kinds == kind].itertuples(), strict=False):
        place.imshow(plt.imread(output / "predictions/overlays" / f"{cell.image}.png"))
        place.set_title(f"{kind}, score {cell.pred_score:.1f}")
for place in axes.flat:
    place.axis("off")

# %% [markdown]
# ## Faster in int8
# The convolutions in 8 bits, their ranges found on normal training pictures (NNCF). Scores move, so what counts is
# the AUROC on labelled pictures beside that of fp32. `--precision int8 --labelled FOLDER` on the command line.

# %%
options = ExportOptions(precision="int8", labelled=cells, allow_difference=True)
int8 = export_model(model, info, output / "int8", files=good, options=options)
print(int8.sentence())
pd.DataFrame(
    {
        "image AUROC": int8.summary["labelled_auroc"],
        "MB": {name: (output / name / "model.bin").stat().st_size / 1e6 for name in ("fp32", "int8")},
    }
).round(3)

# %% [markdown]
# Images a second, beside what the bare backbone reaches: `python -m inference bench --model fp32/model.xml
# int8/model.xml`. `python -m inference compare` makes such a table of all models of a benchmark.

# %%
exports = [output / name / "model.xml" for name in ("fp32", "int8")]
speed = measure(exports, cells, streams=[2], batches=[8], seconds=seconds)
speed.round(1)

# %% [markdown]
# ## For an operator
# `python -m inference serve --model output/notebook/openvino/fp32/model.xml` opens a page on this machine: drop
# pictures, see heat map, score and verdict, move the threshold. Programs send pictures to the same address.
