# %% [markdown]
# # One run and its pictures
# PatchCore on real solar cells with drawn defects: train on good cells only, test, and look at what it found.
# Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded. About a minute on two cores.

# %% tags=["parameters"]
n_train = 100  # good cells to learn from
n_test = 60  # half good, half with a drawn defect
image_size = 224  # px
n_shown = 3

# %%
import logging
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

from anomalib.engine import Engine
from lightning import seed_everything

from extensions import ElpvSynthetic, Patchcore

# %% [markdown]
# The datamodule checks every file before anything is trained. Models are anomalib's, with a backbone by name.

# %%
seed_everything(0)
data = ElpvSynthetic(n_train=n_train, n_test=n_test, num_workers=0)
model = Patchcore(
    backbone="tf_efficientnet_lite0", coreset_sampling_ratio=0.01, image_size=image_size, visualizer=False
)
engine = Engine(logger=False, default_root_dir="output/notebook/quickstart", enable_progress_bar=False)
metrics = engine.train(model, datamodule=data)

# %% [markdown]
# anomalib's own metrics. The benchmark (`02_experiments`) computes more of them, from raw scores.

# %%
metrics

# %% [markdown]
# ## What it saw
# Cell, heat map, true mask: the defective cells it is most sure about.

# %%
import matplotlib.pyplot as plt

batches = engine.predict(model, datamodule=data)
items = [item for batch in batches for item in batch if int(item.gt_label) == 1]
items.sort(key=lambda item: float(item.pred_score), reverse=True)

figure, axes = plt.subplots(n_shown, 3, figsize=(9, 3 * n_shown), squeeze=False)
for row, item in zip(axes, items, strict=False):
    picture = plt.imread(item.image_path)
    row[0].imshow(picture, cmap="gray")
    row[0].set_title(f"score {float(item.pred_score):.2f}")
    row[1].imshow(item.anomaly_map.squeeze(), cmap="jet", vmin=0, vmax=1)
    row[2].imshow(item.gt_mask.squeeze(), cmap="gray")
for axis in axes.flat:
    axis.axis("off")
figure.tight_layout()

# %% [markdown]
# ELPV pictures: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.
# Next: `02_experiments` runs one training a cell and collects them in one leaderboard.
