# %% [markdown]
# # Training pictures that are not all good
# Put defects among the training pictures, let the refinement find them, look at the suspects, compare what is trained
# on all, on the refined and on the clean pictures. Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded.
# About two minutes on two cores.

# %% tags=["parameters"]
n_train = 200  # good cells
n_test = 200  # half defective, less those that are injected
ratio = 0.15  # share of defective cells among the training pictures
image_size = 224  # px
n_shown = 8

# %%
import logging
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

import matplotlib.pyplot as plt
import pandas as pd

from benchmark.interactive import refine

model = {
    "class_path": "extensions.Patchcore",
    "init_args": {"backbone": "tf_efficientnet_lite0", "image_size": image_size, "coreset_sampling_ratio": 0.01},
}
data = {
    "class_path": "extensions.ContaminatedElpv",
    "init_args": {"n_train": n_train, "n_test": n_test, "contamination_ratio": ratio, "num_workers": 0},
}

# %% [markdown]
# One refinement: train, score the training pictures, remove the suspects, train again, until the rule finds none. The
# test set is the same in every round and plays no part in what is removed. `oracle` removes exactly what was injected:
# nothing can do better. `random` removes as many at random.

# %%
output = "output/notebook/refinement"
found = refine(model, data, {"strategy": "consensus", "rule": "mad"}, output=output)
found.rounds

# %% [markdown]
# ## The suspects
# Most suspicious first. In a plant nobody knows `injected`; there `suspects.html` shows them with heat maps, a person
# fills in the column `keep`, and `--review suspects.csv` trains on the verdict.

# %%
found.suspects.head(n_shown)

# %%
figure, axes = plt.subplots(2, (n_shown + 1) // 2, figsize=(12, 6))
for place, (_, suspect) in zip(axes.flat, found.suspects.head(n_shown).iterrows(), strict=False):
    place.imshow(plt.imread(found.paths[suspect["image"]]), cmap="gray")
    place.set_title("injected" if suspect["injected"] else "good", fontsize=10)
for place in axes.flat:
    place.axis("off")

# %% [markdown]
# ## What it is worth

# %%
others = [
    refine(
        model,
        data,
        {"strategy": name, "rule": "fixed_count", "rule_arguments": {"count": n}, "rounds": 1},
        output=output,
    )
    for name, n in (("oracle", int(found.suspects["injected"].sum())), ("random", int(found.rounds["n_removed"].max())))
]
pd.concat([one.rounds.tail(1) for one in (found, *others)] + [found.rounds.head(1).assign(strategy="none")])
