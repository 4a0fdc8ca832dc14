"""Bad and odd input, from its file to the end of the path: an error that says what to do, or a
result."""

import numpy as np
import pytest
import tifffile

import temzoo
from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.check import check
from temzoo.labels.formats import cvat_writing
from temzoo.labels.shapes import raster

HEIGHT, WIDTH = 40, 48
SQUARE = Shape("box", "particle", np.array([[8.0, 8.0], [24.0, 28.0]]))
BOMB = """<?xml version="1.0"?>
<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotations><image name="&b;" width="48" height="40"/></annotations>
"""


@pytest.fixture(scope="module")
def model():
    return temzoo.get_model("unet", filters=4, depth=2)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    return tmp_path


def speckled(*shape: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Noise with a bright square where ``SQUARE`` lies."""
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(seed).integers(0, top // 2, shape, dtype=dtype)
    pixels[8:24, 8:28] = top
    return pixels


def save(folder, name: str, pixels: np.ndarray | None = None) -> None:
    pixels = speckled(HEIGHT, WIDTH) if pixels is None else pixels
    tifffile.imwrite(folder / "images" / name, pixels)


def label(folder, name: str, *shapes: Shape, height: int = HEIGHT, width: int = WIDTH) -> None:
    entry = LabelledImage(name, width, height, shapes or (SQUARE,), ("particle",))
    cvat_writing.write(folder / "labels.xml", [entry])


def load(folder, **options):
    return temzoo.load_dataset(images=folder / "images", labels=folder / "labels.xml", **options)


def checked(folder):
    return check(labels.read(folder / "labels.xml"), image_folder=folder / "images")


def found(folder) -> dict[str, str]:
    """The level of each kind of finding."""
    return {finding.code: finding.level for finding in checked(folder).findings}


def assert_is_a_prediction(prediction, height: int, width: int) -> None:
    assert prediction.classes.shape == prediction.instances.shape == (height, width)
    assert prediction.probabilities.shape == (height, width, 2)
    np.testing.assert_allclose(prediction.probabilities.sum(axis=-1), 1, atol=1e-5)


def test_truncated_xml(folder):
    save(folder, "a.tif")
    label(folder, "a.tif")
    path = folder / "labels.xml"
    path.write_bytes(path.read_bytes()[:-40])
    for read in (labels.read, lambda _: load(folder)):
        with pytest.raises(ValueError, match=r"labels\.xml.*Export"):
            read(path)


def test_entity_bomb(folder):
    path = folder / "labels.xml"
    path.write_text(BOMB)
    for read in (labels.read, lambda _: load(folder)):
        with pytest.raises(ValueError, match=r"labels\.xml.*entit"):
            read(path)


def test_dots_in_an_image_name_that_leave_the_folder(folder):
    save(folder, "../secret.tif")
    label(folder, "../secret.tif")
    with pytest.raises(ValueError, match=r"labels\.xml: .*inside the folder.*'\.\./secret\.tif'"):
        load(folder)
    assert found(folder)["name-leaves-folder"] == "error"
    for to in ("masks", "yolo"):
        with pytest.raises(ValueError, match=r"inside the folder of images.*'\.\./secret\.tif'"):
            labels.convert(folder / "labels.xml", folder / to, to=to)
    written = {path.name for path in folder.rglob("*") if path.is_file()}
    assert written == {"labels.xml", "secret.tif"}


def test_missing_image(folder):
    save(folder, "b.tif")
    label(folder, "a.tif")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 not in .*images.*a\.tif. Pass the folder"):
        load(folder)
    assert found(folder)["labels-without-file"] == "error"
    assert checked(folder).exit_status == 1
    with pytest.raises(FileNotFoundError, match=r"a\.tif: there is no such file. Did you mean b"):
        temzoo.load_micrograph(folder / "images/a.tif")


def test_missing_image_for_prediction(model, folder):
    with pytest.raises(FileNotFoundError, match=r"a\.tif: there is no such file"):
        temzoo.predict(model, folder / "images/a.tif")


def test_unknown_label(folder):
    save(folder, "a.tif")
    misspelt = Shape("box", "partcle", SQUARE.points + 10)
    label(folder, "a.tif", SQUARE, misspelt)
    entry = LabelledImage("a.tif", WIDTH, HEIGHT, (SQUARE, misspelt), ("particle",))
    assert [f.code for f in check([entry]).findings] == ["undeclared-label"]
    with pytest.raises(ValueError, match=r"Received: 'partcle' in image 'a\.tif'.*ignore="):
        load(folder, classes=["particle"])
    (example,) = load(folder, classes=["particle"], ignore=["partcle"])
    assert [shape.label for shape in example.labels.shapes] == ["particle"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_or_infinite_pixel(model, folder, value):
    pixels = speckled(HEIGHT, WIDTH).astype(np.float32)
    pixels[5, 7] = value
    save(folder, "a.tif", pixels)
    label(folder, "a.tif")
    path = folder / "images/a.tif"
    for read in (temzoo.load_micrograph, lambda path: temzoo.predict(model, path)):
        with pytest.raises(ValueError, match=r"a\.tif: all values must be finite.*row 5, column 7"):
            read(path)
    with pytest.raises(ValueError, match="finite"):
        temzoo.predict(model, pixels)
    (example,) = load(folder)
    with pytest.raises(ValueError, match=r"a\.tif: all values must be finite"):
        temzoo.evaluate(model, [example])


@pytest.mark.parametrize("value", [0, 137, 255])
def test_constant_image(model, value):
    pixels = np.full((HEIGHT, WIDTH), value, np.uint8)
    prediction = temzoo.predict(model, pixels, probabilities=True)
    assert_is_a_prediction(prediction, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    "shape",
    [
        Shape("box", "particle", np.array([[9.0, 9.0], [9.0, 9.0]])),
        Shape("ellipse", "particle", np.array([[9.0, 9.0], [0.0, 0.0]])),
        Shape("polygon", "particle", np.array([[9.0, 9.0]] * 3)),
    ],
    ids=lambda shape: shape.kind,
)
def test_zero_size_shape(folder, shape):
    save(folder, "a.tif")
    label(folder, "a.tif", shape)
    assert any(
        finding.level == "error" and finding.shape_index == 0
        for finding in checked(folder).findings
    )
    (example,) = load(folder)
    assert raster.instance_masks(example.labels).sum() == 0


def test_image_of_one_pixel(model, folder):
    save(folder, "a.tif", np.full((1, 1), 9, np.uint8))
    corner = Shape("box", "particle", np.array([[0.0, 0.0], [1.0, 1.0]]))
    label(folder, "a.tif", corner, height=1, width=1)
    (example,) = load(folder)
    assert raster.class_map(example.labels, ["particle"]).tolist() == [[1]]
    prediction = temzoo.predict(model, example.micrograph, probabilities=True)
    assert_is_a_prediction(prediction, 1, 1)


ODD = {"16 bit": ((HEIGHT, WIDTH), np.uint16), "RGB": ((HEIGHT, WIDTH, 3), np.uint8)}


@pytest.mark.parametrize(("shape", "dtype"), ODD.values(), ids=ODD)
def test_image_is_predicted(model, folder, shape, dtype):
    save(folder, "a.tif", speckled(*shape, dtype=dtype))
    prediction = temzoo.predict(model, folder / "images/a.tif", probabilities=True)
    assert_is_a_prediction(prediction, HEIGHT, WIDTH)


@pytest.mark.usefixtures("eager_steps")
@pytest.mark.parametrize(("shape", "dtype"), ODD.values(), ids=ODD)
def test_image_is_trained_on(folder, shape, dtype):
    entries = []
    for seed, name in enumerate(("a.tif", "b.tif", "c.tif")):
        save(folder, name, speckled(*shape, dtype=dtype, seed=seed))
        entries.append(LabelledImage(name, WIDTH, HEIGHT, (SQUARE,), ("particle",)))
    cvat_writing.write(folder / "labels.xml", entries)
    *train, val = load(folder)
    model = temzoo.get_model("unet", filters=4, depth=2)
    before = [weights.numpy() for weights in model.trainable_weights]
    # Two steps, since the warm-up begins at a rate of 0.
    settings = {"epochs": 1, "steps_per_epoch": 2, "batch": 2, "crop": 32}
    run = temzoo.train(model, train, [val], out=folder / "run", progress=False, **settings)
    assert 0 <= run.score <= 1
    after = [weights.numpy() for weights in model.trainable_weights]
    assert any((old != new).any() for old, new in zip(before, after, strict=True))
    assert all(np.isfinite(new).all() for new in after)
