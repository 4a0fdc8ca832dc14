"""What lies beside the exported models: the server's configuration, and how to start and ask it.

models.config       the models of the folder, for --model_config_file; what others wrote stays
batching.config     for --batching_parameters_file; written once, then yours
SERVING.md          the commands
temzoo_client.py    an example client over REST and gRPC
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from temzoo.core.files import read_json, write_text
from temzoo.deploy.exporting import assets, client, saved_model
from temzoo.deploy.exporting.versions import versions

CONFIG, BATCHING, GUIDE = "models.config", "batching.config", "SERVING.md"
CLIENT = "temzoo_client.py"
MOUNTED = "/models"  # where the container has the folder
# With the server's own default, one, a prediction under way would lose its version to a newer one.
HELD_VERSIONS = 2
BATCHING_TEXT = """\
# TensorFlow Serving may put requests that wait into one batch: --enable_batching
# --batching_parameters_file=/models/batching.config. Requests of numbers are joined by their size;
# files (serving_bytes) by nothing, so with batching all files must be of one size.
max_batch_size { value: 8 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 64 }
num_batch_threads { value: 2 }
"""
GUIDE_TEXT = """\
# Models for TensorFlow Serving

Written by `temzoo export`. Start the server in this folder:

```sh
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD:/models:ro" \\
    tensorflow/serving --model_config_file=/models/models.config
```

8500 is gRPC, 8501 REST. A new version in a model's folder is loaded while the server runs, and the
one before it stays for who is asking it (`num_versions` in `models.config`). With many small
requests, `--enable_batching --batching_parameters_file=/models/batching.config` joins them; all
files sent to `serving_bytes` must then be of one size.

## Is it the model that was exported?

```sh
{checks}
```

## Ask it

```sh
temzoo predict --server grpc://localhost:8500/{first} micrograph.tif --out predictions
curl -s http://localhost:8501/v1/models/{first}/metadata
python temzoo_client.py http://localhost:8501/{first} image.png --out answers.npz
```

`temzoo predict --server` takes micrographs of any size and format; it cuts them into tiles, and
normalises by the whole. For a model that restores, in Python:
`temzoo.restore(temzoo.connect("grpc://localhost:8500/NAME"), "micrograph.tif")`. The other two need
no temzoo.
{others}
## What it answers

{models}
"""
OTHERS_TEXT = """
## Without a server

These files take float32 `images` and give what `serving_default` gives. They cannot refuse an
image: one with a pixel of NaN or infinity gets NaN for all fractions and 0 for all whole numbers.

{files}
"""
OTHERS = {
    "onnx/model.onnx": """\
- ONNX: `onnxruntime.InferenceSession("{path}").run(None, {{"images": images}})`""",
    # On processors that have bfloat16, OpenVINO takes it unasked: probabilities are less exact.
    "openvino/model.xml": """\
- OpenVINO, which on many processors computes in bfloat16 unless it is told not to:
  `openvino.Core().compile_model("{path}", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})`""",
}
MODEL_TEXT = """\
### {name}, version {version}

{summary} (`{model}`, task {task}). {size} Classes: {classes}.

| signature | takes | gives |
|---|---|---|
{signatures}
"""


def write(directory: Path) -> None:
    """Writes or brings up to date the files beside the models of a folder, each whole.

    Raises:
        ValueError: models.config is there and cannot be read.
    """
    models = served(directory)
    if not models:
        return
    write_text(directory / CONFIG, _config(directory / CONFIG, list(models)))
    if not (directory / BATCHING).exists():
        write_text(directory / BATCHING, BATCHING_TEXT)
    write_text(directory / GUIDE, _guide(directory, models))
    write_text(directory / CLIENT, Path(client.__file__).read_text(encoding="utf-8"))


def served(directory: Path) -> dict[str, dict]:
    """Name -> card of the newest version, of the models that were exported into a folder."""
    found = {}
    for home in sorted(path for path in directory.iterdir() if path.is_dir()):
        numbers = [n for n in versions(home) if (home / str(n) / saved_model.FILE).is_file()]
        told = home / str(max(numbers, default=0)) / assets.FOLDER / assets.CARD
        if told.is_file():
            found[home.name] = read_json(told)
    return found


def _config(path: Path, names: list[str]) -> str:
    """models.config with these models; what it said before stays."""
    config = model_server_config_pb2.ModelServerConfig()
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    try:
        text_format.Parse(before, config)
    except text_format.ParseError as error:
        raise ValueError(
            f"{path} must be a models.config of TensorFlow Serving. Received: {error}. Mend it, or"
            " remove it and export again."
        ) from error
    known = {each.name for each in config.model_config_list.config}
    missing = [name for name in names if name not in known]
    for name in missing:
        added = config.model_config_list.config.add(
            name=name, base_path=f"{MOUNTED}/{name}", model_platform="tensorflow"
        )
        added.model_version_policy.latest.num_versions = HELD_VERSIONS
    # As it was where nothing is new: a text's comments do not survive the parser.
    return text_format.MessageToString(config) if missing else before


def _guide(directory: Path, models: dict[str, dict]) -> str:
    """SERVING.md."""
    folders = {name: f"{name}/{told['version']}/{assets.FOLDER}" for name, told in models.items()}
    checks = [
        f"python temzoo_client.py grpc://localhost:8500/{name} {folder}/{assets.PICTURE}"
        f" --check {folder}/{assets.ANSWERS}"
        for name, folder in folders.items()
    ]
    about = "\n".join(_about(told) for told in models.values())
    others = [
        text.format(path=path)
        for name, told in models.items()
        for file, text in OTHERS.items()
        if (directory / (path := f"{name}/{told['version']}/{file}")).is_file()
    ]
    return GUIDE_TEXT.format(
        checks="\n".join(checks),
        first=next(iter(models)),
        models=about,
        others=OTHERS_TEXT.format(files="\n".join(others)) if others else "",
    )


def _about(told: dict) -> str:
    size = told["image_size"]
    rows = [
        f"| `{name}` | {_listed(each['inputs'])} | {_listed(each['outputs'])} |"
        for name, each in told["signatures"].items()
    ]
    shown = {
        "summary": told["summary"][:1].upper() + told["summary"][1:],
        "size": f"Images of {size} x {size} px." if size else "Images of any size.",
        "classes": ", ".join(told["class_names"]) or "not named",
        "signatures": "\n".join(rows),
    }
    return MODEL_TEXT.format(**{**told, **shown})


def _listed(specs: dict) -> str:
    """``images`` uint8 (B, H, W, 1), …"""
    axes = {1: "B", 2: "Bn", 3: "BHW", 4: "BHWn"}
    found = []
    for name, spec in specs.items():
        shape = spec["shape"]
        letters = axes.get(len(shape), "n" * len(shape))
        known = [n if n is not None else letter for n, letter in zip(shape, letters, strict=True)]
        found.append(f"`{name}` {spec['dtype']} ({', '.join(map(str, known))})")
    return ", ".join(found)
