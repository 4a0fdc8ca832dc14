"""Exported models behind a real server, Ray Serve, which here speaks TensorFlow Serving's API.

    python tests/serving_demo.py --out serving-demo            # make serving-demo

Exports the shipped weights of MODELS, serves them (see `serving_ray.py`), and asks over gRPC and
HTTP: the golden pictures by `temzoo_client.py`, by `temzoo.connect` and by `temzoo predict
--server`, each beside the local model; while clients ask, two newer versions appear, one after the
other, and then two that are damaged. Prints what was compared; the exit status is 1 where something
differs.

Ray's gRPC proxy listens on all addresses, so this runs where there is no other than loopback.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import grpc
import numpy as np
import tifffile
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

import temzoo
from temzoo.data.synthetic.synthesize import synthesize

MODELS = {  # what is served, and its versions
    "unet": ("unet/emps-fast", "unet/emps"),
    "particles": ("particles/emps",),
    "mask_rcnn": ("mask_rcnn/emps",),
}
SWAPPED = "unet"
LOOPBACK, CLIENTS = "127.0.0.1", 3
SAME = 1e-4  # of probabilities; the versions that are swapped differ by much more
PREDICTED, GOLDEN = "predicted", "assets.extra/golden.png"
WAIT_S = 240


class Told:
    """What was compared."""

    def __init__(self) -> None:
        self.count, self.bad = 0, []

    def __call__(self, good: bool, text: str) -> None:
        self.count += 1
        print(f"{'ok     ' if good else 'DIFFERS'}  {text}", flush=True)
        if not good:
            self.bad.append(text)


def export(folder: Path) -> None:
    """Exports MODELS; what is there from an earlier time stays."""
    for name, versions in MODELS.items():
        for number, weights in enumerate(versions, 1):
            if not (folder / name / str(number)).is_dir():
                command = ["export", weights, str(folder), "--name", name]
                run_temzoo(*command, "--version", str(number))


def run_temzoo(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "temzoo", *words], check=True, stdout=subprocess.DEVNULL)


def local(name: str, number: int):
    return temzoo.get_model(name, weights=MODELS[name][number - 1].split("/")[1], compile=False)


def check_golden(tell: Told, exports: Path, name: str, url: str) -> None:
    """The client that lies beside the models, with the picture and the answers of the export."""
    extra = exports / name / "1" / "assets.extra"
    command = [sys.executable, exports / "temzoo_client.py", url, extra / "golden.png"]
    command += ["--check", extra / "golden.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()[-1:]
    tell(done.returncode == 0, f"{url} temzoo_client.py: {' '.join(last)}")


def check_connected(tell: Told, exports: Path, name: str, url: str) -> None:
    """``temzoo.connect``, beside the local model."""
    picture = exports / name / "1" / GOLDEN
    options = {} if name == "mask_rcnn" else {"probabilities": True}
    expected = temzoo.predict(local(name, 1), picture, **options)
    with temzoo.connect(url) as model:
        found = temzoo.predict(model, picture, **options)
    count = int(expected.instances.max())
    same = np.array_equal(found.instances, expected.instances)
    text = f"{url} temzoo.connect: {count} objects, equal: {same}"
    if options:
        apart = np.abs(found.probabilities - expected.probabilities).max()
        same, text = same and apart <= SAME, f"{text}; probabilities differ by {apart:.2g}"
    tell(bool(same and count), text)


def check_command(tell: Told, out: Path, name: str, url: str) -> None:
    """``temzoo predict --server`` on a micrograph of several tiles, beside the local weights."""
    folder, image = out / PREDICTED, out / "micrograph.tif"
    if not image.exists():
        micrograph, _ = synthesize(3, size=700, n_particles=40)
        tifffile.imwrite(image, np.asarray(micrograph.pixels))
    tiles = () if name == "mask_rcnn" else ("--tile", "256")  # its tiles have a size of their own
    own, asked = folder / f"{name}-local", folder / f"{name}-{url.split(':')[0]}"
    if not own.exists():
        weights = ("--engine", "tensorflow", "--out", str(own))
        run_temzoo("predict", MODELS[name][0], str(image), *weights, *tiles)
    run_temzoo("predict", "--server", url, str(image), "--out", str(asked), *tiles)
    expected, found = (
        temzoo.load_prediction(each / "micrograph.prediction.json") for each in (own, asked)
    )
    count = int(expected.instances.max())
    differ = np.count_nonzero(expected.instances != found.instances)
    text = f"{url} temzoo predict --server: {count} objects, {differ} px differ"
    tell(differ == 0 and count > 0, text)


def place(source: Path, home: Path, number: int) -> None:
    """A version appears whole, as ``temzoo export`` lets it."""
    staged = home / f".exporting-{number}"
    shutil.copytree(source, staged)
    staged.rename(home / str(number))


class Clients:
    """Threads that ask again and again, and what they were answered.

    Attributes:
        answers: how many each version gave.
        failed: errors, and answers that are not those of their version.
    """

    def __init__(self, urls: list[str], picture: Path, expected: dict[int, np.ndarray]):
        self.picture, self.expected = picture, expected
        self.answers: Counter[int] = Counter()
        self.failed: list[str] = []
        self.over = threading.Event()
        targets = [(self._anew, url) for url in urls for _ in range(CLIENTS)]
        targets += [(self._connected, url) for url in urls]
        self.threads = [threading.Thread(target=self._ask, args=each) for each in targets]
        for thread in self.threads:
            thread.start()

    def wait_for(self, count: int, number: int | None = None) -> None:
        """Until there are so many answers, or so many of a version, or one has failed."""

        def there() -> bool:
            heard = self.answers[number] if number else self.answers.total()
            return heard >= count or bool(self.failed)

        wait_until(there)

    def stop(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()

    def __str__(self) -> str:
        heard = ", ".join(f"{n} of version {which}" for which, n in sorted(self.answers.items()))
        said = f": {self.failed[0]}" if self.failed else ""
        return f"{len(self.threads)} clients: {heard}; {len(self.failed)} failed{said}"

    def _ask(self, client: Callable[[str], None], url: str) -> None:
        try:
            client(url)
        except Exception as error:  # whatever it is, it is counted
            self.failed.append(f"{type(error).__name__}: {error}")

    def _anew(self, url: str) -> None:
        """A client that connects for each picture."""
        while not self.over.is_set():
            with temzoo.connect(url) as model:
                self._note(model)

    def _connected(self, url: str) -> None:
        """One that stays with the version it found."""
        with temzoo.connect(url) as model:
            while not self.over.is_set():
                self._note(model)

    def _note(self, model) -> None:
        found = temzoo.predict(model, self.picture, probabilities=True).probabilities
        number = model.address.version
        self.answers[number] += 1
        apart = np.abs(found - self.expected[number]).max()
        if not apart <= SAME:
            self.failed.append(f"{model} is off by {apart:.2g}")


def wait_until(what: Callable[[], bool], seconds: float = WAIT_S) -> bool:
    """Whether it became so in time."""
    end = time.monotonic() + seconds
    while not (so := what()) and time.monotonic() < end:
        time.sleep(0.2)
    return so


def is_served(url: str) -> bool:
    try:
        return bool(newest(url))
    except (ConnectionError, ValueError):
        return False


def newest(url: str) -> int | None:
    with temzoo.connect(url) as model:
        return model.address.version


def check_swaps(tell: Told, out: Path, urls: list[str]) -> None:
    """A newer version is loaded while clients ask: none fails, and then the new one answers."""
    exports, sources = out / "exports" / SWAPPED, {1: 1, 2: 2, 3: 1}
    picture = exports / "1" / GOLDEN
    expected = {
        number: temzoo.predict(local(SWAPPED, source), picture, probabilities=True).probabilities
        for number, source in sources.items()
    }
    for number in (2, 3):
        clients = Clients(urls, picture, expected)
        try:
            clients.wait_for(20)
            place(exports / str(sources[number]), out / "served" / SWAPPED, number)
            clients.wait_for(20, number)
        finally:
            clients.stop()
        good = not clients.failed and min(clients.answers.values()) > 0 < clients.answers[number]
        tell(good, f"version {number} appears while {clients}")
        for url in urls:
            with temzoo.connect(url) as model:
                answer = temzoo.predict(model, picture, probabilities=True).probabilities
            apart = np.abs(answer - expected[number]).max()
            good = model.address.version == number and apart <= SAME
            tell(bool(good), f"{model.address} answers then, off by {apart:.2g}")


def damage_graph(folder: Path) -> None:
    """The file of the graph is cut off."""
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_weights(folder: Path) -> None:
    """A byte in the middle of the weights is another."""
    (path,) = (folder / "variables").glob("variables.data-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def check_refused(tell: Told, out: Path, urls: list[str]) -> None:
    """Versions that do not load: the server says so, and goes on serving the last good one."""
    before = newest(urls[0])
    for number, damage in enumerate((damage_graph, damage_weights), before + 1):
        broken = out / "damaged"
        shutil.copytree(out / "exports" / SWAPPED / "2", broken)
        damage(broken)
        place(broken, out / "served" / SWAPPED, number)
        shutil.rmtree(broken)
        for url in urls:
            said = wait_for_end(url, number)
            text = f"{url}: version {number}, {damage.__doc__} {said[:90]}"
            tell(said.startswith("END"), text)
    for url in urls:
        tell(newest(url) == before, f"{url} goes on with version {before}")
        check_connected(tell, out / "exports", SWAPPED, url)


def wait_for_end(url: str, number: int) -> str:
    """The state of a version once the server has given it up."""
    wait_until(lambda: states(url)[number].startswith("END"))
    return states(url)[number]


def states(url: str) -> dict[int, str]:
    """State of each version and what the server says of it; "" of those that it has not seen."""
    found = defaultdict(str)
    for each in status(url)["model_version_status"]:
        found[int(each["version"])] = f"{each['state']} {each['status'].get('error_message', '')}"
    return found


def status(url: str) -> dict:
    """What a server says of a model's versions."""
    scheme, place, name = re.fullmatch("(.+)://(.+)/(.+)", url).groups()
    if scheme == "http":
        with urllib.request.urlopen(f"http://{place}/v1/models/{name}") as response:
            return json.load(response)
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
    with grpc.insecure_channel(place) as channel:
        told = ModelServiceStub(channel).GetModelStatus(request, timeout=60)
    return MessageToDict(told, preserving_proto_field_name=True)


def prepare(out: Path) -> Path:
    """Exports into ``out/exports``, and the folder that is served: the first version of each."""
    export(out / "exports")
    for left in ("served", PREDICTED):
        shutil.rmtree(out / left, ignore_errors=True)
    shutil.copytree(out / "exports", out / "served", ignore=shutil.ignore_patterns("2"))
    return out / "served"


def urls_of(name: str, ports: dict[str, int]) -> list[str]:
    return [f"{scheme}://{LOOPBACK}:{port}/{name}" for scheme, port in ports.items()]


def check_answers(tell: Told, out: Path, ports: dict[str, int]) -> None:
    """Each model's answers over both protocols."""
    for name in MODELS:
        for url in urls_of(name, ports):
            check_golden(tell, out / "exports", name, url)
            check_connected(tell, out / "exports", name, url)
            check_command(tell, out, name, url)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def require_loopback_alone() -> None:
    """Raises RuntimeError where this process can reach another machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nobody's address; nothing is sent
        except OSError:
            return
    raise RuntimeError(
        "Ray's gRPC proxy listens on all addresses, so this must run where there is loopback alone."
        " Received: a network. Use make serving-demo."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("serving-demo"))
    out = parser.parse_args().out.resolve()
    require_loopback_alone()
    os.environ["RAY_AUTH_MODE"] = "disabled"  # nobody else is here; it would leave a token at home
    import ray
    import serving_ray

    tell, served = Told(), prepare(out)
    ports = {"grpc": free_port(), "http": free_port()}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=2 * 10**8,
            _node_ip_address=LOOPBACK,
            _temp_dir=folder,
        )
        try:
            serving_ray.start(served, ports["http"], ports["grpc"])
            print(f"Ray Serve {version('ray')}, TensorFlow {version('tensorflow')}", flush=True)
            check_answers(tell, out, ports)
            check_swaps(tell, out, urls_of(SWAPPED, ports))
            check_refused(tell, out, urls_of(SWAPPED, ports))
        finally:
            ray.shutdown()
    print(f"{tell.count} compared, {len(tell.bad)} differ")
    return int(bool(tell.bad))


if __name__ == "__main__":
    sys.exit(main())
