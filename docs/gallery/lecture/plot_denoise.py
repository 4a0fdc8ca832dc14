"""
Denoise with an autoencoder
===========================

An autoencoder squeezes an image through few numbers and draws it again. What cannot be foreseen
from the surroundings, the noise, is lost on the way. How much better is the picture, and when
does it fail?
"""

import matplotlib.pyplot as plt
import numpy as np

import temzoo

# %%
# The shipped weights learnt from published micrographs with simulated noise of single electrons.
model = temzoo.get_model("autoencoder", weights="emps-denoise")


def drawn(noise, spread_px):
    """A specimen, seen with 12 electrons a pixel, or as it would be without noise."""
    options = {"grain_nm": 0.0, "texture_rms": 0.0, "dose_e_per_px": 12.0, "n_particles": 14}
    return temzoo.synthetic.synthesize(6, size=256, noise=noise, spread_px=spread_px, **options)[0]


def psnr_db(picture, clean):
    """Peak signal-to-noise ratio after the best gain and offset, in dB."""
    truth, seen = clean.pixels.astype(float), picture.pixels.astype(float)
    gain, offset = np.polyfit(seen.ravel(), truth.ravel(), 1)
    return 10 * np.log10(np.ptp(truth) ** 2 / np.square(gain * seen + offset - truth).mean())


# %%
# Above, each pixel counts for itself. Below, the camera spreads an electron over neighbours, as
# most cameras do: that noise has a structure, which a network that never saw it takes for
# specimen.
figure, axes = plt.subplots(2, 3, figsize=(12, 8.4), layout="constrained")
for row, spread_px in zip(axes, (0.0, 0.6)):
    noisy, clean = drawn(True, spread_px), drawn(False, spread_px)
    restored = temzoo.restore(model, noisy)
    for axis, picture in zip(row, (noisy, restored, clean)):
        axis.imshow(picture.pixels, cmap="gray")
        axis.set_axis_off()
    before, after = psnr_db(noisy, clean), psnr_db(restored, clean)
    row[0].set_title(f"noisy, spread {spread_px} px: PSNR {before:.1f} dB")
    row[1].set_title(f"restored: PSNR {after:.1f} dB")
    row[2].set_title("without noise")
plt.show()

# %%
# A restored micrograph is the network's guess. Count and measure on the recorded image where you
# can. For a camera of yours, train on its own images: ``temzoo train autoencoder --images
# noisy``.
