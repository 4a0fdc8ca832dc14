"""
Which micrograph to label next?
===============================

An hour of labelling is well spent where the model is unsure, and ill spent on the tenth picture
of what it knows. Which four of these twelve should it be?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import temzoo

# %%
# Twelve unlabelled micrographs: nine of a kind, and three that differ: fewer electrons, bubbles,
# loops.
drawn = [{"seed": (1, n), "n_particles": 12, "name": f"usual {n}"} for n in range(9)]
drawn.append({"seed": 2, "dose_e_per_px": 4.0, "name": "few electrons"})
drawn += [{"seed": 3, "scene": scene, "name": scene} for scene in ("bubbles", "loops")]
images = [temzoo.synthetic.synthesize(size=256, **options)[0] for options in drawn]

# %%
# The doubt of the model, and how much its answers to mirror images differ, are weighed against
# likeness to what is chosen already.
model = temzoo.get_model("unet", weights="emps-fast")
ranking = temzoo.label_next(model, images, count=4)
for candidate in (*ranking.chosen, *ranking.others):
    rank = candidate.rank or "-"
    print(f"{rank:>2}  {candidate.name:14} uncertainty {candidate.uncertainty:.2f}")

# %%
# The four, and where the model is unsure in them.
figure, axes = plt.subplots(2, 4, figsize=(12, 6.2), layout="constrained")
for (above, below), candidate in zip(axes.T, ranking.chosen):
    candidate.image.plot(above)
    above.set_title(f"{candidate.rank}. {candidate.name}")
    below.imshow(candidate.heat, cmap="magma", vmin=0, vmax=1)
    below.set_title("entropy, 0 to 1 bit", fontsize=9)
    below.set_axis_off()

# %%
# A table and a sheet of them, as the command ``temzoo label-next`` writes:
print(ranking.save(Path(tempfile.mkdtemp())))
