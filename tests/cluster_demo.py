"""A Ray cluster of two nodes on this machine predicts micrographs, and loses one node on the way.

    python tests/cluster_demo.py --out cluster-demo        # make cluster-demo
    python tests/cluster_demo.py --speed 4 --side 4096

Of 400 files one in twenty is damaged. When a quarter is done, the second node is killed by its pid.
Every good image must be there exactly once, and the tables must equal those of one process, but for
single pixels at the threshold. Prints what was compared, and the seconds of both; the exit status
is 1 where something differs.

--speed N times N micrographs instead, and one alone, in fresh processes, without and with a
cluster: the seconds that each more takes, and what is left of one's, the start. It also tells what
processors spend on each part of one.
"""

import argparse
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

import temzoo
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.store.with_overlay import save_prediction
from temzoo.workflows.measure_folder import measure_folder

SIDE, PARTICLES, DAMAGED = 160, 6, 20
MOST_PX = 2  # of the area of a particle
os.environ["RAY_AUTH_MODE"] = "token"  # unset, a second node does not send what the first wants
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray looks for one at home
WEIGHTS, LOOPBACK = "unet/emps-fast", "127.0.0.1"


def write_images(folder: Path, count: int) -> None:
    """Micrographs, of which every twentieth is cut off."""
    folder.mkdir(parents=True)
    for seed in range(count):
        micrograph, _ = synthesize(seed, size=SIDE, n_particles=PARTICLES, name=f"{seed:04d}.tif")
        path = folder / f"{seed:04d}.tif"
        tifffile.imwrite(path, np.asarray(micrograph.pixels))
        if seed % DAMAGED == DAMAGED - 1:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def start_node(*words: str) -> subprocess.Popen:
    """A node of one processor, on this machine."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1"]
    command += ["--disable-usage-stats", "--object-store-memory=200000000"]
    command += words
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for(nodes: int) -> None:
    """Until so many nodes have joined."""
    code = "import ray; ray.init('auto', log_to_driver=False); print(len(ray.nodes()))"
    for _ in range(20):
        time.sleep(3)
        with suppress(subprocess.SubprocessError, ValueError, IndexError):
            # Who asks while a node is starting may wait for ever.
            asked = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, timeout=20
            )
            if int(asked.stdout.split()[-1]) == nodes:
                return
    raise RuntimeError(f"The cluster must have {nodes} nodes, and they did not come.")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def kill_when(out: Path, count: int, node: subprocess.Popen, told: list[str]) -> None:
    """Kills a node and all of its processes once so many predictions are there."""
    while len(list(out.glob("*.prediction.json"))) < count:
        time.sleep(0.2)
    os.killpg(node.pid, signal.SIGKILL)
    told.append(f"killed the second node, pid {node.pid}, after {count} images")


def predict(images: Path, out: Path, cluster: str | None) -> float:
    began = time.monotonic()
    temzoo.predict_folder(WEIGHTS, images, out, cluster=cluster, progress=False)
    return time.monotonic() - began


def rows_of(table: Path) -> pd.DataFrame:
    """Image, status, instances, share and calibration of each image."""
    parquet = table.suffix == ".parquet"
    rows = pd.read_parquet(table) if parquet else pd.read_csv(table, float_precision="round_trip")
    return rows.drop(columns=["seconds", "message"])


def particles_of(out: Path, images: list[str]) -> pd.DataFrame:
    """The particles of one process' predictions, as the cluster has them in Parquet."""
    paths = [out / f"{Path(name).stem}.prediction.json" for name in images]
    (measured,) = measure_folder(paths).by_unit.values()
    return measured.table


def write_large(folder: Path, count: int, side: int) -> None:
    """Micrographs of side x side px, a drawn one of 512 px side by side."""
    folder.mkdir(parents=True)
    for seed in range(count):
        micrograph, _ = synthesize(seed, size=512, n_particles=30)
        repeats = -(-side // 512)
        pixels = np.tile(np.asarray(micrograph.pixels), (repeats, repeats))[:side, :side]
        tifffile.imwrite(folder / f"{seed:04d}.tif", pixels)


def times_of(images: Path, out: Path, *words: str) -> tuple[float, float]:
    """Seconds of the clock and of processors, Ray's apart, that ``temzoo predict`` takes."""
    command = [sys.executable, "-m", "temzoo", "predict", WEIGHTS, str(images), "--out", str(out)]
    before, began = os.times(), time.monotonic()
    subprocess.run([*command, *words], check=True, stdout=subprocess.DEVNULL)
    after, seconds = os.times(), time.monotonic() - began
    used = after.children_user + after.children_system
    return seconds, used - before.children_user - before.children_system


def measure_speed(folder: Path, count: int, side: int) -> None:
    """Prints the seconds of each more micrograph, and of the start, of both ways."""
    write_large(folder / "images", count, side)
    print(
        f"{count} micrographs of {side} px, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    for name, words in (("one process", ()), ("--cluster auto", ("--cluster", "auto"))):
        one = times_of(folder / "images" / "0000.tif", folder / f"{name} 1", *words)
        all_ = times_of(folder / "images", folder / f"{name} all", *words)
        clock, used = ((b - a) / (count - 1) for a, b in zip(one, all_, strict=True))
        print(f"{name}: {clock:.1f} s each (processors {used:.1f} s), start {one[0] - clock:.1f} s")
    print("processors, of one: " + ", ".join(f"{k} {v:.1f} s" for k, v in parts_of(folder).items()))


def parts_of(folder: Path) -> dict[str, float]:
    """Seconds of processors that parts of predicting the first micrograph take, all threads'."""
    model = temzoo.get_model("unet", weights="emps-fast", compile=False)
    micrograph = temzoo.load_micrograph(folder / "images" / "0000.tif")
    temzoo.predict(model, micrograph.pixels[:64, :64])
    clocks = [time.process_time()]
    temzoo.load_micrograph(folder / "images" / "0000.tif")
    clocks.append(time.process_time())
    temzoo.predict(model, micrograph, instances=None)
    clocks.append(time.process_time())
    found = temzoo.predict(model, micrograph)
    clocks.append(time.process_time())
    save_prediction(found, folder / "saved", micrograph=micrograph)
    clocks.append(time.process_time())
    reading, network, both, writing = np.diff(clocks)
    parts = {"reading": reading, "network": network, "objects": both - network}
    return {**parts, "writing": writing}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("cluster-demo"))
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--speed", type=int, metavar="N", help="time N micrographs instead")
    parser.add_argument("--side", type=int, default=4096)
    asked = parser.parse_args()
    shutil.rmtree(asked.out, ignore_errors=True)
    if asked.speed:
        measure_speed(asked.out, asked.speed, asked.side)
        return 0
    images, plain, shared = asked.out / "images", asked.out / "one", asked.out / "cluster"
    write_images(images, asked.images)
    plain_s = predict(images, plain, None)
    port, told = free_port(), []
    head = start_node("--head", f"--port={port}", "--include-dashboard=false")
    wait_for(nodes=1)
    second = start_node(f"--address={LOOPBACK}:{port}")
    watch = threading.Thread(
        target=kill_when, args=(shared, asked.images // 4, second, told), daemon=True
    )
    watch.start()
    try:
        wait_for(nodes=2)
        cluster_s = predict(images, shared, "auto")
    finally:
        for node in (second, head):
            if node.poll() is None:
                os.killpg(node.pid, signal.SIGKILL)
    expected, found = rows_of(plain / "predictions.csv"), rows_of(shared / "predictions.parquet")
    good = [*expected["image"][expected["status"] == "predicted"]]
    table = pd.read_parquet(next(shared.glob("particles_*.parquet")))
    single = particles_of(plain, good)
    # Another number of threads rounds otherwise, and a pixel at the threshold falls to either side.
    apart = np.abs(table["area_px2"] - single["area_px2"]) if len(table) == len(single) else [99]
    differ, same_particles = int(np.count_nonzero(apart)), float(np.max(apart)) <= MOST_PX
    print(*told, sep="\n")
    print(f"{len(good)} good images of {len(expected)}, {len(table)} particles")
    same = expected.to_csv() == found.to_csv()  # where no text is nothing
    print(f"rows equal: {same}; particles equal: {same_particles}, {differ} by a pixel")
    print(f"one process {plain_s:.1f} s, cluster with its loss {cluster_s:.1f} s")
    return int(not (told and same and same_particles))


if __name__ == "__main__":
    sys.exit(main())
