"""
A model for a server
====================

A model goes to other programs as a SavedModel: TensorFlow Serving loads it, and so does any
program with TensorFlow, without Keras and without temzoo. Does it still give the same answer?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

import temzoo

# %%
# The export is checked before it appears under its version: a fresh process without Keras asks
# every signature.
model = temzoo.get_model("unet", weights="emps-fast")
served = temzoo.export(model, Path(tempfile.mkdtemp()), name="particles")
print(*sorted(path.relative_to(served.parents[1]) for path in served.rglob("*.pb")))

# %%
# Here is what another program does. It knows nothing of temzoo: raw pixels go in, of any size.
loaded = tf.saved_model.load(served)
print("signatures:", *loaded.signatures)
ask = loaded.signatures["serving_uint8"]
micrograph, _ = temzoo.synthetic.synthesize(
    2, size=(300, 400), n_particles=18, diameter_nm=(16.0, 36.0), grain_nm=0.1
)
name = next(iter(ask.structured_input_signature[1]))
answer = {key: value.numpy()[0] for key, value in
          ask(**{name: tf.constant(micrograph.pixels[None, :, :, None])}).items()}  # fmt: skip
print({key: value.shape for key, value in answer.items()})

# %%
# The same picture, asked of temzoo. The largest difference of a probability:
prediction = temzoo.predict(model, micrograph, probabilities=True)
difference = np.abs(answer["probabilities"] - prediction.probabilities)
print(f"{difference.max():.1e}")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.3), layout="constrained")
micrograph.plot(axes[0])
axes[1].imshow(prediction.probabilities[..., 1], cmap="magma", vmin=0, vmax=1)
axes[1].set_title("probability of a particle, temzoo")
axes[2].imshow(answer["probabilities"][..., 1], cmap="magma", vmin=0, vmax=1)
axes[2].set_title("the same of the SavedModel")
for axis in axes:
    axis.set_axis_off()
plt.show()

# %%
# Behind a server, ``temzoo.connect("grpc://host:8500/particles")`` takes the place of the model
# in ``temzoo.predict``.
