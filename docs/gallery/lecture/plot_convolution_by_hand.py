"""
A convolution and a max-pooling, by hand
========================================

What does a layer of a convolutional network compute? On a picture of 6 x 6 pixels all of it can
be checked with pencil and paper. The picture holds an edge, and the kernel looks for edges.
"""

import keras
import matplotlib.pyplot as plt
import numpy as np

picture = np.array(
    [
        [0, 0, 0, 9, 9, 9],
        [0, 0, 0, 9, 9, 9],
        [0, 0, 0, 9, 9, 9],
        [0, 0, 0, 0, 9, 9],
        [0, 0, 0, 0, 9, 9],
        [0, 0, 0, 0, 0, 9],
    ],
    float,
)
kernel = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], float)

# %%
# The kernel is laid on the picture; the nine products are summed, and it moves on by one pixel.
# On 6 x 6 pixels it finds room at 4 x 4 places.
by_hand = np.zeros((4, 4))
for row in range(4):
    for col in range(4):
        by_hand[row, col] = (picture[row : row + 3, col : col + 3] * kernel).sum()
print(by_hand)
window = picture[:3, 1:4]
print("The second number:", " + ".join(f"{p:g}·{k:g}" for p, k in zip(window.flat, kernel.flat)))

# %%
# ReLU: what is negative becomes 0. Max-pooling: of each 2 x 2 numbers the largest stays.
activated = np.maximum(by_hand, 0)
pooled = activated.reshape(2, 2, 2, 2).max(axis=(1, 3))
print(pooled)

# %%
# Keras does the same.
layer = keras.Sequential(
    [
        keras.Input((6, 6, 1)),
        keras.layers.Conv2D(1, 3, use_bias=False, activation="relu"),
        keras.layers.MaxPooling2D(2),
    ]
)
layer.set_weights([kernel[:, :, None, None]])
by_keras = layer.predict(picture[None, :, :, None], verbose=0)[0, :, :, 0]
print("Keras gives the same:", np.array_equal(by_keras, pooled))

# %%
# All four steps as pictures, each with its numbers.
steps = {"picture": picture, "kernel": kernel, "convolution": by_hand, "max-pooling": pooled}
figure, axes = plt.subplots(2, 2, figsize=(7, 7.4), layout="constrained")
for axis, (title, numbers) in zip(axes.flat, steps.items()):
    axis.imshow(numbers, cmap="gray", vmin=numbers.min(), vmax=numbers.max())
    middle = (numbers.min() + numbers.max()) / 2
    for (row, col), value in np.ndenumerate(numbers):
        colour = "white" if value <= middle else "black"
        axis.text(col, row, f"{value:g}", color=colour, ha="center", va="center", fontsize=13)
    axis.set_title(f"{title}, {numbers.shape[0]} x {numbers.shape[1]}")
    axis.set_axis_off()
plt.show()

# %%
# A network has thousands of such kernels. Nobody writes them down: training finds them. The
# command ``temzoo lecture dcnn`` shows those that a network found.
