# %% [markdown]
# # Training images that are not all good
# Put defects among the training images, let the refinement find them, look at the suspects, compare what is trained
# on all, on the refined and on the clean images. Needs `pip install -e '.[demo,notebooks]'`; nothing is downloaded.
# About two minutes on two cores.
#
# ELPV images: Buerhop-Lutz et al. 2018, CC BY-NC-SA 4.0, https://github.com/zae-bayern/elpv-dataset.

# %% tags=["parameters"]
n_train = 200  # good cells
n_test = 200  # half defective, less those that are injected
ratio = 0.15  # share of defective cells among the training images
image_size = 224  # px
n_shown = 8

# %%
import pandas as pd

import benchmark
from extensions import ContaminatedElpv, Patchcore

model = Patchcore("tf_efficientnet_lite0", image_size=image_size, coreset_sampling_ratio=0.01)
data = ContaminatedElpv(n_train=n_train, n_test=n_test, contamination_ratio=ratio, num_workers=0)
output = "output/notebook/refinement"

# %% [markdown]
# One refinement: train, score the training images, remove the suspects, train again, until the rule finds none. The
# test set is the same in every round and plays no part in what is removed.

# %%
found = benchmark.refine(model, data, {"strategy": "consensus", "rule": "mad"}, output=output)
found.rounds

# %% [markdown]
# ## The suspects
# Most suspicious first. In a plant nobody knows `injected`; there `suspects.html` shows them with heat maps, a person
# fills in the column `keep`, and `--review suspects.csv` trains on the verdict.

# %%
found.suspects.head(n_shown)

# %%
found.show_suspects(n_shown)

# %% [markdown]
# ## What it is worth
# `oracle` removes exactly what was injected: nothing can do better. `random` removes as many at random.

# %%
n_injected, n_removed = int(found.suspects["injected"].sum()), int(found.rounds["n_removed"].max())
once = {"rule": "fixed_count", "rounds": 1}
oracle = {**once, "strategy": "oracle", "rule_arguments": {"count": n_injected}}
random = {**once, "strategy": "random", "rule_arguments": {"count": n_removed}}
others = [benchmark.refine(model, data, plan, output=output) for plan in (oracle, random)]
pd.concat([one.rounds.tail(1) for one in (found, *others)] + [found.rounds.head(1).assign(strategy="none")])
