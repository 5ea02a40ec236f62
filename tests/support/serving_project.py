"""For tests of serving: a project with a registry and a champion, and the real web app."""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import absl.logging
import httpx
import keras
import numpy as np
import pytest
import uvicorn
from keras import layers
from mlflow import MlflowClient
from PIL import Image
from projects import copy_database, here
from scipy import ndimage
from starlette.types import ASGIApp

from mnist_cnn.datasets import mnist
from mnist_cnn.serving import bodies, champion, connections, guard, server
from mnist_cnn.tracking.client import connect, experiment_id
from mnist_cnn.training.export import write_mlflow_model

NAME = "digit_recog_mnist_cnn"

# uvicorn closes all of logging's handlers, and Keras's would close the stderr that pytest captures.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


def train(path, filters=(12, 24, 32), epochs=2, distorted=False):
    """Train and save a CNN; by default a small one, as in digits.keras.

    distorted: Shift and rotate the training digits a little.
    """
    keras.utils.set_random_seed(1)
    data = mnist().train()
    net = [keras.Input((28, 28, 1))]
    if distorted:
        net += [layers.RandomTranslation(1 / 28, 1 / 28, fill_mode="constant")]
        net += [layers.RandomRotation(10 / 360, fill_mode="constant")]
    for count in filters:
        net += [layers.Conv2D(count, 3, padding="same"), layers.MaxPooling2D(2)]
        net += [layers.BatchNormalization(momentum=0.9), layers.Activation("relu")]
    net += [layers.Flatten(), layers.Dropout(0.3), layers.Dense(10, activation="softmax")]
    model = keras.Sequential(net)
    batch = 256
    rate = keras.optimizers.schedules.CosineDecay(8e-3, epochs * len(data.x) // batch)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    model.fit(data.x, data.y, epochs=epochs, batch_size=batch, verbose=0)
    keras.Model(model.inputs, model.outputs).save(path)  # without the optimizer's state


class Project:
    """A project folder whose registry has one version per call of `promote`."""

    def __init__(self, root: Path) -> None:
        self.root, self.mlruns = root, root / "mlruns"
        self.mlruns.mkdir(parents=True, exist_ok=True)
        self.database = self.mlruns / "mlflow.db"

    def client(self) -> MlflowClient:
        if not self.database.exists():
            copy_database(self.mlruns)
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow itself sets it to the last project's
        connect(self.mlruns)
        return MlflowClient(f"sqlite:///{self.database}")

    def promote(self, model: Path, file: bytes | None = None, **metrics: float) -> str:
        """Log the model as a search does, make it the champion, and return the version's number.

        file: What its file is replaced by.
        """
        client = self.client()
        experiment = experiment_id(client, "mnist", self.mlruns)
        run_id = client.create_run(experiment, tags={"kind": "study"}).info.run_id
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        folder = self.root / "model"
        write_mlflow_model(model, folder)
        if file is not None:
            (folder / "data" / "model.keras").write_bytes(file)
        logged = client.create_logged_model(experiment, NAME, source_run_id=run_id)
        client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        shutil.rmtree(folder)
        with contextlib.suppress(Exception):  # the second time it is there
            client.create_registered_model(NAME)
        version = client.create_model_version(
            NAME, f"models:/{logged.model_id}", run_id, description="### Test\n- of a test"
        )
        self.set_champion(version.version)
        return str(version.version)

    def set_champion(self, version: str) -> None:
        self.client().set_registered_model_alias(NAME, "champion", version)

    @contextlib.contextmanager
    def served(self, *options: str, files: int | None = None, **environment: str):
        """Run `mnist-cnn serve` in a process of its own; yields once it answers.

        files: The limit on open files; default: the system's.
        """
        port = free_port()
        users = ("MLFLOW_TRACKING_URI", "MNIST_CNN_TOKEN")
        variables = {k: v for k, v in os.environ.items() if k not in users}
        command = [sys.executable, "-m", "mnist_cnn", "serve", "--port", str(port), *options]
        if files is not None:
            command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *command]
        with (self.root / "serve.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.root, env=variables | environment, stdout=log, stderr=log
            )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(address) or process.poll() is not None, 120)
            assert process.poll() is None, (self.root / "serve.log").read_text()
            yield Served(address, process, self.root)
        finally:
            process.terminate()
            process.wait(20)

    def log(self) -> str:
        """What all the commands have printed."""
        return (self.root / "serve.log").read_text()


class Served:
    def __init__(self, address: str, process: "subprocess.Popen[bytes]", root: Path) -> None:
        self.address, self.process, self.root = address, process, root
        self.port = int(address.rpartition(":")[2])

    def log(self) -> str:
        """What the command has printed."""
        return (self.root / "serve.log").read_text()

    def health(self):
        return httpx.get(f"{self.address}/healthz", timeout=60).json()


@contextlib.contextmanager
def in_thread(app: ASGIApp):
    """Serve an app in a thread of this process; yields it once it answers."""
    port = free_port()
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        wait_for(lambda: running.started or not thread.is_alive(), 60)
        yield SimpleNamespace(address=f"http://127.0.0.1:{port}", port=port)
    finally:
        running.should_exit = True
        thread.join()


def started(root: Path, *options: str, **environment: str):
    """Type `mnist-cnn serve` in a folder, up to the point where it would listen.

    Returns:
        How that ended, and the app; None if there is none.
    """
    apps = [None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server._Server, "run", lambda self, sockets: apps.append(self.config.app))
        done = here("serve", "--port", str(free_port()), *options, cwd=root, **environment)
    return done, apps[-1]


@contextlib.contextmanager
def served_here(root: Path, *options: str, **environment: str):
    """Serve the app of that command in a thread: a new process would first import TensorFlow."""
    done, app = started(root, *options, **environment)
    assert app is not None, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # where it looks for champions
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(champion, "POLL_SECONDS", 0.1)
        with in_thread(app) as one:
            yield one


# Each is a second where clients have ten.
IMPATIENT = (
    (connections, "HEAD_SECONDS", 1.0),
    (connections, "STALL_SECONDS", 1.0),
    (connections, "CLOSE_SECONDS", 1.0),
    (connections, "ANSWER_SECONDS", 4.0),
    (bodies, "SECONDS", 1.0),
    (guard, "REQUEST_SECONDS", 3.0),
    (server, "UNDELIVERED_SECONDS", 2.0),
)


@contextlib.contextmanager
def impatient(root: Path):
    """Run the real server in a thread, in a folder without a champion, with short time limits."""
    running = []

    class Noted(server._Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            running.append(self)

    port = free_port()
    thread = threading.Thread(target=server.serve, args=("127.0.0.1", port))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(server, "_Server", Noted)
        for module, name, seconds in IMPATIENT:
            patch.setattr(module, name, seconds)
        thread.start()
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(address) or not thread.is_alive(), 60)
            yield SimpleNamespace(address=address, port=port)
        finally:
            for one in running:
                one.should_exit = True
            thread.join()


def resident_bytes(process: "subprocess.Popen[bytes]") -> int:
    """The resident memory of the process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=60).status_code in (200, 401, 503)
    except httpx.TransportError:
        return False


def wait_for(condition, seconds: float) -> None:
    """Poll until the condition holds; fails after `seconds`."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} seconds"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def draw(image, side, pen, random, sheet=(320, 320)):
    """Redraw a digit in black on white, larger and with another pen: uint8 of shape (*sheet, 3).

    image: (28, 28) in [0, 1]. side: The new size of its 28 pixels. pen: How much strokes grow on
    both sides, in pixels of the image. sheet: (height, width); the position is random.
    """
    large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    ink = np.clip(large, 0, 1)
    reach = abs(pen) * side / 28
    whole = int(np.ceil(reach))
    y, x = np.mgrid[-whole : whole + 1, -whole : whole + 1]
    grow = ndimage.grey_dilation if pen > 0 else ndimage.grey_erosion
    ink = grow(ink, footprint=x**2 + y**2 <= reach**2)
    drawn = np.zeros(sheet)
    top, left = (int(random.integers(0, size - side + 1)) for size in sheet)
    drawn[top : top + side, left : left + side] = ink
    return np.repeat((255 - 255 * drawn).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
