"""The API over HTTP: a real model in a real registry, served by the real command."""

import concurrent.futures
import json
import socket
import subprocess
import sys
import threading

import httpx
import numpy as np
import pytest
from PIL import Image
from serving_project import Project, draw, free_port, png, wait_for

from mnist_cnn.datasets import mnist


@pytest.fixture(scope="module")
def few():
    return mnist().first(300).train()


def predict(served, content, kind="application/json", **headers):
    body = content if isinstance(content, bytes) else json.dumps(content)
    headers = {"content-type": kind} | headers
    return httpx.post(f"{served.address}/api/predict", content=body, headers=headers, timeout=60)


def levels(images):
    return np.rint(255 * images[..., 0]).astype(int).tolist()


def test_a_batch_of_arrays_is_read(served, few):
    answer = predict(served, {"images": levels(few.x)}).json()
    read = [one["digit"] for one in answer["predictions"]]
    assert np.mean(np.array(read) == few.y) > 0.9
    first = answer["predictions"][0]
    assert len(first["probabilities"]) == 10
    assert sum(first["probabilities"]) == pytest.approx(1, abs=1e-3)
    assert first["confidence"] == max(first["probabilities"])
    assert answer["number"] is None and answer["version"] == "1"


def test_one_array_reads_as_in_a_batch_and_in_either_range(served, few):
    batch = predict(served, {"images": levels(few.x[:9])}).json()["predictions"]
    single = predict(served, {"image": levels(few.x[4:5])[0]}).json()["predictions"]
    shares = predict(served, {"image": few.x[4, ..., 0].tolist(), "maximum": 1}).json()
    for one in (single[0], shares["predictions"][0]):
        assert one["probabilities"] == pytest.approx(batch[4]["probabilities"], abs=1e-3)


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
    # What it saw can be sent back as an array, and is read the same.
    first = answer["predictions"][0]
    again = predict(served, {"image": first["pixels"]}).json()["predictions"][0]
    assert again["probabilities"] == pytest.approx(first["probabilities"], abs=2e-2)


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
    assert served.health() == {"status": "ok", "version": "1", "problem": None}


def test_pages_fetch_nothing_from_elsewhere(served):
    for path in ("/", "/docs"):
        page = httpx.get(served.address + path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "access-control-allow-origin" not in page.headers
        assert "http://" not in page.text.replace("http://<span", "")
        assert "https://" not in page.text and "<script>" not in page.text
    assert "/api/predict" in httpx.get(f"{served.address}/openapi.json").json()["paths"]


def test_a_new_champion_takes_over_without_a_failed_request(tmp_path, digit_model, few):
    project = Project(tmp_path)
    project.promote(digit_model)
    body = json.dumps({"image": levels(few.x[:1])[0]})
    with project.served() as app:
        seen, problems, stop = [], [], threading.Event()

        def ask():
            with httpx.Client() as client:
                while not stop.is_set():
                    answer = client.post(
                        f"{app.address}/api/predict",
                        content=body,
                        headers={"content-type": "application/json"},
                        timeout=30,
                    )
                    if answer.status_code != 200:
                        problems.append(answer.text)
                    seen.append(answer.json().get("version"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            version = project.promote(digit_model)
            wait_for(lambda: app.health()["version"] == version, 60)
            wait_for(lambda: seen[-1] == version, 10)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert problems == []
        assert set(seen) == {"1", version}
        assert httpx.get(f"{app.address}/api/model").json()["version"] == version

        # Back to the first, as `mnist-cnn rollback` does; then the registry goes away.
        project.set_champion("1")
        wait_for(lambda: app.health()["version"] == "1", 60)
        hidden = project.database.with_suffix(".away")
        project.database.rename(hidden)
        try:
            wait_for(lambda: app.health()["status"] == "degraded", 20)
            assert "no registry" in app.health()["problem"]
            assert predict(app, json.loads(body)).status_code == 200
        finally:
            hidden.rename(project.database)
        wait_for(lambda: app.health()["status"] == "ok", 20)


def test_without_a_champion_the_app_says_what_to_type_and_waits_for_one(tmp_path, digit_model):
    project = Project(tmp_path)
    with project.served() as app:
        assert not project.database.exists()  # looking makes no registry
        answer = predict(app, {"image": np.zeros((28, 28)).tolist()})
        assert answer.status_code == 503
        assert "make search" in answer.json()["detail"] and "make promote" in answer.text
        assert httpx.get(f"{app.address}/api/model").status_code == 503
        assert app.health()["status"] == "no champion"
        assert httpx.get(app.address).status_code == 200
        project.promote(digit_model)
        wait_for(lambda: app.health()["status"] == "ok", 60)

        # A version whose file is damaged is not taken over, and /healthz says why.
        project.promote(digit_model, damaged=True)
        wait_for(lambda: app.health()["status"] == "degraded", 60)
        assert "version 2 cannot be served" in app.health()["problem"]
        assert app.health()["version"] == "1"
    assert "Traceback" not in project.log()


def test_a_port_in_use_is_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "mnist_cnn", "serve", "--port", str(port)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert str(port) in line and f"PORT={port + 1}" in line


def test_many_requests_at_once_are_answered_each_with_its_own(served, few):
    """1,000 at once, over 100 connections."""
    bodies = [json.dumps({"image": one}) for one in levels(few.x)]
    expected = predict(served, {"images": levels(few.x)}).json()["predictions"]
    limits = httpx.Limits(max_connections=100)
    with (
        httpx.Client(limits=limits, timeout=60) as client,
        concurrent.futures.ThreadPoolExecutor(100) as pool,
    ):
        answers = pool.map(
            lambda index: client.post(
                f"{served.address}/api/predict",
                content=bodies[index % len(bodies)],
                headers={"content-type": "application/json"},
            ),
            range(1000),
        )
        for index, answer in enumerate(answers):
            assert answer.status_code == 200
            (one,) = answer.json()["predictions"]
            assert one["digit"] == expected[index % len(bodies)]["digit"]


pytestmark = pytest.mark.slow
