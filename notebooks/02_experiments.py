# %% [markdown]
# # One experiment a cell, one leaderboard
# Each cell below trains with new parameters. Every run is filed as a small record; a cell run again finds its record
# and trains nothing. All runs land in one spreadsheet.

# %% tags=["parameters"]
n_train = 100
n_test = 60
image_size = 224  # px
epochs = 8  # of the gradient model
output = "output/notebook/experiments"

# %%
import benchmark
from extensions import ElpvSynthetic, Padim, Patchcore, Stfpm

data = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0)
common = {"backbone": "tf_efficientnet_lite0", "image_size": image_size}

# %% [markdown]
# ## PatchCore: how large must the memory bank be?

# %%
benchmark.run(Patchcore(**common, coreset_sampling_ratio=0.01), data, output=output)

# %%
benchmark.run(Patchcore(**common, coreset_sampling_ratio=0.001), data, output=output)

# %% [markdown]
# ## PaDiM: how many features?

# %%
benchmark.run(Padim(**common, n_features=50), data, output=output)

# %%
benchmark.run(Padim(**common, n_features=100), data, output=output)

# %% [markdown]
# ## Look at a part of each image
# `border` leaves out a rim, `roi` all but a region (a mask, polygons, or the foreground): nothing there is learned from
# or scored, and panels hatch it.

# %%
inner = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0, border=12)
benchmark.run(Padim(**common, n_features=50), inner, output=output).show(2)

# %% [markdown]
# ## A model trained by gradient descent
# It needs a number of epochs. A run whose loss was still falling is marked and gets no rank.

# %%
benchmark.run(Stfpm(**common), data, trainer={"max_epochs": epochs}, output=output)

# %% [markdown]
# ## A training of your own
# Whoever trains with anomalib's Engine adds one callback: the run is filed as the others are. The seed is set right
# before the model is built.

# %%
from anomalib.engine import Engine
from lightning import seed_everything

from extensions import Record

seed_everything(1)
record = Record(output)
engine = Engine(callbacks=[record], logger=False, default_root_dir="output/notebook/engine", enable_progress_bar=False)
engine.train(Padim(**common, n_features=50, visualizer=False), datamodule=data)
record.run

# %% [markdown]
# ## All of them, best first

# %%
table = benchmark.read_leaderboard(output)
table[
    ["rank", "model", "settings", "image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_AUPRO", "latency_ms", "status"]
]

# %% [markdown]
# The same as a spreadsheet, with a sheet for each question, and as a page: `leaderboard.xlsx` and `leaderboard.html` in
# the output folder. `benchmark.run(..., log="tensorboard")`, `"wandb"` or `"mlflow"` sends each run there, too.
