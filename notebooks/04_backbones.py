# %% [markdown]
# # A backbone that learns from your own images
# Pretrain a ResNet-18 on images without labels, look at what it learns from and whether it learns, give it a name,
# and see in one table whether it helps a detector. Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded.
# About five minutes on two cores, which is far too short for a good backbone: the steps are the same for a real one.
#
# ELPV images: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.

# %% tags=["parameters"]
n_images = 300  # good cells to learn from
n_test = 100  # half defective
view_size = 64  # px
epochs = 5
batch_size = 64
image_size = 224  # px, of the detector
n_shown = 4

# %%
import os
from pathlib import Path

output = Path("output/notebook/backbones").resolve()
os.environ["WORKBENCH_WEIGHTS"] = str(output / "weights")  # leave this out and it goes to weights/ of the project

import pandas as pd
from PIL import Image

import benchmark
from extensions import Elpv, Patchcore

# %% [markdown]
# ## The images
# Any folder, with or without subfolders. Here: the good training cells of ELPV; none of them is tested below.

# %%
cells = Elpv(n_train=n_images, n_test=n_test, num_workers=0)
cells.setup()
folder = output / "images"
folder.mkdir(parents=True, exist_ok=True)
for path in map(Path, cells.train_data.samples["image_path"]):
    if not (folder / path.name).exists():
        (folder / path.name).symlink_to(path)
len(list(folder.iterdir()))

# %% [markdown]
# ## What it will learn from
# Two views of each image shall have like embeddings. If a flip or a crop changes what matters in your product, take
# it out: `views={"hf_prob": 0.0, "min_scale": 0.5}`.

# %%
from extensions.self_supervised.fit.pretraining import pretrain, read_pretraining
from extensions.self_supervised.fit.views_sheet import views_sheet

config = {
    "model": {
        "class_path": "extensions.self_supervised.SimCLR",
        "init_args": {"backbone": "resnet18", "temperature": 0.2, "warmup_epochs": 1},
    },
    "data": {
        "class_path": "extensions.self_supervised.ImageFolders",
        "init_args": {
            "folders": [str(folder)],
            "image_size": view_size,
            "batch_size": batch_size,
            "num_workers": 0,
        },
    },
    "trainer": {"max_epochs": epochs, "enable_progress_bar": False},
    "seed": 0,
}
Image.fromarray(views_sheet(read_pretraining(config, Path("notebook")), n=n_shown))

# %% [markdown]
# ## Pretrain
# Stopped and run again, the cell goes on from its last checkpoint. A spread near 0 would mean that all images look
# alike to the network: it has collapsed, and says so.

# %%
record = pretrain(read_pretraining(config, Path("notebook")), output / "simclr")
curve = pd.DataFrame(record["curve"])
curve.plot(x="epoch", y=["train_loss", "embedding_spread"], subplots=True, figsize=(6, 4))
curve

# %% [markdown]
# ## Give it a name
# The weights folder gets the file and a row in its manifest; from then on `backbone: resnet18.cells` works in every
# model, on the command line and in grids.

# %%
from extensions.self_supervised.export.weights_file import export

export(output / "simclr", tag="cells", license="CC BY-NC-SA 4.0 (ELPV)", config=Path("04_backbones"), replace=True)

# %% [markdown]
# ## Does it help?
# The same detector on the same images: random weights, these, and an EfficientNet trained on ImageNet. One seed and
# a few minutes of training say little; `configs/benchmark/backbones.yaml` is the real comparison.

# %%
for backbone, is_trained in (("resnet18", False), ("resnet18.cells", True), ("tf_efficientnet_lite0", True)):
    model = Patchcore(backbone, pre_trained=is_trained, image_size=image_size, coreset_sampling_ratio=0.01)
    benchmark.run(model, cells, output=output / "runs")
benchmark.read_leaderboard(output / "runs")[["rank", "backbone", "settings", "image_AUROC", "image_F1Score", "status"]]
