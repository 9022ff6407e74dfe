# %% [markdown]
# # One run and its images
# PatchCore on real solar cells with drawn defects: train on good cells only, test, and look at what it found.
# Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded. About a minute on two cores.

# %% tags=["parameters"]
n_train = 100  # good cells to learn from
n_test = 60  # half good, half with a drawn defect
image_size = 224  # px
n_shown = 3

# %%
import benchmark
from extensions import ElpvSynthetic, Patchcore

# %% [markdown]
# The datamodule checks every file before anything is trained. Models are anomalib's, with a backbone by name. The run
# is filed as a small record; run again, the cell finds it and trains nothing.

# %%
data = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0)
model = Patchcore("tf_efficientnet_lite0", coreset_sampling_ratio=0.01, image_size=image_size)
run = benchmark.run(model, data, seed=0, output="output/notebook/quickstart")
run

# %% [markdown]
# ## What it saw
# Image, heat map, true mask: what it decided best, the closest calls, the defects that it missed, its false alarms.

# %%
run.show(n_shown)

# %% [markdown]
# ## The numbers behind it
# All metrics, from raw scores on the whole test set, and the score of each image.

# %%
run.metrics

# %%
run.scores.sort_values("score", ascending=False).head()

# %% [markdown]
# ELPV images: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.
# Next: `02_experiments` runs one training a cell and collects them in one leaderboard; `run.export("folder")` writes
# the model for the line (`06_openvino`).
