"""Access by token: programs, the form, links, and what the command says about access."""

import concurrent.futures
import functools
import re
import socket

import httpx
import pytest
from serving_project import Project, in_thread, started

from mnist_cnn.serving.app import create_app
from mnist_cnn.serving.champion import Watcher

TOKEN = "Open+Sesame/7~=&%"
BEARER = {"authorization": f"Bearer {TOKEN}"}
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PATHS = ["/", "/docs", "/openapi.json", "/healthz", "/api/model", "/static/app.js", "/nothing"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("token"))


@pytest.fixture(scope="module")
def guarded(project):
    """The app with a token, without a champion."""
    with project.served(MNIST_CNN_TOKEN=TOKEN) as app:
        yield app


def get(app, path="/healthz", **options):
    return httpx.get(app.address + path, timeout=60, **options)


def refused(answer):
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "set-cookie" not in answer.headers
    assert TOKEN not in answer.text
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(guarded, path):
    for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
        answer = refused(httpx.request(method, guarded.address + path, timeout=60))
        if method != "HEAD":
            assert answer.json().keys() == {"detail"}
    assert get(guarded, path, headers=BEARER).status_code in (200, 404, 503)


def test_predictions_need_the_token(guarded):
    url = f"{guarded.address}/api/predict"
    refused(httpx.post(url, content=b"{}"))
    refused(httpx.post(url, content=bytes(50 * 2**20), timeout=60))  # not read
    assert httpx.post(url, json={"image": []}, headers=BEARER).status_code == 503  # no champion


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.lower()}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer Gr\u00f6\u00dfe".encode(),
        b"Bearer \xff\xfe",
    ],
)
def test_a_wrong_token_is_refused(guarded, authorization):
    refused(get(guarded, headers={"authorization": authorization}))


def test_the_scheme_may_be_in_any_case(guarded):
    for scheme in ("bearer", "BEARER"):
        headers = {"authorization": f"{scheme}  {TOKEN}"}
        assert get(guarded, headers=headers).status_code == 503


def test_the_form_and_the_link_give_a_cookie(guarded):
    for enter in (
        lambda client: client.post("/", data={"token": TOKEN}, headers=BROWSER),
        lambda client: client.get("/", params={"token": TOKEN}, headers=BROWSER),
    ):
        with httpx.Client(base_url=guarded.address, timeout=60) as client:
            form = refused(client.get("/", headers=BROWSER))
            assert '<form method="post" action="/">' in form.text
            assert 'role="alert"' not in form.text
            answer = enter(client)
            assert answer.status_code in (200, 303)
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Path=/" in cookie
            assert TOKEN not in cookie and TOKEN not in answer.text
            assert client.get("/healthz").status_code == 503  # in, but no champion
            assert "<title>Draw a number" in client.get("/", headers=BROWSER).text


def test_a_wrong_form_or_link_shows_the_form_again(guarded):
    for answer in (
        httpx.post(guarded.address, data={"token": "wrong"}, headers=BROWSER),
        httpx.post(guarded.address, data={"other": TOKEN}, headers=BROWSER),
        httpx.post(guarded.address, content=b"\xff\xfe", headers=BROWSER),
        httpx.post(guarded.address, content=b"a=&" * 100, headers=BROWSER),
        get(guarded, "/", params={"token": "wrong"}, headers=BROWSER),
        get(guarded, "/", params={"token": ""}, headers=BROWSER),
    ):
        assert '<p role="alert">' in refused(answer).text
    answer = httpx.post(guarded.address, content=b"token=" + bytes(5000))
    assert answer.status_code == 413
    refused(get(guarded, "/docs", params={"token": TOKEN}))  # only the page itself takes it


def test_cookies_are_of_this_app_only(guarded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the other app finds no champion

    def cookie(app):
        return httpx.post(app.address, data={"token": TOKEN}).cookies[name(app)]

    def name(app):
        return f"mnist_cnn_{app.port}"

    first = cookie(guarded)
    assert first == cookie(guarded) and len(first) == 64
    with in_thread(create_app(Watcher(), "127.0.0.1", TOKEN)) as app:
        assert cookie(app) != first
        refused(get(app, cookies={name(app): first}))
        with httpx.Client(timeout=60) as browser:  # signed in to both at a time
            for one in (app, guarded):
                browser.post(one.address, data={"token": TOKEN})
            for one in (app, guarded):
                assert browser.get(f"{one.address}/healthz").status_code == 503
    refused(get(guarded, cookies={name(guarded): TOKEN}))
    refused(get(guarded, cookies={name(guarded): ""}))


def test_foreign_pages_gain_nothing(guarded):
    """Neither by a form of theirs nor by a host name that points here."""
    foreign = {"origin": "http://evil.example"}
    answer = httpx.post(guarded.address, data={"token": TOKEN}, headers=foreign)
    assert answer.status_code == 403
    rebound = {"host": "evil.example", "origin": "http://evil.example"}
    refused(get(guarded, headers=rebound))
    # With the token any name is fine, as that of a proxy.
    assert get(guarded, headers=rebound | BEARER).status_code == 503


def test_guessing_is_slow_and_delays_nobody_else(guarded):
    """32 guesses a second: of 200 at once, most are not even compared."""
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        wrong = {"authorization": "Bearer guess"}
        guesses = [pool.submit(get, guarded, headers=wrong) for _ in range(200)]
        assert get(guarded, headers=BEARER).status_code == 503
        statuses = [guess.result().status_code for guess in guesses]
    assert set(statuses) == {401, 429}


def test_the_token_is_in_no_output(project, guarded):
    """Whatever was asked before, by all the tests of this file."""
    get(guarded, f"/{TOKEN}", headers=BEARER)
    httpx.post(f"{guarded.address}/api/predict", content=TOKEN, headers=BEARER)
    assert TOKEN not in project.log()
    assert "Traceback" not in project.log()


@pytest.fixture
def start(tmp_path):
    """Starts the app up to the point where it would listen: what it printed, and the app."""
    return functools.partial(started, Project(tmp_path).root)


@pytest.mark.parametrize("token", ["", " ", "two words", "Gr\u00f6\u00dfe", "line\nbreak"])
def test_a_token_that_cannot_be_used_is_one_line(start, token):
    for (done, _), place in (
        (start("--token", token), "--token"),
        (start(MNIST_CNN_TOKEN=token), "MNIST_CNN_TOKEN"),
    ):
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith(f"mnist-cnn: {place} ")
        assert not token.strip() or token not in line


@pytest.mark.parametrize(
    "host", ["", "[::1]", "nothing.invalid", "203.0.113.5", "a" * 300, "300.1.1.1"]
)
def test_a_host_that_cannot_be_used_is_one_line(start, host):
    done, _ = start("--host", host)
    assert done.returncode in (1, 2) and done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert "127.0.0.1" in line and "0.0.0.0" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_open_app_says_so(start, host):
    if host == "::" and not socket.has_ipv6:
        pytest.skip("no IPv6")
    done, _ = start("--host", host)
    (line,) = re.findall("warning: .*", done.stdout)
    assert "without login or encryption" in line and "--token" in line
    done, _ = start("--host", host, "--token", "secret-1")
    (line,) = re.findall("warning: .*", done.stdout)
    assert "no encryption" in line and "secret-1" not in done.stdout


def test_a_local_app_warns_of_nothing(start):
    done, _ = start()
    assert "draw a digit on http://127.0.0.1:" in done.stdout and "warning" not in done.stdout


def test_the_option_wins_over_the_variable(start):
    _, app = start("--token", "one", MNIST_CNN_TOKEN="two")
    with in_thread(app) as one:
        assert get(one, headers={"authorization": "Bearer one"}).status_code == 503
        refused(get(one, headers={"authorization": "Bearer two"}))
