# %% [markdown]
# # A trained model on the line
# Train PaDiM on real solar cells with drawn defects, export it to OpenVINO, see that it gives the answers of
# training, score a folder with it, and make it faster in int8. Needs `pip install -e '.[demo,notebooks]'`; nothing is
# downloaded. About two minutes on two cores.
#
# ELPV images: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.

# %% tags=["parameters"]
n_train = 100  # good cells to learn from
n_test = 60  # half good, half with a drawn defect
image_size = 224  # px
n_shown = 4
seconds = 2.0  # of each measurement of speed

# %%
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import benchmark
from extensions import ElpvSynthetic, Padim
from inference.export.write_model import ExportOptions, export_model
from inference.measure.bench import measure
from inference.model.checkpoints import load_checkpoint
from inference.model.predictors import load_predictor
from inference.predict.pipeline import predict
from inference.predict.sources import open_source

output = Path("output/notebook/openvino")

# %% [markdown]
# ## Train

# %%
data = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0)
run = benchmark.run(Padim("tf_efficientnet_lite0", image_size=image_size), data, output=output / "training")
run

# %% [markdown]
# ## Export
# `python -m inference export --run KEY --records FOLDER --output FOLDER` does the same. The network is compared with
# the trained model on the training images, half of them with drawn defects, from the file to the score. Where they
# disagree nothing is written.

# %%
exported = run.export(output / "fp32")
exported

# %% [markdown]
# Each point is an image: on the diagonal, both say the same. `agreement.csv` has the same rows.

# %%
pd.DataFrame(exported.agreement.rows).plot.scatter(x="torch_score", y="exported_score", figsize=(5, 5))

# %% [markdown]
# ## Score a folder
# Test cells in a folder of each kind, as they would come from a camera. Images of any size go in as they are:
# resizing is part of the network. On the command line it is
# `python -m inference predict --model model.xml --input FOLDER --output FOLDER --overlays`.
# The threshold was found on these very cells; for a line find it on others (`val_split_mode="from_test"`).

# %%
data.setup()
cells = output / "cells"
for sample in data.test_data.samples.itertuples():
    folder = cells / ("defective" if sample.label_index else "good")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(sample.image_path, folder)
report = predict(
    load_predictor(exported.model), open_source(str(cells)), output / "predictions", overlays=True, progress=False
)
found = pd.read_csv(output / "predictions/predictions.csv").sort_values("pred_score", ascending=False)
print(f"{report.n_done} cells in {report.seconds:.1f} s, {report.n_anomalous} anomalous")
found.head(n_shown)

# %%
found.assign(cell=found["image"].str.split("/").str[0]).pivot(columns="cell", values="pred_score").plot.hist(
    bins=20, alpha=0.6, xlabel="raw score"
)

# %% [markdown]
# What an operator sees: the highest scores, with heat map, the outline of what is anomalous, and verdict.

# %%
overlays = output / "predictions/overlays"
highest = [next(overlays.glob(f"{Path(image).with_suffix('')}.*")) for image in found["image"].head(n_shown)]
Image.fromarray(np.hstack([np.asarray(Image.open(path)) for path in highest]))

# %% [markdown]
# ## Faster in int8
# The convolutions in 8 bits, their ranges found on normal training images (NNCF). Scores move, so what counts is
# the AUROC on labelled images beside that of fp32. `--precision int8 --labelled FOLDER` on the command line;
# `run.export(folder, precision="int8")` does it without labelled images.

# %%
model, info = load_checkpoint(run.folder / "model.ckpt")
good = [Path(path) for path in data.train_data.samples["image_path"]]
options = ExportOptions(precision="int8", labelled=cells, allow_difference=True)
int8 = export_model(model, info, output / "int8", files=good, options=options)
print(int8.sentence())
pd.DataFrame(
    {
        "image AUROC": int8.summary.costs.labelled_auroc,
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
# images, see heat map, score and verdict, move the threshold. Programs send images to the same address.
