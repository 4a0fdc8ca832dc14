"""Small models of every registered architecture, whose weights are not those of the start."""

import keras
import numpy as np

import temzoo

SMALL = {
    "filters": 4,
    "depth": 2,
    "hidden": 16,
    "alpha": 0.25,
    "decoder_filters": (8, 8, 8, 8, 8),
    "pyramid": (1,),
    "features": 16,
    "proposals": 40,
    "max_detections": 12,
    "train_proposals": 128,
}
OF_TASK = {
    "instance": {"image_size": 64},
    "boxes": {"image_size": 64, "depth": 1},
    "generative": {"image_size": 12},
    "classification": {"filters": (4,) * 5, "hidden": (16, 16)},
}
MORE = {  # keyword that a model has -> config in which it answers with something else
    "rotation_invariant": {"rotation_invariant": True, "channels": 3},
    "outputs": {"outputs": "colorize", "skips": False, "image_size": 16},
}


def configs():
    """(name, config) of each registered model, and of what some can be beside."""
    for name in temzoo.list_models():
        card = temzoo.model_card(name)
        small = {**SMALL, **OF_TASK.get(card.task, {}), **dict.fromkeys(card.deferred)}
        small = {key: value for key, value in small.items() if key in card.config}
        yield name, small
        for keyword, more in MORE.items():
            if keyword in card.config:
                yield name, {**small, **more}


def build(name, config):
    """Uncompiled, with every weight moved: zeros and ones hide what is left out."""
    keras.utils.set_random_seed(1)
    model = temzoo.get_model(name, compile=False, **config)
    stir(model)
    return model


def stir(model):
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if variable.dtype == "float32":
            factor, more = (
                rng.uniform(0.8, 1.2, variable.shape),
                rng.normal(0, 0.03, variable.shape),
            )
            variable.assign(np.asarray(variable) * factor + more)
        if variable.path.endswith("class_3_conv/bias"):  # so that boxes are found, untrained
            variable.assign(np.zeros(variable.shape))
