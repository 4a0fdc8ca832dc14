"""Does the same thing thousands of times, and shows that memory and open files do not grow.

    python tests/soak.py                       # make soak
    python tests/soak.py --only loads grpc     # some of the parts
    python tests/soak.py --share 0.1           # a tenth of the times

Each part has a process of its own. After the first tenth, which fills caches, at half and at the
end it prints the process' memory (RSS) and its open file handles. The exit status is 1 where memory
has grown by more than MOST_MB from the first tenth to the end, or handles by more than
MOST_HANDLES. The requests go to the server of `test_serving.py`, which speaks TensorFlow Serving's
protocols over gRPC and HTTP, in a process of its own, and serves what `temzoo.export` wrote.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import h5py
import mrcfile
import numpy as np
import tifffile

TIMES = {"predictions": 1500, "epochs": 200, "loads": 10_000, "grpc": 500, "http": 500}
CLIENTS = 50
MOST_MB, MOST_HANDLES = 64, 4


class Watch:
    """The memory and the handles of this process, at times."""

    def __init__(self, name: str, total: int):
        self.name, self.total, self.began, self.seen = name, total, time.monotonic(), []
        self.marks = {max(1, total // 10): "begin", total // 2: "half", total: "end"}

    def note(self, done: int) -> None:
        """Called when one more is done."""
        if mark := self.marks.get(done):
            with open("/proc/self/status", encoding="ascii") as file:
                (kb,) = (int(line.split()[1]) for line in file if line.startswith("VmRSS"))
            self.seen.append((kb / 1024, len(os.listdir("/proc/self/fd"))))
            mb, handles = self.seen[-1]
            seconds = time.monotonic() - self.began
            print(
                f"{self.name:11s} {mark:5s} {done:6d} done  {mb:6.0f} MB  {handles:3d} handles"
                f"  {seconds:5.0f} s",
                flush=True,
            )

    def grew(self) -> bool:
        (mb, handles), (mb_end, handles_end) = self.seen[0], self.seen[-1]
        return mb_end - mb > MOST_MB or handles_end - handles > MOST_HANDLES


def counted(watch: Watch, results: Iterable) -> None:
    for done, _ in enumerate(results, start=1):
        watch.note(done)


def tiny_model():
    import keras

    import temzoo

    keras.utils.set_random_seed(0)
    return temzoo.get_model("unet", filters=4, depth=2)


def predictions(total: int, folder: Path) -> Watch:
    """Files of five sizes, by shipped weights, each written with its overlay."""
    import temzoo
    from temzoo.data.synthetic.synthesize import synthesize, write_tiff
    from temzoo.store.with_overlay import save_prediction

    for number in range(5):
        side = 200 + 30 * number
        micrograph, _ = synthesize(number, size=side, n_particles=8, name=f"{number}.tif")
        write_tiff(folder / f"{number}.tif", micrograph)
    model, watch = temzoo.get_model("unet", weights="emps-fast"), Watch("predictions", total)

    def one(k: int) -> None:
        micrograph = temzoo.load_micrograph(folder / f"{k % 5}.tif")
        save_prediction(temzoo.predict(model, micrograph), folder / "out", micrograph=micrograph)

    counted(watch, map(one, range(total)))
    return watch


def epochs(total: int, folder: Path) -> Watch:
    """One training of a tiny network, with validation, pictures and states."""
    import keras

    import temzoo
    from temzoo.data.synthetic.synthesize import write_dataset
    from temzoo.training import loop

    images, labels = write_dataset(folder, n=6, size=64, n_particles=3, diameter_nm=(6.0, 12.0))
    learn, judge = temzoo.split(temzoo.load_dataset(images=images, labels=labels), (0.7, 0.3))
    watch = Watch("epochs", total)

    class Counting(keras.callbacks.TensorBoard):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            watch.note(epoch + 1)

    keras.callbacks.TensorBoard = Counting  # the last that the loop calls
    assert loop.keras.callbacks.TensorBoard is Counting
    how = {"epochs": total, "batch": 2, "crop": 32, "steps_per_epoch": 3, "augment": "light"}
    temzoo.train(tiny_model(), learn, judge, out=folder / "run", progress=False, **how)
    return watch


def loads(total: int, folder: Path) -> Watch:
    """Micrographs in TIFF (plain and compressed), PNG, JPEG, MRC, HDF5."""
    from temzoo.micrographs import load_micrograph

    pixels = np.random.default_rng(0).integers(0, 255, (256, 256)).astype(np.uint8)
    tifffile.imwrite(folder / "a.tif", pixels)
    tifffile.imwrite(folder / "b.tif", pixels, compression="zlib")
    for name in ("c.png", "d.jpg"):
        cv2.imwrite(str(folder / name), pixels)
    with mrcfile.new(folder / "e.mrc") as file:
        file.set_data(pixels.astype(np.float32))
    with h5py.File(folder / "f.h5", "w") as file:
        file["data"] = pixels
    paths = [*sorted(folder.glob("[a-e].*")), f"{folder / 'f.h5'}::/data"]
    watch = Watch("loads", total)
    counted(watch, (load_micrograph(paths[k % len(paths)]).pixels.sum() for k in range(total)))
    return watch


def served(scheme: str) -> Callable[[int, Path], Watch]:
    def ask(total: int, folder: Path) -> Watch:
        """Predictions by clients at once, each with a connection of its own."""
        import temzoo
        from temzoo.deploy.serving import connect

        version = temzoo.export(tiny_model(), folder / "served")
        server = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(version)], stdout=subprocess.PIPE, text=True
        )
        try:
            ports = dict(zip(("grpc", "http"), server.stdout.readline().split(), strict=True))
            url = f"{scheme}://127.0.0.1:{ports[scheme]}/{version.parent.name}"
            pixels = np.random.default_rng(0).integers(0, 255, (96, 96)).astype(np.uint8)
            clients = [(connect(url), threading.Lock()) for _ in range(CLIENTS)]

            def one(k: int) -> None:
                client, free = clients[k % CLIENTS]
                with free:  # a client asks one thing at a time
                    temzoo.predict(client, pixels)

            watch = Watch(scheme, total)
            with ThreadPoolExecutor(CLIENTS) as pool:
                counted(watch, pool.map(one, range(total)))
            for client, _ in clients:
                client.close()
        finally:
            server.kill()
            server.wait()
        return watch

    return ask


PARTS = {"predictions": predictions, "epochs": epochs, "loads": loads}
PARTS |= {scheme: served(scheme) for scheme in ("grpc", "http")}


def serve(version: Path) -> None:
    """The server of the tests, until it is killed; prints its ports."""
    from test_serving import Servable, Served

    server = Served(Servable(version, name=version.parent.name))
    print(server.grpc_port, server.rest.server_address[1], flush=True)
    server.grpc.wait_for_termination()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--share", type=float, default=1.0, help="of the times")
    parser.add_argument("--here", action="store_true", help="in this process")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
    if asked.here:
        (part,) = asked.only
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            return PARTS[part](round(TIMES[part] * asked.share), Path(folder)).grew()
    grown = []
    for part in asked.only:
        command = [sys.executable, __file__, "--here", "--only", part, "--share", str(asked.share)]
        if subprocess.run(command, check=False).returncode:
            grown.append(part)
    bound = f"by {MOST_MB} MB or {MOST_HANDLES} handles at most"
    print(f"failed, or grew by more: {', '.join(grown)}" if grown else f"nothing grew, {bound}")
    return int(bool(grown))


if __name__ == "__main__":
    sys.exit(main())
