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
from pathlib import Path

import benchmark

data = {"class_path": "extensions.ElpvSynthetic", "init_args": {"n_train": n_train, "n_test": n_test, "num_workers": 0}}


def run(name: str, trainer: dict | None = None, **settings: object) -> dict:
    """Train one model with these settings on the data above and return the metrics of its record."""
    arguments = {"backbone": "tf_efficientnet_lite0", "image_size": image_size, **settings}
    model = {"class_path": f"extensions.{name}", "init_args": arguments}
    return benchmark.run(model, data, trainer=trainer, output=Path(output)).metrics.to_dict()


# %% [markdown]
# ## PatchCore: how large must the memory bank be?

# %%
run("Patchcore", coreset_sampling_ratio=0.01)

# %%
run("Patchcore", coreset_sampling_ratio=0.001)

# %% [markdown]
# ## PaDiM: how many features?

# %%
run("Padim", n_features=50)

# %%
run("Padim", n_features=100)

# %% [markdown]
# ## A model trained by gradient descent
# It needs a number of epochs. A run whose loss was still falling is marked and gets no rank.

# %%
run("Stfpm", trainer={"max_epochs": epochs})

# %% [markdown]
# ## All of them, best first

# %%
table = benchmark.read_leaderboard(Path(output))
table[
    ["rank", "model", "settings", "image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_AUPRO", "latency_ms", "status"]
]

# %% [markdown]
# The same as a spreadsheet, with a sheet for each question, and as a page:

# %%
sorted(path.name for path in Path(output).glob("leaderboard.*"))
