"""The shortest way to a result: one micrograph, its particles, their sizes, a page of it all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from temzoo.core.showing import doubtful_text
from temzoo.core.types import LabelledImage
from temzoo.data.synthetic import synthesize, write_tiff
from temzoo.micrographs.listing import is_folder_of_images
from temzoo.pages import write_report
from temzoo.store.predictions import list_predictions
from temzoo.store.sidecar import about, beside
from temzoo.workflows.measure_folder import measure_folder
from temzoo.workflows.predict_folder import LazyModel, predict_folder
from temzoo.workflows.size_tables import write_sizes

NAME = "micrograph.tif"
SEED = 7
SIZE = (640, 800)
SCENE = {
    "n_particles": 60,
    "diameter_nm": (12.0, 40.0),
    "clustering": 0.6,
    "dose_e_per_px": 200.0,
}
MEANINGS = (  # of the files of sizes, in their order
    "a row a particle",
    "the same, typed",
    "number and sizes with intervals",
    "the same of spheres, rods …",
    "size plot",
    "plot of spheres, rods …",
)
REST = "what else lies there, temzoo measure and temzoo report read"
YOURS = "next, with one of yours: temzoo quickstart mine.tif --out mine"


@dataclass(frozen=True)
class Quickstart:
    """What was found, and where it lies.

    Attributes:
        found: number of particles.
        unit: "nm", or "px" of a micrograph without a calibration.
        d50, low, high: median diameter with its 95 % interval; NaN where there are too few.
        doubtful: objects of which the model was not sure enough to count them.
        drawn: the diameters that were drawn, in nm; empty of a micrograph that was given.
        files: path to what it is, in a few words.
    """

    found: int
    unit: str
    d50: float
    low: float
    high: float
    doubtful: int
    drawn: tuple[float, ...]
    files: dict[Path, str]

    def summary(self) -> str:
        """The figures and files as plain text."""
        lines = [f"particles found: {self.found}"]
        size = "D50: too few particles to tell"
        if self.d50 == self.d50:
            size = f"D50: {self.d50:.1f} {self.unit}"
        if self.low == self.low:
            size += f", 95 % interval {self.low:.1f} to {self.high:.1f} {self.unit}"
        lines.append(size)
        if self.unit == "px" and self.d50 == self.d50:
            folder = next(iter(self.files)).parent
            lines.append(f"in nm: temzoo measure {folder} --nm-per-pixel 0.5, or what a pixel has")
        if self.drawn:
            lines[0] += f"; drawn: {len(self.drawn)}"
            lines[1] += f"; drawn: {median(self.drawn):.1f} nm"
        if self.doubtful:
            lines.append(doubtful_text(self.doubtful))
        width = max(len(str(path)) for path in self.files)
        lines += [f"  {path!s:<{width}}  {what}" for path, what in self.files.items()]
        return "\n".join([*lines, REST, *[YOURS] * bool(self.drawn)])


def quickstart(model: LazyModel, out: str | Path, image: str | Path | None = None) -> Quickstart:
    """Finds and measures the particles of one micrograph, and writes all that one wants to see.

    Args:
        model: finds them.
        out: folder to write; what else is in it stays.
        image: a file; None: a calibrated micrograph is drawn, whose particles are known. Of a
            stack, the first.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, or no micrograph.

    Example:
        >>> quickstart(LazyModel.of_weights("particles/emps"), "quickstart").found
        59
    """
    out, drawn, files = Path(out), (), {}
    if image is None:
        image = out / NAME
        labels = _draw(image)
        drawn = tuple(float(shape.attributes["diameter_nm"]) for shape in labels.shapes)
        files[image] = "a micrograph, drawn"
    elif is_folder_of_images(Path(image)):
        raise ValueError(
            f"one micrograph is a quick start. Received: the folder {image}. Give one of its files,"
            f" or all of them to `temzoo predict {image}`."
        )
    sidecar = _predicted(model, Path(image), out)
    ((unit, sizes),) = write_sizes(measure_folder([sidecar]), out).items()
    report = write_report(sidecar, out=out / "report.html")
    files[beside(sidecar, "overlay")] = "the micrograph with what was found"
    files |= dict(zip(sizes.files, MEANINGS, strict=False))
    files[report] = "all of it as one page: open it in a browser"
    row = sizes.summary.iloc[-1]
    d50 = (float(row[f"diameter_d50{side}_{unit}"]) for side in ("", "_low", "_high"))
    doubtful = len(about(sidecar)["doubtful"] or ())
    return Quickstart(int(row["particles"]), unit, *d50, doubtful, drawn, files)


def _draw(path: Path) -> LabelledImage:
    micrograph, labels = synthesize(SEED, size=SIZE, name=path.name, **SCENE)
    write_tiff(path, micrograph)
    return labels


def _predicted(model: LazyModel, image: Path, out: Path) -> Path:
    """The sidecar of the prediction."""
    first = predict_folder(model, image, out, frame=0, again=True).rows[0].image
    return next(path for path in list_predictions(out) if about(path)["image"] == first)
