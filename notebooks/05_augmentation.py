# %% [markdown]
# # Does augmentation help?
# Look at the augmentations, train a detector with and without, let it look at several views of a test image, and
# read whether the change is more than the spread. Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded.
# About two minutes on one core.
#
# ELPV images: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.

# %% tags=["parameters"]
n_train = 100  # good cells
n_test = 60  # half of them defective
image_size = 128  # px
n_seeds = 3
n_views = 4
n_shown = 3
epochs = 30  # of the autoencoder

# %%
from pathlib import Path

from IPython.display import Image as File
from PIL import Image

import benchmark
from extensions import ConvAutoencoder, Elpv, Padim
from extensions.transforms.augmentation_sheet import views_sheet

# %% [markdown]
# ## What they do
# Four draws of each image, one below the other, at the size that the detector sees. The same sheet of your own
# images: `python -m extensions.transforms show --input FOLDER --output sheet.png`.

# %%
data = Elpv(n_train=n_train, n_test=n_test, num_workers=0)
data.setup()
defective = data.test_data.samples.query("label_index == 1")["image_path"].head(n_shown)
Image.fromarray(views_sheet([Path(path) for path in defective], size=image_size))

# %% [markdown]
# ## With and without
# `train` augments the training images, `test` each test image once, `tta` looks at several views of each test
# image: the first is the image as it is, maps are moved back to it before they are merged. Only a comparison over
# several seeds tells a change from chance. `configs/benchmark/augmentation.yaml` asks the same of all augmentations.

# %%
model = Padim("tf_efficientnet_lite0", image_size=image_size)
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
        benchmark.run(model, data, seed=seed, augmentation=augmentation, output=output)

# %% [markdown]
# ## Is the change more than the spread?
# The sheet Augmentation of `leaderboard.xlsx`: each change is paired by seed with the plain run. With three seeds
# chance alone exceeds the spread about once in four or five times, so `better` is a reason to look again, no proof.

# %%
changes = benchmark.read_augmentation(output)
changes[
    ["augmentation", "where", "image_AUROC", "image_AUROC_change", "image_AUROC_change_std", "image_AUROC_beyond"]
].round(4)

# %%
File(Path(output) / "augmentation_image_AUROC.png", width=700)

# %% [markdown]
# A model of anomalib's Engine, of ours or not, is augmented by the callback alone, in a config under
# `trainer.callbacks`: `Engine(callbacks=[extensions.Augmentation("flip", "tta", n_views=4)])`.

# %% [markdown]
# ## An autoencoder learns
# What it makes of the same held-out good cells, redrawn below while it learns, beside its loss: a defect is what it
# cannot draw again. `ReconstructionStrip` in `trainer.callbacks` saves the same on the command line.

# %%
held_out = Elpv(
    n_train=n_train, n_test=n_test, num_workers=0, train_batch_size=16, val_split_mode="from_train", val_split_ratio=0.2
)
strip = {"every_n_epochs": 1, "folder": output + "/reconstructions", "n_images": n_shown}
run = benchmark.run(
    ConvAutoencoder(latent_dim=64, image_size=image_size),
    held_out,
    trainer={
        "max_epochs": epochs,
        "callbacks": [{"class_path": "extensions.ReconstructionStrip", "init_args": strip}],
    },
    output=output,
)
run.show(n_shown)
