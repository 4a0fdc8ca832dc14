"""
Multilayer perceptron or convolutional network?
===============================================

A multilayer perceptron (MLP) has a weight for each pixel and neuron; a convolutional network
(DCNN) moves the same few weights over the picture. Which tells spheres from rods better, and what
happens when the particle is not where it was in training?
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

import temzoo

CLASSES = ("sphere", "rod")
ASPECT_RATIOS = ((1.0, 1.2), (1.6, 2.4))


def particles(n, seed, shift_px):
    """Drawn particles, half of them spheres: (n, 32, 32, 1) pixels and their classes."""
    options = {"diameter_px": (8.0, 12.0), "dose_e_per_px": 60.0, "shift_px": shift_px}
    parts = [
        temzoo.synthetic.particle_images(n // 2, seed=seed + k, aspect_ratio=ratio, **options)[0]
        for k, ratio in enumerate(ASPECT_RATIOS)
    ]
    return np.concatenate(parts)[..., None], np.repeat([0, 1], n // 2)


# %%
# Both learn from the same 400 particles, which lie in the middle of their pictures.
images, kinds = particles(400, seed=0, shift_px=1.0)
models = {}
for name in ("mlp", "dcnn"):
    keras.utils.set_random_seed(0)
    models[name] = temzoo.get_model(name, classes=2, image_size=32)
    models[name].fit(images, np.eye(2)[kinds], batch_size=32, epochs=15, verbose=0)
    print(f"{name}: {models[name].count_params():,} parameters")

# %%
# New particles, up to so many pixels away from the middle. A coin would be right in half of them.
shifts = (1, 2, 3, 4, 5, 6)
figure, (left, right) = plt.subplots(
    1, 2, figsize=(10, 3.4), width_ratios=(1, 1.5), layout="constrained"
)
for name, model in models.items():
    shares = []
    for shift in shifts:
        new, truth = particles(400, seed=100 + shift, shift_px=shift)
        found = temzoo.classify(model, list(new)).probabilities.argmax(axis=1)
        shares.append((found == truth).mean())
    print(name, [f"{share:.2f}" for share in shares])
    left.plot(shifts, shares, "o-", label=f"{name}, {model.count_params():,} parameters")
left.set(xlabel="largest shift, px", ylabel="share that is right", ylim=(0.4, 1.02))
left.axhline(0.5, color="gray", lw=1, ls=":")
left.legend(fontsize=8)

shown = np.hstack([np.vstack(new[k : k + 2, :, :, 0]) for k in (0, 2, 4, 200, 202, 204)])
right.imshow(shown, cmap="gray")
right.set_title("spheres (left) and rods (right), far from the middle", fontsize=10)
right.set_axis_off()
plt.show()

# %%
# ``temzoo lecture dcnn`` measures the same with five seeds, on drawn particles or on yours.
