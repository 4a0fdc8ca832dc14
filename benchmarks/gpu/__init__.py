"""Trains and measures on a GPU through Keras' JAX backend, without TensorFlow.

    python -m benchmarks.gpu pack --out packed            # data, small, to travel
    KERAS_BACKEND=jax python -m benchmarks.gpu train emps-unet --packed packed
    KERAS_BACKEND=jax python -m benchmarks.gpu train emps --packed packed --start emps
    KERAS_BACKEND=jax python -m benchmarks.gpu speed      # beside the same network in PyTorch
    python -m benchmarks.gpu table                        # results/gpu.md of the records

``pack`` runs where the data and TensorFlow are; ``train`` and ``speed`` want keras, jax, optax (and
PyTorch), NumPy and OpenCV, and run on a CPU too, slowly. ``train`` leaves a folder with weights and
their card, as a run has them, for ``python -m benchmarks.ship``.
"""
