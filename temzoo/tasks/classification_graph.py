"""Classification as Keras computes it: the loss and the scores of an epoch.

Truth and prediction are (B, classes): one-hot, and probabilities that sum to 1.
"""

from __future__ import annotations

import keras
from keras import ops

from temzoo.tasks.classification import LOSSES
from temzoo.tasks.whole_batch import NamedLoss

EPSILON = 1e-7
SMOOTHING = 0.1  # share of the truth that "smooth_ce" gives to all classes alike
KINDS = ("balanced_accuracy", "macro_f1")


@keras.saving.register_keras_serializable("temzoo")
class ClassLoss(NamedLoss):
    """Cross-entropy of one class per image, each image weighing as its class does.

    ``ce``: -log p(true class). ``smooth_ce``: the same with a tenth of the truth given to all
    classes alike, so that no probability is driven to 1 (Szegedy et al. 2016, arXiv:1512.00567).

    Args:
        kind: one of the names above.
        class_weights: one factor per class; None: all 1.
    """

    KINDS = LOSSES

    def __init__(self, kind="smooth_ce", class_weights=None, name="classes", **kwargs):
        super().__init__(kind, class_weights, name=name, **kwargs)

    def call(self, truth, probabilities):
        truth = ops.cast(truth, probabilities.dtype)
        smoothing = SMOOTHING if self.kind == "smooth_ce" else 0.0
        aim = truth * (1.0 - smoothing) + smoothing / truth.shape[-1]
        loss = -ops.sum(aim * ops.log(ops.clip(probabilities, EPSILON, 1.0)), axis=-1)
        if self.class_weights is None:
            return loss
        weights = ops.convert_to_tensor(self.class_weights, truth.dtype)
        return loss * ops.sum(truth * weights, axis=-1)


@keras.saving.register_keras_serializable("temzoo")
class ClassMean(keras.metrics.Metric):
    """Mean over the classes of recall, or of F1, over all images of an epoch.

    As in ``evaluation.classification``: a class without an image has no recall, and one that is
    never found either has no F1; they are in no mean.

    Args:
        kind: "balanced_accuracy" or "macro_f1".
        classes: their number.
    """

    def __init__(self, kind, classes, name=None, **kwargs):
        super().__init__(name=name or kind, **kwargs)
        self.kind, self.classes = kind, classes
        sums = ("hits", "true", "found")
        self.hits, self.true, self.found = (
            self.add_variable((classes,), "zeros", dtype="float32", name=each) for each in sums
        )

    def update_state(self, truth, probabilities, sample_weight=None):
        truth = ops.cast(truth, "float32")
        found = ops.one_hot(ops.argmax(probabilities, axis=-1), self.classes, dtype="float32")
        for total, one in ((self.hits, truth * found), (self.true, truth), (self.found, found)):
            total.assign_add(ops.sum(one, axis=0))

    def result(self):
        whole = self.true + 0.0
        if self.kind == "macro_f1":
            whole = (self.true + self.found) / 2.0
        known = ops.cast(whole > 0, "float32")
        shares = self.hits / ops.maximum(whole, 0.5)
        return ops.sum(shares * known) / ops.maximum(ops.sum(known), 1.0)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "classes": self.classes}
