"""The API over HTTP: a real model in a real registry, served by the real command."""

import asyncio
import contextlib
import gzip
import io
import json
import socket
import sqlite3
import threading
import zipfile
from types import SimpleNamespace

import httpx
import keras
import numpy as np
import pytest
import tensorflow as tf
from faults import Server
from PIL import Image
from projects import here
from serving_project import (
    NAME,
    Project,
    draw,
    free_port,
    png,
    resident_bytes,
    wait_for,
)

from mnist_cnn.datasets import mnist
from mnist_cnn.serving import inference
from mnist_cnn.serving.champion import Watcher, _test_scores
from mnist_cnn.serving.inference import Batcher, Predictor
from mnist_cnn.serving.refusal import Refusal
from mnist_cnn.serving.server import allow_files

AS_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def few():
    return mnist().first(300).train()


def predict(served, content, kind="application/json", **headers):
    body = content if isinstance(content, bytes) else json.dumps(content)
    headers = {"content-type": kind} | headers
    return httpx.post(f"{served.address}/api/predict", content=body, headers=headers, timeout=60)


def levels(images):
    return np.rint(255 * images[..., 0]).astype(int).tolist()


def healthy(version):
    return {"status": "ok", "name": NAME, "version": version, "problem": None}


def test_a_batch_of_arrays_is_classified(served, few):
    answer = predict(served, {"images": levels(few.x)}).json()
    read = [one["digit"] for one in answer["predictions"]]
    assert np.mean(np.array(read) == few.y) > 0.9
    first = answer["predictions"][0]
    assert len(first["probabilities"]) == 10
    assert sum(first["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert first["confidence"] == max(first["probabilities"])
    assert answer["number"] is None
    assert (answer["name"], answer["version"]) == (NAME, "1")


def test_a_single_array_gives_the_same_as_in_a_batch_and_in_either_range(served, few):
    batch = predict(served, {"images": levels(few.x[:9])}).json()["predictions"]
    single = predict(served, {"image": levels(few.x[4:5])[0]}).json()["predictions"]
    shares = predict(served, {"image": few.x[4, ..., 0].tolist(), "maximum": 1}).json()
    for one in (single[0], shares["predictions"][0]):
        assert one["probabilities"] == pytest.approx(batch[4]["probabilities"], abs=1e-3)


def test_shares_of_ink_without_their_maximum_are_not_guessed(served, few):
    """Read as levels of 255, they would be blank, and get some digit without a word."""
    for image in (few.x[4, ..., 0].tolist(), (few.x[4, ..., 0] > 0.5).astype(int).tolist()):
        answer = predict(served, {"image": image})
        assert answer.status_code == 422 and '"maximum": 1' in answer.json()["detail"]
        for maximum in (1, 255):
            assert predict(served, {"image": image, "maximum": maximum}).status_code == 200
    assert predict(served, {"image": np.zeros((28, 28)).tolist()}).status_code == 200


def test_json_may_begin_with_a_byte_order_mark(served, few):
    """As PowerShell writes it."""
    body = b"\xef\xbb\xbf" + json.dumps({"image": levels(few.x[:1])[0]}).encode()
    assert predict(served, body).status_code == 200


def test_a_form_and_a_compressed_body_are_told_what_to_do(served):
    picture = png(Image.new("RGB", (30, 20), "white"))
    url = f"{served.address}/api/predict"
    as_curl_sends = picture.replace(b"\r", b"").replace(b"\n", b"")
    form = {"content-type": "application/x-www-form-urlencoded"}
    for answer in (
        httpx.post(url, files={"file": ("three.png", picture, "image/png")}),
        httpx.post(url, content=as_curl_sends, headers=form),
    ):
        assert answer.status_code == 415 and "--data-binary" in answer.json()["detail"]
    answer = httpx.post(url, content=gzip.compress(picture), headers={"content-encoding": "gzip"})
    assert answer.status_code == 415 and "compressed" in answer.json()["detail"]
    answer = httpx.post(url)
    assert answer.status_code == 415 and "empty" in answer.json()["detail"]
    # What is a picture is read, whatever it is called.
    assert httpx.post(url, content=picture, headers=form).status_code == 200


def test_a_picture_of_several_digits_is_read_as_a_number(served, few):
    random = np.random.default_rng(0)
    line = [draw(image, 130, 0.2, random, (220, 170)) for image in few.x[:6, ..., 0]]
    picture = Image.fromarray(np.concatenate(line, axis=1))
    answer = predict(served, png(picture), "image/png").json()
    assert answer["number"] == "".join(str(one["digit"]) for one in answer["predictions"])
    right = sum(int(a) == b for a, b in zip(answer["number"], few.y[:6], strict=True))
    assert right >= 5
    lefts = [one["box"]["left"] for one in answer["predictions"]]
    assert lefts == sorted(lefts) and all(0 <= left < picture.width for left in lefts)
    # The model's input can be sent back as an array, with the same result.
    first = answer["predictions"][0]
    again = predict(served, {"image": first["pixels"]}).json()["predictions"][0]
    assert again["probabilities"] == pytest.approx(first["probabilities"], abs=2e-2)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_predict_and_the_page_agree_to_the_last_digit(served, few, tmp_path, form):
    sheet = np.concatenate(
        [draw(few.x[n, ..., 0], 150, 0, np.random.default_rng(n)) for n in (3, 5)], 1
    )
    Image.fromarray(sheet).save(tmp_path / "number", form)
    content = (tmp_path / "number").read_bytes()
    page = predict(served, content, "application/octet-stream").json()
    done = here("predict", str(tmp_path / "number"), "--json", cwd=served.root)
    (row,) = json.loads(done.stdout)
    assert row["label"] == page["number"] and len(row["label"]) == 2
    assert row["predictions"] == page["predictions"]


def test_blank_paper_has_no_number(served):
    answer = predict(served, png(Image.new("RGB", (300, 200), "white")), "image/png").json()
    assert answer["number"] == "" and answer["predictions"] == []


def test_boxes_are_in_pixels_of_the_picture_as_it_was_sent(served):
    sheet = Image.new("L", (3000, 1500), 255)
    sheet.paste(0, (2000, 300, 2060, 1200))
    (one,) = predict(served, png(sheet)).json()["predictions"]
    expected = {"left": 2000, "top": 300, "width": 60, "height": 900}
    assert one["box"] == pytest.approx(expected, abs=6)


def test_the_model_is_described_with_its_test_figures(served):
    info = httpx.get(f"{served.address}/api/model").json()
    assert info["version"] == "1" and info["name"] == "digit_recog_mnist_cnn"
    assert info["test_accuracy"] == 0.96 and info["test_loss"] is None
    assert info["input_shape"] == [28, 28, 1] and "Test" in info["card"]
    assert served.health() == healthy("1")


def test_a_version_is_described_with_the_test_of_its_own_model():
    """Its run may have got another model since. Versions of older releases have no such tags."""
    run = SimpleNamespace(data=SimpleNamespace(metrics={"test_accuracy": 0.5}))
    client = SimpleNamespace(get_run=lambda run_id: run)
    own = SimpleNamespace(run_id="1", tags={"test_accuracy": "0.9", "test_loss": "somebody's"})
    older = SimpleNamespace(run_id="1", tags={})
    assert _test_scores(client, own) == {"test_accuracy": 0.9}
    assert _test_scores(client, older) == {"test_accuracy": 0.5}


def test_pages_load_nothing_from_other_servers(served):
    for path in ("/", "/docs"):
        page = httpx.get(served.address + path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "access-control-allow-origin" not in page.headers
        assert page.headers["cache-control"] == "no-cache"  # an update shows at once
        assert "http://" not in page.text.replace("http://<span", "")
        assert "https://" not in page.text and "<script>" not in page.text
    assert "/api/predict" in httpx.get(f"{served.address}/openapi.json").json()["paths"]


@contextlib.contextmanager
def constant_load(app, few):
    """Four clients keep sending requests. Yields the versions that answered; fails on an error."""
    body, problems, seen = json.dumps({"image": levels(few.x[:1])[0]}), [], []
    stop = threading.Event()

    def ask():
        with httpx.Client(timeout=60) as client:
            while not stop.wait(0.02):
                answer = client.post(f"{app.address}/api/predict", content=body, headers=AS_JSON)
                if answer.status_code != 200:
                    problems.append(answer.text)
                seen.append(answer.json().get("version"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []


def bomb(model):
    """The model's file with weights that unpack to 300 MiB."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(model) as whole,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name in ("metadata.json", "config.json"):
            archive.writestr(name, whole.read(name))
        with archive.open("model.weights.h5", "w", force_zip64=True) as weights:
            for _ in range(300):
                weights.write(bytes(2**20))
    return file.getvalue()


def test_the_app_follows_the_registry(tmp_path, digit_model, few):
    """No champion, a first one, a second under load, a rollback, two bad ones, no registry."""
    project = Project(tmp_path)
    with project.served() as app:
        assert not project.database.exists()  # checking for a champion creates no registry
        answer = predict(app, {"image": np.zeros((28, 28)).tolist()})
        assert answer.status_code == 503
        assert "make search" in answer.json()["detail"] and "make promote" in answer.text
        assert httpx.get(f"{app.address}/api/model").status_code == 503
        assert app.health()["status"] == "no champion"
        assert httpx.get(app.address).status_code == 200
        project.promote(digit_model)
        wait_for(lambda: app.health()["status"] == "ok", 60)

        with constant_load(app, few) as seen:
            project.promote(digit_model)
            wait_for(lambda: seen and seen[-1] == "2", 60)
        assert set(seen) == {"1", "2"}
        assert httpx.get(f"{app.address}/api/model").json()["version"] == "2"

        # Back to the first one, as `mnist-cnn rollback` does.
        project.set_champion("1")
        wait_for(lambda: app.health() == healthy("1"), 60)

        project.promote(digit_model, file=digit_model.read_bytes()[:1000])
        wait_for(lambda: app.health()["status"] == "degraded", 60)
        assert "version 3 cannot be served" in app.health()["problem"]
        assert app.health()["version"] == "1"
        assert predict(app, {"image": levels(few.x[:1])[0]}).json()["version"] == "1"

        before = resident_bytes(app.process)
        project.promote(digit_model, file=bomb(digit_model))
        wait_for(lambda: "version 4 cannot be served" in app.health()["problem"], 60)
        assert resident_bytes(app.process) - before < 200 * 2**20
        assert predict(app, {"image": levels(few.x[:1])[0]}).json()["version"] == "1"

        hidden = project.database.with_suffix(".away")
        project.database.rename(hidden)
        wait_for(lambda: "no registry" in app.health()["problem"], 20)
        assert predict(app, {"image": levels(few.x[:1])[0]}).json()["version"] == "1"
        project.database.write_bytes(b"this is no database" * 100)
        wait_for(lambda: "not a database" in app.health()["problem"], 20)
        assert predict(app, {"image": levels(few.x[:1])[0]}).json()["version"] == "1"
        hidden.rename(project.database)
        project.set_champion("1")
        wait_for(lambda: app.health()["status"] == "ok", 20)
    assert "Traceback" not in project.log()


@pytest.mark.slow
def test_a_registry_on_a_server_may_go_away_and_come_back(tmp_path, digit_model, few):
    project = Project(tmp_path)
    project.promote(digit_model)
    (tmp_path / "server.db").symlink_to(project.database)
    server = Server(tmp_path)
    server.start()
    try:
        with project.served(MLFLOW_TRACKING_URI=server.uri) as app:
            assert app.health() == healthy("1")
            with constant_load(app, few) as seen:
                server.kill()
                wait_for(lambda: app.health()["status"] == "degraded", 60)
            assert f"MLflow at {server.uri} cannot be reached" in app.health()["problem"]
            assert set(seen) == {"1"}
            project.promote(digit_model)
            server.start()
            wait_for(lambda: app.health()["status"] == "ok", 60)
            assert app.health()["version"] == "2"
    finally:
        server.kill()
    assert "Traceback" not in project.log()


def test_a_database_that_a_search_is_creating_is_left_alone(tmp_path, monkeypatch):
    """MLflow creates its tables when it connects, which would disturb the search."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    database = tmp_path / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    for begun in (
        "CREATE TABLE experiments (id)",
        "CREATE TABLE registered_model_aliases (alias, version, name)",
    ):
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute(begun)
        before = database.read_bytes()
        watcher = Watcher()
        watcher.look()
        assert (watcher.champion, watcher.problem) == (None, None)
        assert database.read_bytes() == before


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A project, which is the current folder."""
    project = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return project


def called(project, name):
    """Give the registered model another name, with its versions and its champion."""
    client = project.client()
    client.rename_registered_model(NAME, name)
    client.set_registered_model_alias(name, "champion", "1")


def test_the_model_that_is_served_stays_the_same_one(registry, digit_model):
    """Although the name of MNIST's model would now be preferred, and two would be ambiguous."""
    registry.promote(digit_model)
    called(registry, "my_digits")
    watcher = Watcher()
    watcher.look()
    assert watcher.champion.info.name == "my_digits"
    registry.promote(digit_model)
    watcher.look()
    assert (watcher.champion.info.name, watcher.problem) == ("my_digits", None)
    called(registry, "others")
    watcher.look()
    assert (watcher.champion.info.name, watcher.problem) == ("my_digits", None)


def test_a_damaged_registry_is_one_line(registry):
    registry.database.write_bytes(b"this is no database" * 100)
    done = here("serve", "--port", str(free_port()), cwd=registry.root)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("mnist-cnn: MLflow at sqlite:///") and "not a database" in line


def test_a_model_of_digits_in_colour_reads_drawings(registry, digit_model, few, tmp_path):
    grey = keras.models.load_model(digit_model)
    inputs = keras.Input((28, 28, 3))
    keras.Model(inputs, grey(inputs[..., :1])).save(tmp_path / "colour.keras")
    registry.promote(tmp_path / "colour.keras")
    sheet = draw(few.x[3, ..., 0], 150, 0, np.random.default_rng(3))
    Image.fromarray(sheet).save(tmp_path / "number.png")
    done = here("predict", "number.png", "--json", cwd=registry.root)
    (row,) = json.loads(done.stdout)
    assert row["label"] == str(few.y[3])
    assert np.shape(row["predictions"][0]["pixels"]) == (28, 28, 3)


def test_a_model_of_four_channels_takes_no_pictures(registry, tmp_path):
    inputs = keras.Input((8, 8, 4))
    outputs = keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(inputs))
    keras.Model(inputs, outputs).save(tmp_path / "four.keras")
    registry.promote(tmp_path / "four.keras")
    called(registry, "satellite")
    Image.new("RGB", (8, 8)).save(tmp_path / "map.png")
    done = here("predict", "map.png", cwd=registry.root)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "map.png cannot be read: the model takes images of 4 channels" in line


class SizesOfBatches:
    """In place of a model: notes the sizes of the batches for which it is traced."""

    def __init__(self, side):
        self.input_shape, self.sizes = (None, side, side, 1), []

    def __call__(self, images, training):
        self.sizes.append(images.shape[0])
        return tf.reduce_mean(images, axis=(1, 2))


@pytest.mark.parametrize(("side", "largest"), [(28, 128), (256, 8), (4000, 1)])
def test_large_images_are_classified_a_few_at_a_time(side, largest):
    model = SizesOfBatches(side)
    predictor = Predictor(model)
    assert max(model.sizes) == largest
    assert predictor(np.ones((3, side, side, 1), np.float32)).tolist() == [[1], [1], [1]]


def test_large_images_wait_in_bounded_memory(monkeypatch):
    images = np.zeros((2, 100, 100, 1), np.float32)
    monkeypatch.setattr(inference, "MAX_WAITING_BYTES", 3 * images[0].nbytes)
    free = threading.Event()

    def predictor(images):
        assert free.wait(60)
        return np.zeros((len(images), 2), np.float32)

    async def ask():
        batcher = Batcher()
        waiting = []
        for _ in range(2):  # the first one is taken at once
            waiting.append(asyncio.create_task(batcher.predict(predictor, images)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        with pytest.raises(Refusal, match="too many images"):
            await batcher.predict(predictor, images)
        free.set()
        answers = await asyncio.gather(*waiting)
        batcher.close()
        return [len(answer) for answer in answers]

    assert asyncio.run(ask()) == [2, 2]


def test_a_port_in_use_is_one_line(tmp_path):
    Project(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        done = here("serve", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert str(port) in line and f"PORT={port + 1}" in line


def test_a_thousand_simultaneous_requests_each_get_their_own_answer(served, few):
    """1,000 connections; all send their request before the first answer is read."""
    allow_files(2048)
    bodies = [json.dumps({"image": one}).encode() for one in levels(few.x)]
    expected = predict(served, {"images": levels(few.x)}).json()["predictions"]
    head = f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"

    async def ask_all():
        connections = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(1000)]
        for index, (_, writer) in enumerate(connections):
            body = bodies[index % len(bodies)]
            writer.write(head.format(len(body)).encode() + body)
        answers = await asyncio.gather(*(reader.read() for reader, _ in connections))
        for _, writer in connections:
            writer.close()
        return answers

    for index, answer in enumerate(asyncio.run(ask_all())):
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        (one,) = json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]
        assert one["digit"] == expected[index % len(bodies)]["digit"]


def test_a_problem_that_everybody_can_read_has_no_password(monkeypatch):
    def lost(watcher):
        raise OSError("lost postgresql://ada:hunter2@host/db")

    monkeypatch.setattr(Watcher, "_look", lost)
    watcher = Watcher()
    watcher.look()
    assert watcher.problem == "OSError: lost postgresql://***@host/db"
