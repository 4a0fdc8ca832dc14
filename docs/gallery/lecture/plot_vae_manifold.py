"""
The manifold of a variational autoencoder
=========================================

A variational autoencoder (VAE) describes a particle by few numbers. What does each of them mean?
The shipped weights ``vae/particles`` have four, and keep the angle and the place of a particle
apart.
"""

import matplotlib.pyplot as plt
import numpy as np

import temzoo
from temzoo import latent

model = temzoo.get_model("vae", weights="particles")
images, known = temzoo.synthetic.particle_images(500, size=32, seed=5)
encoded = latent.encode_images(model, images)
first, second = encoded.order[:2]
print("codes:", encoded.means.shape, "the two most active numbers:", first, second)

# %%
# **The manifold**: what the decoder draws where the codes lie, on a plane of the two most active
# numbers. The others are held at their mean.
steps = 13
middle = encoded.means.mean(axis=0)
low, high = np.percentile(encoded.means, [1, 99], axis=0)
codes = np.tile(middle, (steps, steps, 1))
codes[..., first] = np.linspace(low[first], high[first], steps)
codes[..., second] = np.linspace(high[second], low[second], steps)[:, None]
pictures = latent.decode_codes(model, codes.reshape(-1, model.latent_dim))
size = model.image_size
mosaic = pictures.reshape(steps, steps, size, size).swapaxes(1, 2).reshape(steps * size, -1)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
left.imshow(mosaic, cmap="gray")
left.set_axis_off()
left.set_title(f"decoded; z{first} to the right, z{second} upwards")
points = right.scatter(*encoded.means[:, [first, second]].T, c=known["diameter_px"], s=14)
right.set(xlabel=f"z{first}", ylabel=f"z{second}", title="500 particles", aspect="equal")
figure.colorbar(points, label="diameter, px")
plt.show()

# %%
# **Disentanglement**: does each number tell of one property? The correlation of each with what is
# known of the drawn particles. Of the angle it should be nothing, for the model keeps that apart.
table = latent.correlations(encoded.means, known, periods={"angle_deg": 180})
for name, values in table.items():
    print(f"{name:14}", *(f"z{k} {value:.2f}  " for k, value in enumerate(values)))
gap = latent.mutual_information_gap(encoded.means, known, periods={"angle_deg": 180})
print(f"mutual information gap {gap.score:.3f}; of shuffled properties {gap.baseline:.3f}")

# %%
# **Traversals**: one number goes from its 1st percentile to its 99th, the others stay at their
# mean.
rows = []
for k in encoded.order:
    codes = np.tile(middle, (9, 1))
    codes[:, k] = np.linspace(low[k], high[k], 9)
    rows.append(np.hstack(latent.decode_codes(model, codes)[..., 0]))
figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
axis.imshow(np.vstack(rows), cmap="gray")
axis.set_yticks(size * (np.arange(len(rows)) + 0.5), [f"z{k}" for k in encoded.order])
axis.set_xticks([])
plt.show()

# %%
# ``temzoo.latent_report`` writes all of this, for particles of yours, on one page.
