"""
Which micrograph to label next?
===============================

An hour of labelling is well spent where the model is unsure, and ill spent on the tenth picture
of what it knows. Which four of these twelve should it be?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import temzoo

# %%
# Twelve unlabelled micrographs, recorded with 4 to 400 electrons a pixel.
doses = np.geomspace(4, 400, 12).round()
images = [
    temzoo.synthetic.synthesize(
        (1, number), size=256, n_particles=12, dose_e_per_px=dose, name=f"{dose:.0f} electrons"
    )[0]
    for number, dose in enumerate(doses)
]

# %%
# The doubt of the model, and how much its answers to mirror images differ, are weighed against
# likeness to what is chosen already.
model = temzoo.get_model("particles", weights="emps")
ranking = temzoo.label_next(model, images, count=4)
for candidate in (*ranking.chosen, *ranking.others):
    rank = candidate.rank or "-"
    print(f"{rank:>2}  {candidate.name:13} uncertainty {candidate.uncertainty:.2f}")

# %%
# The four, and where the model is unsure in them.
figure, axes = plt.subplots(2, 4, figsize=(12, 6.2), layout="constrained")
for (above, below), candidate in zip(axes.T, ranking.chosen):
    candidate.image.plot(above)
    above.set_title(f"{candidate.rank}. {candidate.name}")
    below.imshow(candidate.heat, cmap="magma", vmin=0, vmax=1)
    below.set_title("entropy, 0 to 1 bit", fontsize=9)
    below.set_axis_off()
plt.show()

# %%
# A table and a sheet of them, as the command ``temzoo label-next`` writes:
print(ranking.save(Path(tempfile.mkdtemp())))
