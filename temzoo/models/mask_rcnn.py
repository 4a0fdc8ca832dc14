"""Mask R-CNN: every particle its own box, class and mask, also where there are hundreds.

He et al. 2017, arXiv:1703.06870; pyramid: Lin et al. 2017, arXiv:1612.03144; proposals: Ren et al.
2015, arXiv:1506.01497.

Input: (B, S, S, 1 or 3), raw pixels in their stored range, S fixed by ``image_size``; a larger
micrograph is tiled. Output of ``detect``: ``Detections``.

keras-cv 0.9.0, its last release, has no Mask R-CNN. What it has and what is right is used:
backbones, anchors, non-maximum suppression by class, smooth L1. Its ROIAlign, proposals, matching
and pyramid are wrong or slow on Keras 3, so those are in ``boxes.py``, ``roi.py`` and below.

Where we differ from the paper, and why: a 64-wide pyramid P2..P5 with group norm and 256-wide
heads, as particles on a carbon film need less than a thousand kinds of photographed things; anchors
from 12 px on, set from the training objects, as the usual 32 px and more cannot match a particle of
16 px; box deltas shared by the classes; and the mask head sees real detections alone, whose number
is known at run time only.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from temzoo.models import boxes, layers, mobilenet, roi
from temzoo.models import mask_rcnn_networks as networks
from temzoo.models.detector import DetectorModel, check_count, check_image_size
from temzoo.zoo.cards import register

ANCHOR_SIZES = (12.0, 24.0, 48.0, 96.0)
# Anchors: positive from the first IoU on, negative below the second; sampled for the loss.
# Half, not more: sizes that double leave every third particle without an anchor of 0.6.
ANCHOR_POSITIVE, ANCHOR_NEGATIVE, ANCHORS_SAMPLED = 0.5, 0.3, 512
ANCHORS_POSITIVE = 256
REGION_POSITIVE = 0.5
# A quarter, as in the paper: what the head sees is mostly ground when it predicts, too.
REGION_SHARE = 4
# Proposals: best so many a level, then suppression, and from what score on when predicting.
LEVEL_PROPOSALS, PROPOSAL_IOU, PROPOSAL_SCORE = 500, 0.7, 0.02


@register(
    "mask_rcnn",
    task="instance",
    summary="Mask R-CNN: a box, class and mask for every object",
    paper="He et al. 2017, arXiv:1703.06870",
    input="(B, image_size, image_size, 1 or 3) raw pixels",
    output="boxes, classes, scores and 28 x 28 masks of up to max_detections objects",
    parameters=3_146_697,
    ranges={
        "alpha": [0.25, 0.5, 0.75],
        "backbone_trainable": [False, "deep"],
        "features": [32, 64, 96],
        "train_proposals": [256, 512],
        "regions": [64, 128, 256],
    },
    free=(
        "backbone_weights",
        "backbone_trainable",
        "image_size",
        "max_detections",
        "proposals",
        "train_proposals",
        "regions",
    ),
    deferred={"backbone_weights": "deferred"},
)
def mask_rcnn(
    *,
    classes: int = 2,
    channels: int = 1,
    image_size: int = 512,
    backbone: str = "mobilenet",
    alpha: float = 0.75,
    backbone_weights: str | None = "imagenet",
    backbone_trainable: bool | str = False,
    features: int = 64,
    anchor_sizes: tuple[float, ...] | None = None,
    train_proposals: int = 512,
    regions: int = 128,
    proposals: int = 800,
    max_detections: int = 400,
) -> MaskRCNN:
    """Builds a Mask R-CNN.

    Args:
        classes: background included; 2 means background and one class.
        channels: 1 or 3.
        image_size: side of the square images, px; a multiple of 32. Weights fit any.
        backbone: "mobilenet" (ImageNet), or "mobilenet_v3" (small) or "resnet18" of keras-cv, which
            start random and always learn.
        alpha: width of the "mobilenet": 0.25, 0.5, 0.75 or 1.0.
        backbone_weights: of the "mobilenet": "imagenet", the path of a no-top ``.h5`` file of the
            same width, or None (random).
        backbone_trainable: of the "mobilenet": False, True, or "deep" (blocks 7 to 13 only).
        features: width of the pyramid and of the heads' convolutions.
        anchor_sizes: side of the least square anchor on P2..P5, px; None: 12, 24, 48, 96 until
            ``set_anchor_sizes`` takes them from the training objects.
        train_proposals: an image in training; regions: of those and the objects themselves, drawn
            for the heads' losses, at most a quarter of them positive.
        proposals: an image when predicting, at most.
        max_detections: an image, at most.
    """
    config = dict(locals())
    layers.require_tensorflow("mask_rcnn")
    _check(classes, image_size, backbone, features)
    _check_counts(train_proposals, regions, proposals, max_detections)
    _check_backbone(backbone, channels, alpha, backbone_weights, backbone_trainable)
    network = networks.build_network(
        (image_size, image_size, channels),
        features,
        backbone,
        {"alpha": alpha, "weights": backbone_weights, "trainable": backbone_trainable},
    )
    normalize = layers.Normalize(name="normalize")
    normalize.build(network.input_shape)
    parts = {
        "normalize": normalize,
        "network": network,
        "anchors": networks.Anchors(image_size, name="anchors"),
        "box_head": networks.build_box_head(features, classes),
        "mask_head": networks.build_mask_head(features, classes),
    }
    model = MaskRCNN(parts, config)
    model.set_anchor_sizes(anchor_sizes or ANCHOR_SIZES)
    return model


@keras.saving.register_keras_serializable("temzoo")
class MaskRCNN(DetectorModel):
    """The parts together: what is drawn for the losses, and how a prediction goes.

    ``call`` is what training needs of an image in one forward pass: the pyramid and the proposal
    network's answers. ``detect`` is for people, ``predict`` and ``export`` for machines.

    Attributes:
        normalize, network, anchors, box_head, mask_head: the parts.
    """

    PARTS = ("normalize", "network", "anchors", "box_head", "mask_head")
    LOSSES = ("rpn_objectness_loss", "rpn_box_loss", "class_loss", "box_loss", "mask_loss")
    BUILDER = staticmethod(mask_rcnn)

    def __init__(self, parts, config):
        super().__init__("mask_rcnn", parts, config)
        import keras_cv

        self.smooth_l1 = keras_cv.losses.SmoothL1Loss(reduction="none")
        self.seed_generator = keras.random.SeedGenerator(name="sampling")

    @property
    def grid(self) -> boxes.Grid:
        return boxes.Grid(self.image_size, networks.STRIDES, networks.SHAPES)

    @property
    def anchor_sizes(self) -> np.ndarray:
        """(4,) side of the least square anchor on P2..P5, px."""
        return self.anchors.sizes.numpy()

    def set_anchor_sizes(self, sizes) -> None:
        """Sets the side of the least square anchor on P2..P5, px; each level has sqrt 2 times too.

        Raises:
            ValueError: not four rising positive numbers.
        """
        sizes = np.asarray(sizes, "float32")
        if sizes.shape != (len(networks.STRIDES),) or not (np.diff(sizes, prepend=0) > 0).all():
            raise ValueError(
                "anchor_sizes gives one size in pixels for each of the"
                f" {len(networks.STRIDES)} levels, rising. Received: anchor_sizes={sizes.tolist()}."
            )
        self.anchors.sizes.assign(sizes)

    # What a training step does.

    def losses_of(self, truth, outputs, *, training: bool = True) -> dict:
        """The five losses, by name, of what ``call`` gave.

        Args:
            truth: {"boxes": (B, G, 4) px, padded with -1, "classes": (B, G) from 1, "masks":
                (B, G, M, M) 0 or 1 inside the box}.
            training: False draws the same sample each time.
        """
        objects = tf.cast(truth["boxes"], tf.float32)
        anchors = self.anchors.generate()
        matches = boxes.match_anchors(
            anchors, objects, self.grid, positive=ANCHOR_POSITIVE, negative=ANCHOR_NEGATIVE
        )
        drawn = self._draw(matches, ANCHORS_SAMPLED, ANCHORS_POSITIVE, training)
        logits = tf.gather(outputs["objectness"], drawn.indices, batch_dims=1)
        wanted = tf.cast(drawn.positive, tf.float32)
        objectness = tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits)
        deltas = tf.gather(outputs["deltas"], drawn.indices, batch_dims=1)
        drawn_anchors = tf.gather(anchors, drawn.indices)
        return {
            "rpn_objectness_loss": _mean(objectness, drawn.chosen),
            "rpn_box_loss": self._box_loss(deltas, drawn_anchors, objects, matches, drawn),
            **self._region_losses(truth, objects, outputs, anchors, training),
        }

    def _draw(self, matches: boxes.Matches, count: int, positives: int, training: bool):
        """A ``boxes.Sample``; without training the same each time."""
        seed = self.seed_generator if training else 0
        random = keras.random.uniform(tf.shape(matches.positive), seed=seed)
        return boxes.sample(matches, random, count=count, positives=positives)

    def _box_loss(self, deltas, origins, objects, matches, drawn):
        """Smooth L1 of the deltas that take the positive boxes to their objects."""
        which = tf.gather(matches.objects, drawn.indices, batch_dims=1)
        wanted = boxes.encode(tf.gather(objects, which, batch_dims=1), origins)
        # Replaced before the loss: 0 times the logarithm of a padded box would still be NaN.
        wanted = tf.where(drawn.positive[..., None], wanted, 0.0)
        return _mean(self.smooth_l1(wanted, deltas), drawn.positive)

    def _region_losses(self, truth, objects, outputs, anchors, training: bool) -> dict:
        """The heads' losses on proposals and on the objects themselves, so that none is missed."""
        proposals = self.propose(outputs, anchors, count=self.config["train_proposals"], least=0.0)
        regions = tf.concat([proposals, objects], axis=1)
        matches = boxes.match_regions(regions, objects, positive=REGION_POSITIVE)
        count = self.config["regions"]
        drawn = self._draw(matches, count, count // REGION_SHARE, training)
        regions = tf.stop_gradient(tf.gather(regions, drawn.indices, batch_dims=1))  # (B, R, 4)
        which = tf.gather(matches.objects, drawn.indices, batch_dims=1)
        classes = tf.gather(tf.cast(truth["classes"], tf.int32), which, batch_dims=1)
        classes = tf.where(drawn.positive, classes, 0)
        rows = tf.where(tf.ones_like(drawn.positive))
        answers = self.box_head(
            self._align(outputs, regions, rows, networks.BOX_BINS), training=training
        )
        shape = tf.shape(classes)
        logits = tf.reshape(answers["classes"], (*tf.unstack(shape), self.classes))
        deltas = tf.reshape(answers["deltas"], (*tf.unstack(shape), 4))
        class_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
        return {
            "class_loss": _mean(class_loss, drawn.chosen),
            "box_loss": self._box_loss(deltas, regions, objects, matches, drawn),
            "mask_loss": self._mask_loss(truth, outputs, regions, classes, which, training),
        }

    def _mask_loss(self, truth, outputs, regions, classes, which, training: bool):
        """Cross-entropy of the masks of positive regions, each in its own class alone."""
        rows = tf.where(classes > 0)  # (V, 2)
        targets = roi.mask_targets(
            _of_objects(truth["masks"], which, rows),
            _of_objects(tf.cast(truth["boxes"], tf.float32), which, rows),
            tf.gather_nd(regions, rows),
            size=networks.MASK_SIZE,
        )
        seen = self._masks(outputs, regions, classes, rows, training=training)
        loss = tf.nn.sigmoid_cross_entropy_with_logits(targets, seen)
        return _mean(loss, tf.ones_like(targets, tf.bool))

    # What both do.

    def propose(self, outputs, anchors, *, count: int, least: float):
        """The best boxes of the proposal network: (B, count, 4) px, padded with 0.

        Args:
            least: score below which none is proposed.
        """
        found, scores, start = [], [], 0
        for size in self.grid.counts:
            best = min(max(LEVEL_PROPOSALS, count), size)
            top, index = tf.math.top_k(outputs["objectness"][:, start : start + size], best)
            index, start = index + start, start + size
            deltas = tf.gather(outputs["deltas"], index, batch_dims=1)
            found.append(boxes.decode(deltas, tf.gather(anchors, index)))
            scores.append(tf.sigmoid(top))
        found = tf.stop_gradient(boxes.clip(tf.concat(found, axis=1), self.image_size))
        thin = tf.reduce_min(found[..., 2:] - found[..., :2], axis=-1) < 1.0
        scores = tf.where(thin, -1.0, tf.stop_gradient(tf.concat(scores, axis=1)))
        return tf.image.combined_non_max_suppression(
            found[:, :, None],
            scores[..., None],
            max_output_size_per_class=count,
            max_total_size=count,
            iou_threshold=PROPOSAL_IOU,
            score_threshold=least,
            clip_boxes=False,
        ).nmsed_boxes

    def _align(self, outputs, regions, rows, bins: int):
        """Features of the regions (B, R, 4) at rows (V, 2): (V, bins, bins, width)."""
        images = tf.cast(rows[:, 0], tf.int32)
        return roi.align(
            outputs["features"],
            tf.gather_nd(regions, rows),
            images,
            bins=bins,
            strides=networks.STRIDES,
        )

    def _masks(self, outputs, regions, classes, rows, *, training: bool):
        """Logits of the masks of those classes, of the regions at rows: (V, 28, 28)."""
        # One row more, dropped again: oneDNN's 1 x 1 convolution fails on a batch of none.
        padded = tf.pad(rows, [[0, 1], [0, 0]])
        seen = self._align(outputs, regions, padded, networks.MASK_BINS)
        logits = self.mask_head(seen, training=training)[:-1]
        chosen = tf.gather_nd(classes, rows) - 1
        return tf.gather(tf.transpose(logits, (0, 3, 1, 2)), chosen, batch_dims=1)

    # What a prediction does.

    def limits(self) -> dict[str, int]:
        return {**super().limits(), "proposals": self.config["proposals"]}

    def found(self, normalized, min_score, *, proposals: int, max_detections: int) -> dict:
        """Normalised pixels to the fields of ``Detections``, as tensors."""
        outputs = self.network(normalized, training=False)
        regions = self.propose(
            outputs, self.anchors.generate(), count=proposals, least=PROPOSAL_SCORE
        )
        refined, scores = self._refine(outputs, regions)
        kept = self.suppressed(refined, scores, min_score, max_detections)
        rows = tf.where(kept["classes"] > 0)  # (V, 2), so that padding costs nothing
        logits = self._masks(outputs, kept["boxes"], kept["classes"], rows, training=False)
        shape = (*tf.unstack(tf.shape(kept["classes"])), networks.MASK_SIZE, networks.MASK_SIZE)
        masks = tf.scatter_nd(rows, tf.sigmoid(logits), tf.cast(tf.stack(shape), tf.int64))
        return {**kept, "masks": masks}

    def _refine(self, outputs, regions):
        """Boxes and scores by class of proposals: (B, P, 4), (B, P, classes - 1)."""
        rows = tf.where(boxes.area(regions) > 0)
        answers = self.box_head(
            self._align(outputs, regions, rows, networks.BOX_BINS), training=False
        )
        refined = boxes.decode(answers["deltas"], tf.gather_nd(regions, rows))
        scores = tf.nn.softmax(answers["classes"])[:, 1:]
        shape = tf.shape(regions, tf.int64)
        return (
            tf.scatter_nd(rows, boxes.clip(refined, self.image_size), shape),
            tf.scatter_nd(rows, scores, tf.stack([shape[0], shape[1], self.classes - 1])),
        )


def _mean(values, chosen):
    """Mean of the chosen values; 0 of none."""
    weights = tf.cast(chosen, tf.float32)
    total = tf.reduce_sum(tf.where(chosen, values, 0.0))
    return total / tf.maximum(tf.reduce_sum(weights), 1.0)


def _of_objects(values, which, rows):
    """Values (B, G, …) of the objects ``which`` (B, R) at rows (V, 2): (V, …)."""
    images = tf.cast(rows[:, 0], tf.int32)
    return tf.gather_nd(values, tf.stack([images, tf.gather_nd(which, rows)], axis=1))


def _check(classes, image_size, backbone, features) -> None:
    layers.check_choices(classes=classes)
    if backbone not in networks.BACKBONES:
        offered = ", ".join(repr(name) for name in networks.BACKBONES)
        raise ValueError(f"backbone must be one of {offered}. Received: backbone={backbone!r}.")
    check_image_size(image_size)
    if not isinstance(features, int) or features < 8 or features % 8:
        raise ValueError(
            f"features must be a multiple of 8, the groups of its norms. Received:"
            f" features={features!r}."
        )
    layers.check_choices(features=features)


def _check_counts(train_proposals, regions, proposals, max_detections) -> None:
    counts = (
        ("regions", regions, REGION_SHARE),
        ("proposals", proposals, 1),
        ("max_detections", max_detections, 1),
    )
    for keyword, value, least in counts:
        check_count(keyword, value, least)
    if not isinstance(train_proposals, int) or train_proposals < regions:
        raise ValueError(
            f"train_proposals must be at least regions, which are drawn from them. Received:"
            f" train_proposals={train_proposals!r}, regions={regions}."
        )


def _check_backbone(backbone, channels, alpha, weights, trainable) -> None:
    mobilenet.check_encoder(channels, alpha, trainable, "backbone")
    if backbone == "mobilenet":
        return
    if weights not in (None, "imagenet", mobilenet.DEFERRED):
        raise ValueError(
            f'backbone_weights are those of "mobilenet"; "{backbone}" starts random. Received:'
            f" backbone_weights={weights!r}. Leave it out."
        )
    if trainable == "deep":
        raise ValueError(
            f'backbone_trainable="deep" is for "mobilenet"; "{backbone}" always learns. Leave it'
            " out."
        )
