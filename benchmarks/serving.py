"""Requests per second and latency of `mnist-cnn serve` and of `mlflow models serve`.

Both serve the same model and get the same images as JSON arrays, one server after the other, on
loopback, under load from wrk (Debian's package) for a fixed time. The model is a convolutional
network of the size that a search finds. It is not trained, which does not change its speed.

    python benchmarks/serving.py [--seconds 15]
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
from keras import layers

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]

from serving_project import Project, free_port, wait_for  # noqa: E402

from mnist_cnn.datasets import mnist  # noqa: E402

# Images a request, and clients at once: MLflow's server takes seconds for a batch.
CLIENTS = {1: 16, 64: 4}
SIZES = tuple(CLIENTS)
LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.timeout + summary.errors.connect))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=15)
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("there is no wrk; `apt-get install wrk`")
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder))
        file = project.root / "net.keras"
        network().save(file)
        project.promote(file)
        pixels = (255 * mnist().first(max(SIZES)).train().x[..., 0]).astype(int).tolist()
        print("| server | images | requests/s | images/s | median ms | p99 ms | failed |")
        print("| :-- | --: | --: | --: | --: | --: | --: |")
        rates: dict[tuple[str, int], float] = {}
        for name, serve, request in (
            ("mlflow models serve", mlflow_served, mlflow_request),
            ("mnist-cnn serve", own_served, own_request),
        ):
            with serve(project) as url:
                for size in SIZES:
                    body = project.root / "body.json"
                    body.write_text(json.dumps(request(pixels[:size])))
                    load(url, body, project.root, 2, CLIENTS[size])  # warm
                    rate, median, slow, failed = load(
                        url, body, project.root, options.seconds, CLIENTS[size]
                    )
                    rates[name, size] = rate
                    print(
                        f"| {name} | {size} | {rate:,.0f} | {rate * size:,.0f} | {median:.1f} | "
                        f"{slow:.1f} | {failed} |",
                        flush=True,
                    )
        for size in SIZES:
            ratio = rates["mnist-cnn serve", size] / max(rates["mlflow models serve", size], 1e-9)
            print(f"{size} images a request: {ratio:.1f} times the requests")


def network() -> keras.Model:
    """A CNN with 32, 64 and 128 filters."""
    net = [keras.Input((28, 28, 1))]
    for filters in (32, 64, 128):
        net += [layers.Conv2D(filters, 3, padding="same"), layers.MaxPooling2D(2)]
        net += [layers.BatchNormalization(), layers.Activation("relu")]
    net += [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10, "softmax")]
    return keras.Sequential(net)


def own_request(images: list[list[list[int]]]) -> object:
    return {"images": images}


def mlflow_request(images: list[list[list[int]]]) -> object:
    shares = [[[[round(level / 255, 4)] for level in row] for row in image] for image in images]
    return {"inputs": shares}


@contextlib.contextmanager
def own_served(project: Project) -> Iterator[str]:
    with project.served() as app:
        yield f"{app.address}/api/predict"


@contextlib.contextmanager
def mlflow_served(project: Project) -> Iterator[str]:
    import httpx

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", "models:/digit_recog_mnist_cnn@champion", "--port", str(port)]
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{project.database}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # It starts `uvicorn` by its name.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = (project.root / "mlflow.log").open("wb")
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )

    def ready() -> bool:
        assert process.poll() is None, (project.root / "mlflow.log").read_text()
        try:
            return httpx.get(f"{address}/ping", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(ready, 120)
        yield f"{address}/invocations"
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def load(
    url: str, body: Path, folder: Path, seconds: int, connections: int
) -> tuple[float, float, float, int]:
    """(requests per second, median ms, 99th percentile ms, failed) under wrk."""
    script = folder / "load.lua"
    script.write_text(LUA.format(body=body))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    done = subprocess.run(
        [*command, "-s", str(script), url],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found, done.stdout
    requests, microseconds, median, slow, failed = map(int, found.groups())
    return requests / (microseconds / 1e6), median / 1000, slow / 1000, failed


if __name__ == "__main__":
    main()
