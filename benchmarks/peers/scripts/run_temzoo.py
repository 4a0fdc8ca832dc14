"""A network of temzoo on the same job: the loss of its task, the crops and the schedule of all."""

from __future__ import annotations

import keras
import numpy as np
from replay import PEAK_RATE, WEIGHT_DECAY, arguments, learn, predict_all, tell

import temzoo
from temzoo.zoo.task import task_named


def main() -> None:
    job, out, options = arguments()
    keras.utils.set_random_seed(job.seed)
    name = options.pop("model")
    model = temzoo.get_model(name, classes=job.classes, **options)
    optimizer = keras.optimizers.AdamW(PEAK_RATE, weight_decay=WEIGHT_DECAY)
    task_named("semantic").compile(model, optimizer=optimizer)
    hot = np.eye(job.classes, dtype=np.uint8)

    def step(batch, rate):
        pixels, classes = batch
        optimizer.learning_rate.assign(rate)
        model.train_on_batch(pixels[..., None].astype(np.float32), hot[classes])

    learning = learn(job, step, "pixels", "classes")

    def predict(_number: int, raw: np.ndarray) -> dict[str, np.ndarray]:
        found = temzoo.predict(model, raw, probabilities=True, instances=None)
        return {"probabilities": found.probabilities}

    prediction = predict_all(job, out, predict)
    learnt = [w for w in model.weights if not w.name.startswith("moving_")]  # as PyTorch counts
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    tell(
        out,
        ("tensorflow", "keras"),
        uninstalled={"temzoo": {"version": temzoo.__version__, "licence": "MIT"}},
        learning=learning,
        prediction=prediction,
        parameters=sum(int(np.prod(w.shape)) for w in learnt),
        parameters_trained=trained,
    )


if __name__ == "__main__":
    main()
