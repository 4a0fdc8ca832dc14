"""The data that flows through temzoo: frozen dataclasses, with their calibration carried along.

Positions are ``(row, col)`` in the continuous convention that label formats use: pixel (0, 0)
covers [0, 1) x [0, 1), its centre lies at (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from temzoo.core.showing import Pictured, Told, drawer, scale_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

AREA_KINDS = frozenset({"polygon", "ellipse", "box", "mask"})
# From which an object counts as found: it is more likely real than not.
MIN_SCORE = 0.5
LINE_KINDS = frozenset({"polyline"})
# The label of regions that nobody has judged: their pixels weigh nothing in loss and scores.
IGNORE = "ignore"
MOST_TOLD = 8  # classes of an image, where it is shown in few lines
# Is told how far something is: the share that is done, 0 to 1, and a few words. What it raises ends
# it.
Tell = Callable[[float, str], None]
NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, eq=False, repr=False)
class Micrograph(Pictured):
    """One image as the microscope stored it.

    Attributes:
        pixels: (H, W) or (H, W, C), in the stored dtype and range (uint8, uint16, float32 …).
        nm_per_pixel: size of a pixel (row, col) in nanometres; None when uncalibrated.
        name: the file's name, for messages and outputs.
        calibration: where ``nm_per_pixel`` was read, such as "TIFF header"; "" where nobody knows.
    """

    pixels: np.ndarray
    nm_per_pixel: tuple[float, float] | None = None
    name: str = ""
    calibration: str = ""

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def channels(self) -> int:
        return 1 if self.pixels.ndim == 2 else self.pixels.shape[2]

    def plot(self, axes: Axes | None = None) -> Figure:
        """A figure of matplotlib, with a scale bar where the size of a pixel is known.

        Args:
            axes: to draw into, of a figure of one's own; None: a new figure.
        """
        return drawer().figure_of(self, axes=axes)

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        return f"Micrograph {self.name}".rstrip(), {
            "size": f"{_size(self.pixels)}, {self.pixels.dtype}",
            "channels": self.channels if self.channels > 1 else "",
            "pixel": _pixel(self.nm_per_pixel),
            "calibration": self.calibration,
        }


@dataclass(frozen=True, eq=False)
class Shape:
    """One labelled shape, as a label file states it.

    Attributes:
        kind: "polygon", "polyline", "points", "box", "ellipse", "mask", or one without an area
            ("cuboid", "skeleton", "tag").
        label: the class's name.
        points: (N, 2) float64, (row, col). polygon, polyline, points: the vertices.
            box: two corners, [[top, left], [bottom, right]], before rotation.
            ellipse: [[centre row, centre col], [row semi-axis, col semi-axis]], before rotation.
            mask: [[top, left], [bottom, right]] of its bounding box, in whole pixels.
            Kinds without an area may have none, shape (0, 2).
        rotation: degrees clockwise on screen about the centre; boxes and ellipses only.
        runs: mask only: (R,) int64 run lengths, row-major inside the bounding box, the first
            counting zeros (it may be 0); they sum to its height x width.
        z_order: higher is drawn on top.
        occluded: marked as partly hidden by another object.
        group_id: shapes of one image with the same group_id > 0 and the same label are parts of
            one instance; 0: its own instance.
        attributes: what the labeller noted, text by name.
        source: "manual", "semi-auto", "auto" or "file".
        track_id: the track of a video that it comes from, else None.
    """

    kind: str
    label: str
    points: np.ndarray = field(repr=False)
    rotation: float = 0.0
    runs: np.ndarray | None = field(default=None, repr=False)
    z_order: int = 0
    occluded: bool = False
    group_id: int = 0
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    source: str = "manual"
    track_id: int | None = None

    @property
    def has_area(self) -> bool:
        return self.kind in AREA_KINDS

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Shape):
            return NotImplemented
        apart = {"points": None, "runs": None, "rotation": 0.0}
        mine, others = (
            {**vars(each), **apart, "attributes": dict(each.attributes)} for each in (self, other)
        )
        one, two = self.runs, other.runs
        same_runs = one is two if one is None or two is None else np.array_equal(one, two)
        return (
            mine == others
            and np.array_equal(self.points, other.points)
            and same_runs
            and math.isclose(self.rotation, other.rotation)
        )

    __hash__ = None  # type: ignore[assignment]  # how Python says: not hashable


@dataclass(frozen=True, repr=False)
class LabelledImage(Told):
    """The labels of one image, without its pixels.

    Attributes:
        name: as the label file states it; data from outside, never a safe path.
        width, height: pixels.
        shapes: in file order.
        classes: label names that the file declares, in its order; empty when it declares none.
        subset, task_id: where a project export says so.
        frame: frame number of a video, else None.
    """

    name: str
    width: int
    height: int
    shapes: tuple[Shape, ...] = ()
    classes: tuple[str, ...] = ()
    subset: str = ""
    task_id: str = ""
    frame: int | None = None

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        counts = Counter(shape.label for shape in self.shapes)
        return f"LabelledImage {self.name}", {
            "size": f"{self.height} x {self.width} px (height x width)",
            "shapes": ", ".join(f"{n} {label}" for label, n in counts.most_common(MOST_TOLD))
            or "none",
        }


@dataclass(frozen=True, repr=False)
class Example(Told):
    """One micrograph with its labels; the pixels are read when asked for, each time.

    Attributes:
        labels: the shapes, in the pixels of this micrograph; none where it is unlabelled.
        load: returns the micrograph (``functools.partial(load_micrograph, path)``).
        group: images of one specimen or publication share it; a split never parts them.
        load_truth: returns the picture that a restorer should make of it, of the same height and
            width: the clean one, or another exposure of the same field; None where there is none.
        reading: how its labels were read: "values", "rename" and "merge" of ``load_dataset``; empty
            where that was not from a file.
    """

    labels: LabelledImage
    load: Callable[[], Micrograph] = field(repr=False)
    group: str = ""
    load_truth: Callable[[], Micrograph] | None = field(default=None, repr=False)
    reading: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.labels.name

    @property
    def micrograph(self) -> Micrograph:
        return self.load()

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        _, facts = self.labels._told()
        truth = "of its own" if self.load_truth else ""
        return f"Example {self.name}", {**facts, "group": self.group, "truth": truth}


@dataclass(frozen=True, eq=False)
class Detection:
    """One object that a detector found; it may overlap others.

    Attributes:
        top, left: first row and column of ``mask`` in the micrograph, px; inside it.
        mask: (h, w) bool, cut to the object's pixels; at least one is set.
        class_id: 1, 2, …
        score: 0 to 1.
    """

    top: int
    left: int
    mask: np.ndarray = field(repr=False)
    class_id: int
    score: float


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Pictured):
    """What a model says of one micrograph.

    Attributes:
        classes: (H, W) uint8 or int32 class of each pixel; 0 is background.
        probabilities: (H, W, classes) float32, or None when not asked for.
        instances: (H, W) int32; 0 is background, 1..N number the instances.
        scores: (N,) float32, instance k has scores[k - 1]; None where a model gives none.
        detections: of a detector, each with its own mask, so that overlaps survive; instance k of
            ``instances`` is detections[k - 1], as far as no higher score covers it. None where a
            model labels pixels.
        class_names: names of the classes 1, 2, …
        nm_per_pixel: (row, col), from the micrograph; None when uncalibrated.
        name: of the micrograph.
        distance: (H, W) uint8, 255 times the learnt distance to the outline, of a model that has
            one, where probabilities were asked for; else None.
        doubtful: objects of which the model is not sure enough to count them: they are in no other
            field but ``classes``. None of models whose objects have no confidence.
        left_out: boxes (top, left, bottom, right), half-open, in which nothing was looked for: info
            bar, scale bar, panel letters. The field is what remains.
        box_shaped: the objects are boxes, of a model that finds no outlines: all masks fill their
            boxes, and areas or diameters cannot be taken from them.
        calibration: where ``nm_per_pixel`` was read, as the micrograph says; "": not known.
        smoothed_px: standard deviation of the Gaussian that the model saw the micrograph behind,
            because of its noise; 0: as it is.
        binning: the model saw means of so many times so many pixels; 1: the pixels.
    """

    classes: np.ndarray
    instances: np.ndarray
    probabilities: np.ndarray | None = None
    scores: np.ndarray | None = None
    detections: tuple[Detection, ...] | None = None
    class_names: tuple[str, ...] = ()
    nm_per_pixel: tuple[float, float] | None = None
    name: str = ""
    distance: np.ndarray | None = None
    doubtful: tuple[Detection, ...] | None = None
    left_out: tuple[tuple[int, int, int, int], ...] = ()
    box_shaped: bool = False
    calibration: str = ""
    smoothed_px: float = 0.0
    binning: int = 1

    @property
    def boxes(self) -> np.ndarray | None:
        """(N, 4) int64 top, left, bottom, right of each detection, half-open; None without them."""
        if self.detections is None:
            return None
        edges = [(d.top, d.left, *np.add((d.top, d.left), d.mask.shape)) for d in self.detections]
        return np.array(edges, np.int64).reshape(-1, 4)

    @property
    def field(self) -> np.ndarray:
        """(H, W) bool: True where something was looked for."""
        looked_at = np.ones(self.classes.shape, bool)
        for top, left, bottom, right in self.left_out:
            looked_at[top:bottom, left:right] = False
        return looked_at

    @property
    def field_share(self) -> float:
        """The share of the image that is field, 0 to 1."""
        return float(self.field.mean()) if self.left_out else 1.0

    @property
    def covered_share(self) -> float:
        """The share of the field that is of a class, 0 to 1; of a model whose objects have a
        confidence, that of those which count."""
        covered = self.classes if self.doubtful is None else self.instances
        found = covered > 0
        if self.left_out:
            found &= self.field  # what a scale bar hides of an object is no field
        return float(found.mean()) / (self.field_share or 1)

    def plot(self, micrograph: Micrograph | None = None, axes: Axes | None = None) -> Figure:
        """A figure of matplotlib: what was found, with a scale bar where a pixel's size is known.

        Args:
            micrograph: that it is drawn over; None: over grey.
            axes: to draw into, of a figure of one's own; None: a new figure.

        Raises:
            ValueError: the micrograph is of another size.
        """
        return drawer().figure_of(self, micrograph, axes)

    def _told(self) -> tuple[str, Mapping[str, Any]]:
        found = self.detections
        count = int(self.instances.max(initial=0)) if found is None else len(found)
        objects = f"{count} object{'' if count == 1 else 's'}"
        doubtful = f", {len(self.doubtful)} doubtful" if self.doubtful else ""
        read = f" ({self.calibration})" if self.calibration else ""
        maps = {"probabilities": self.probabilities, "distance": self.distance}
        return f"Prediction of {self.name or 'a micrograph'}", {
            "size": _size(self.classes),
            "pixel": _pixel(self.nm_per_pixel) + read,
            "found": f"{objects}{doubtful}; {self.covered_share:.1%} of the field is"
            f" {'inside boxes' if self.box_shaped else 'covered'}",
            "classes": ", ".join(self.class_names),
            "smoothed": f"by {self.smoothed_px:g} px first" if self.smoothed_px else "",
            "seen": f"at {self.binning} x {self.binning} binning" if self.binning > 1 else "",
            "maps": ", ".join(name for name, there in maps.items() if there is not None),
        }


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[0]} x {pixels.shape[1]} px (height x width)"


def _pixel(scale: tuple[float, float] | None) -> str:
    return "not calibrated" if scale is None else scale_text(scale)
