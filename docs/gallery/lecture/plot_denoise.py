"""
Denoise with an autoencoder
===========================

An autoencoder squeezes an image through few numbers and draws it again. What cannot be foreseen
from the surroundings, the noise, is lost on the way. How much better is the picture, and what
should one not do with it?
"""

import matplotlib.pyplot as plt
import numpy as np

import temzoo

# %%
# One specimen, drawn twice: without noise, which no microscope can do, and with few electrons.
same = {"size": 256, "n_particles": 14, "grain_nm": 0.0, "defocus_nm": 300.0, "dose_e_per_px": 12.0}
clean, labels = temzoo.synthetic.synthesize(6, noise=False, **same)
noisy, _ = temzoo.synthetic.synthesize(6, **same)

# %%
# The shipped weights learnt from published micrographs and simulated noise.
model = temzoo.get_model("autoencoder", weights="emps-denoise")
restored = temzoo.restore(model, noisy)


def psnr_db(picture):
    """Peak signal-to-noise ratio after the best gain and offset, in dB."""
    truth = clean.pixels.astype(float)
    gain, offset = np.polyfit(picture.pixels.ravel().astype(float), truth.ravel(), 1)
    error = np.square(gain * picture.pixels.astype(float) + offset - truth).mean()
    return 10 * np.log10(np.ptp(truth) ** 2 / error)


figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
pictures = {"noisy": noisy, "restored": restored, "without noise": clean}
for axis, (name, picture) in zip(axes, pictures.items()):
    axis.imshow(picture.pixels, cmap="gray")
    decibels = "" if picture is clean else f", PSNR {psnr_db(picture):.1f} dB"
    axis.set_title(name + decibels)
    axis.set_axis_off()

# %%
# A restored micrograph is the network's guess. Count and measure on the recorded image where you
# can: ``temzoo.predict`` needs no denoising first.
for name, picture in pictures.items():
    print(
        f"{name}: {temzoo.predict(picture).instances.max()} found, {len(labels.shapes)} are there"
    )
