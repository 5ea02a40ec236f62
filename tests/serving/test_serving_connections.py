"""Real sockets against the real server: clients that do not read, do not stop, or do not close."""

import concurrent.futures
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from serving_project import Project, impatient, png, resident_bytes, wait_for

GET = b"GET /static/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
MIB = 2**20


def connect(served, receive_buffer=None):
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(60)
    client.connect(("127.0.0.1", served.port))
    return client


def send_without_reading(client):
    """Send requests until the server reads no more."""
    client.settimeout(0.5)
    with contextlib.suppress(OSError):  # a timeout, or it has disconnected already
        while True:
            client.sendall(200 * GET)


def ports_of_held_clients(served):
    """The ports of the clients for whose connections the server or its kernel keeps resources."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    established, fin_wait_1, close_wait, last_ack = "01", "04", "08", "09"
    return {
        int(remote.partition(":")[2], 16)
        for _, local, remote, state, *_ in rows
        if local.endswith(f":{served.port:04X}")
        and state in (established, fin_wait_1, close_wait, last_ack)
    }


def test_clients_that_do_not_read_hold_no_connection(tmp_path, capfd):
    """Whatever the state in which they stop. They stay connected and never read or close."""
    with impatient(tmp_path) as app:
        clients = clients_that_do_not_read(app)
        ports = {name: client.getsockname()[1] for name, client in clients.items()}

        def held():
            at_the_server = ports_of_held_clients(app)
            return [name for name, port in ports.items() if port in at_the_server]

        with contextlib.suppress(AssertionError):
            wait_for(lambda: not held(), 60)
        assert held() == []
        assert httpx.get(f"{app.address}/static/app.js").status_code == 200
    lines = "".join(capfd.readouterr()).splitlines()
    assert len(lines) == 2  # where it is, and no line for each of them
    for client in clients.values():
        client.close()


def clients_that_do_not_read(served):
    """Connections, by the state in which they have stopped."""
    requests = {
        "nothing": b"",
        "part of a head": GET[:30],
        "part of a body": POST + b"Content-Length: 1000\r\n\r\n{",
        "part of a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "waits for 100": POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        "waits for 413": POST + b"Content-Length: 99999999\r\n\r\n",
        "keep-alive": GET,
        "close": GET[:-2] + b"Connection: close\r\n\r\n",
        "HTTP/1.0": GET.replace(b"1.1", b"1.0"),
        "websocket upgrade": GET[:-2] + UPGRADE + b"\r\n",
        "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "not HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    }
    clients = {}
    for name, request in requests.items():
        clients[name] = connect(served)
        clients[name].sendall(request)
        clients[f"{name}, tiny window"] = connect(served, receive_buffer=2048)
        clients[f"{name}, tiny window"].sendall(request)
        clients[f"{name}, half-closed"] = connect(served)
        clients[f"{name}, half-closed"].sendall(request)
        clients[f"{name}, half-closed"].shutdown(socket.SHUT_WR)
    pipelining = [connect(served) for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(len(pipelining)) as pool:
        list(pool.map(send_without_reading, pipelining))
    return clients | {f"pipelined {number}": one for number, one in enumerate(pipelining)}


def test_a_client_that_pipelines_requests_takes_no_memory(served):
    """It sends at full speed, a hundred times as fast as it gets responses, which it reads."""
    before = resident_bytes(served.process)
    client = connect(served)

    def send():
        with contextlib.suppress(OSError):
            while True:
                client.sendall(1000 * GET)

    sender = threading.Thread(target=send)
    sender.start()
    received = 0
    while received < 10 * MIB:
        received += len(client.recv(MIB))
    assert resident_bytes(served.process) - before < 60 * MIB
    client.shutdown(socket.SHUT_RDWR)
    sender.join()
    client.close()


def test_pipelined_requests_are_all_answered(served):
    client = connect(served)
    client.sendall(1000 * GET)  # more than the server's buffer takes
    client.shutdown(socket.SHUT_WR)
    received = b"".join(iter(lambda: client.recv(MIB), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 1000


def exchange(served, head, body=b""):
    """Send all of the request, then read to the end of the response: its status and its text."""
    client = connect(served)
    client.sendall(head)
    for start in range(0, len(body), MIB):
        client.sendall(body[start : start + MIB])
    client.shutdown(socket.SHUT_WR)
    received = b"".join(iter(lambda: client.recv(MIB), b""))
    client.close()
    head, _, text = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), text.decode()


def chunked(body):
    return b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


LARGE = bytes(20 * MIB)  # twice as much as the app takes


@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=["1.1", "1.0"])
@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n"], ids=["keep", "close"])
def test_a_client_that_sends_too_much_gets_the_reason(served, version, headers):
    head = POST.replace(b"1.1", version) + headers
    length = b"Content-Length: %d\r\n\r\n" % len(LARGE)
    status, text = exchange(served, head + length, LARGE)
    assert status == 413
    assert json.loads(text) == {"detail": "the body is larger than 10 MiB"}


@pytest.mark.parametrize("headers", [b"", b"Connection: close\r\n"], ids=["keep", "close"])
def test_a_client_that_sends_too_much_in_chunks_gets_the_reason(served, headers):
    head = POST + headers + b"Transfer-Encoding: chunked\r\n\r\n"
    status, text = exchange(served, head, chunked(LARGE))
    assert status == 413
    assert json.loads(text) == {"detail": "the body is larger than 10 MiB"}


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + b"Origin: http://evil.example\r\n", 403),
        (POST.replace(b"localhost", b"evil.example"), 403),
        (POST.replace(b"/api/predict", b"/nothing"), 404),
        (POST.replace(b"/api/predict", b"/healthz"), 405),
    ],
    ids=["origin", "host", "path", "method"],
)
def test_other_refusals_reach_a_client_that_is_still_sending(served, head, status):
    head += b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
    assert exchange(served, head, LARGE)[0] == status


@pytest.mark.parametrize(
    "head",
    [
        POST + b"A: " + bytes(MIB).replace(b"\0", b"a"),
        POST + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
        POST + b"Content-Length: many\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    ],
    ids=["head of 1 MiB", "bad chunk", "bad length", "TLS"],
)
def test_invalid_http_is_answered_while_the_client_is_still_sending(served, head):
    status, text = exchange(served, head, LARGE)
    assert status == 400
    assert "Invalid HTTP request received." in text


def test_httpx_gets_the_reason_in_every_way_of_sending(served):
    def pieces():
        for _ in range(20):
            yield bytes(MIB)

    url = f"{served.address}/api/predict"
    for headers in ({}, {"connection": "close"}):
        for content in (LARGE, pieces()):
            answer = httpx.post(url, content=content, headers=headers, timeout=60)
            assert answer.status_code == 413
            assert answer.json() == {"detail": "the body is larger than 10 MiB"}
    with httpx.Client() as client:  # the pool notices that the connection is closed
        assert client.post(url, content=LARGE, timeout=60).status_code == 413
        assert client.get(f"{served.address}/healthz").status_code == 200


def test_a_client_that_asks_before_it_sends_is_told_at_once(served):
    for length, status in ((99_999_999, b"413"), (2, b"100")):
        client = connect(served)
        client.sendall(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length)
        assert client.recv(100).startswith(b"HTTP/1.1 " + status)
        client.close()


def test_a_client_that_never_stops_sending_is_disconnected(served):
    client = connect(served)
    client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"%x\r\n" % MIB + bytes(MIB) + b"\r\n"
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        for _ in range(2000):
            client.sendall(chunk)


def test_slow_clients_are_disconnected_and_delay_nobody(tmp_path):
    """Some send nothing, some a part of the head, some a part of the body."""
    with impatient(tmp_path) as app:
        slow = []
        for sent in (b"", POST, POST + b"Content-Length: 9000000\r\n\r\n\x89PNG"):
            for _ in range(100):
                slow.append(connect(app))
                slow[-1].sendall(sent)
        # Its body is read, and there is no champion.
        answer = httpx.post(f"{app.address}/api/predict", json={"image": []}, timeout=30)
        assert answer.status_code == 503
        answers = []
        for client in slow:
            answers.append(client.recv(4000))
            client.close()
    assert answers[:200] == [b""] * 200  # disconnected
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers[200:])


def test_a_half_closed_client_gets_its_answer(served):
    """As `nc -N` sends a request: it closes its side at once, and then reads."""
    picture = png(Image.fromarray(np.full((60, 60), 255, np.uint8)))
    head = POST + b"Content-Length: %d\r\n\r\n" % len(picture)
    status, text = exchange(served, head, picture)
    assert status == 200 and json.loads(text)["number"] == ""
    assert exchange(served, GET)[0] == 200


def test_more_connections_than_files_and_a_clean_end(tmp_path):
    """The server may open 300 files; 500 clients come, and one is being refused at the end."""
    project = Project(tmp_path)
    with project.served(files=300) as app:
        clients = [connect(app) for _ in range(500)]
        wait_for(lambda: len(ports_of_held_clients(app)) < 250, 60)
        for client in clients:
            client.close()
        wait_for(lambda: app.health()["status"] == "no champion", 60)
        refused = connect(app)
        refused.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n")
        assert refused.recv(100).startswith(b"HTTP/1.1 400")
        app.process.send_signal(signal.SIGINT)
        assert app.process.wait(20) == 130
        refused.close()
    assert re.fullmatch(r"no champion yet.*\ndraw a digit.*\n", project.log())


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--http1.0"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Connection: close", "--limit-rate", "20M"],
    ],
    ids=["plain", "1.0", "expect", "chunked", "slow"],
)
def test_curl_shows_the_reason(served, tmp_path, options):
    large = tmp_path / "large.bin"
    large.write_bytes(LARGE)
    url = f"{served.address}/api/predict"
    command = ["curl", "--silent", "--show-error", *options, "--data-binary", f"@{large}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"detail": "the body is larger than 10 MiB"}
