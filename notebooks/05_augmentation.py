# %% [markdown]
# # Does augmentation help?
# Look at the augmentations, train a detector with and without, let it look at several views of a test picture, and
# read whether the change is more than the spread. Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded.
# About two minutes on one core.

# %% tags=["parameters"]
n_train = 100  # good cells
n_test = 60  # half of them defective
image_size = 128  # px
n_seeds = 3
n_views = 4
n_shown = 3
epochs = 30  # of the autoencoder

# %%
import logging
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

from pathlib import Path

import matplotlib.pyplot as plt
from anomalib.engine import Engine

from benchmark.augmentation_plots import plot_augmentation
from benchmark.interactive import read_augmentation, run
from extensions import Augmentation, ConvAutoencoder, Elpv, Padim, ReconstructionStrip
from extensions.lightning_runs import quiet
from extensions.transforms.views_sheet import views_sheet

# %% [markdown]
# ## What they do
# Four draws of each picture, one below the other, at the size that the detector sees. The same sheet of your own
# pictures: `python -m extensions.transforms show --input FOLDER --output sheet.png`.

# %%
data = Elpv(n_train=n_train, n_test=n_test, num_workers=0)
data.setup()
defective = data.test_data.samples.query("label_index == 1")["image_path"].head(n_shown)
figure, axes = plt.subplots(figsize=(14, 8 * n_shown))
axes.imshow(views_sheet([Path(path) for path in defective], size=image_size))
_ = axes.axis("off")
# %% [markdown]
# ## With and without
# `train` augments the training pictures, `test` each test picture once, `tta` looks at several views of each test
# picture: the first is the picture as it is, maps are moved back to it before they are merged. Only a comparison over
# several seeds tells a change from chance. `configs/benchmark/augmentation.yaml` asks the same of all augmentations.

# %%
model = {"class_path": "extensions.Padim", "init_args": {"backbone": "tf_efficientnet_lite0", "image_size": image_size}}
cells = {"class_path": "extensions.Elpv", "init_args": {"n_train": n_train, "n_test": n_test, "num_workers": 0}}
asked = [
    None,
    {"name": "flip", "where": "train"},
    {"name": "flip", "where": "test"},
    {"name": "flip", "where": "tta", "n_views": n_views},
    [{"name": "flip", "where": "train"}, {"name": "flip", "where": "tta", "n_views": n_views}],
]
output = "output/notebook/augmentation"
for seed in range(n_seeds):
    for augmentation in asked:
        run(model, cells, seed=seed, augmentation=augmentation, output=output)

# %% [markdown]
# ## Is the change more than the spread?
# The sheet Augmentation of `leaderboard.xlsx`: each change is paired by seed with the plain run. With three seeds
# chance alone exceeds the spread about once in four or five times, so `better` is a reason to look again, no proof.

# %%
changes = read_augmentation(output)
changes[
    ["augmentation", "where", "image_AUROC", "image_AUROC_change", "image_AUROC_change_std", "image_AUROC_beyond"]
].round(4)

# %%
plot_augmentation(changes, Path(output) / "changes.png")
figure, axes = plt.subplots(figsize=(9, 5))
axes.imshow(plt.imread(Path(output) / "changes.png"))
_ = axes.axis("off")
# %% [markdown]
# ## One picture, several views
# For any model that anomalib's Engine runs, of ours or not: the callback is all there is to it, in a config under
# `trainer.callbacks`. Here the map of one view and the map merged over all.

# %%
detector = Padim("tf_efficientnet_lite0", image_size=image_size, visualizer=False)
brief = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
found = {}
with quiet():
    Engine(**brief).fit(detector, datamodule=data)
    for name, callbacks in (("one view", []), (f"{n_views} views", [Augmentation("flip", "tta", n_views=n_views)])):
        batches = Engine(callbacks=callbacks, **brief).predict(detector, datamodule=data)
        found[name] = {p: m for batch in batches for p, m in zip(batch.image_path, batch.anomaly_map, strict=True)}
figure, axes = plt.subplots(n_shown, 3, figsize=(9, 3 * n_shown), squeeze=False)
for row, path in zip(axes, defective, strict=True):
    row[0].imshow(plt.imread(path), cmap="gray")
    for place, (name, maps) in zip(row[1:], found.items(), strict=True):
        place.imshow(maps[path].squeeze().cpu())
        place.set_title(name)
    for place in row:
        place.axis("off")

# %% [markdown]
# ## An autoencoder learns
# What it makes of the same held-out good cells, redrawn below while it learns, beside its loss: a defect is what it
# cannot draw again. `ReconstructionStrip` in `trainer.callbacks` saves the same on the command line.

# %%
held_out = Elpv(
    n_train=n_train, n_test=n_test, num_workers=0, train_batch_size=16, val_split_mode="from_train", val_split_ratio=0.2
)
autoencoder = ConvAutoencoder(latent_dim=64, image_size=image_size, visualizer=False)
strip = ReconstructionStrip(every_n_epochs=1, folder=output + "/reconstructions", n_pictures=n_shown)
with quiet():
    engine = Engine(max_epochs=epochs, callbacks=[strip], **brief)
    engine.fit(autoencoder, datamodule=held_out)
    engine.test(autoencoder, datamodule=held_out)
