"""TensorFlow Serving's own container answers as the local models: make test-serving-docker.

Skipped where Docker does not run. Whoever wrote it had no Docker: it has not been run yet.
"""

import shutil
import subprocess

import pytest
import serving_demo

IMAGE = "tensorflow/serving"
PORTS = {"grpc": 8500, "http": 8501}


def docker(*words):
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def why_not():
    """Why Docker cannot run anything here; None where it can."""
    if shutil.which("docker") is None:
        return "Docker is not installed"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=60)
    return "Docker's server does not run" if done.returncode else None


@pytest.mark.slow
def test_tensorflow_serving_answers_as_the_local_models_also_while_versions_change(tmp_path):
    if why := why_not():
        pytest.skip(why)
    served = serving_demo.prepare(tmp_path)
    places = [f"--publish=127.0.0.1::{port}" for port in PORTS.values()]
    config = "--model_config_file=/models/models.config"
    mounted = f"--volume={served}:/models:ro"
    container = docker("run", "--rm", "--detach", *places, mounted, IMAGE, config)
    try:
        ports = {
            scheme: int(docker("port", container, f"{port}/tcp").rpartition(":")[2])
            for scheme, port in PORTS.items()
        }
        tell = serving_demo.Told()
        for name in serving_demo.MODELS:
            for url in serving_demo.urls_of(name, ports):
                assert serving_demo.wait_until(lambda url=url: serving_demo.is_served(url))
        serving_demo.check_answers(tell, tmp_path, ports)
        serving_demo.check_swaps(tell, tmp_path, serving_demo.urls_of(serving_demo.SWAPPED, ports))
        assert tell.count
        assert not tell.bad
    finally:
        docker("stop", container)
