"""Hostile input: the answer is always a 4xx with one line, and the app goes on serving."""

import concurrent.futures
import io
import json
import re
import struct
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from serving_project import png, resident_bytes

GOOD = [[0] * 28] * 28
JSON = "application/json"


def post(served, body, kind="image/png", timeout=60.0, **headers):
    headers = {"content-type": kind} | headers
    return httpx.post(
        f"{served.address}/api/predict", content=body, headers=headers, timeout=timeout
    )


def refused(answer, *statuses):
    assert answer.status_code in statuses, answer.text
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and 5 < len(detail) < 200 and "\n" not in detail
    return detail


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width, height, data=b""):
    """A PNG whose header claims that size; `data` holds its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def animated():
    frames = [Image.new("L", (40, 40), level) for level in (0, 120, 255)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    return file.getvalue()


PICTURE = png(Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90), dtype=np.uint8)))
JPEG = io.BytesIO()
Image.new("RGB", (300, 300), "red").save(JPEG, "JPEG")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 415),
        (b"GIF89a" + bytes(100), 415),
        (b"<svg/>", 415),
        (b"\x89PNG\r\n\x1a\n", 400),
        (PICTURE[:200], 400),
        (PICTURE[:-30], 400),
        (PICTURE[:100] + bytes(50) + PICTURE[150:], 400),
        (JPEG.getvalue()[:400], 400),
        (b"\xff\xd8\xff" + bytes(500), 400),
        (png_claiming(60000, 60000, zlib.compress(bytes(10**6))), 413),
        (png_claiming(20000, 20000), 413),
        (png_claiming(0, 0), 400),
        (png_claiming(100, 100, zlib.compress(b"")), 400),
        (animated(), 415),
        (bytes(11 * 2**20), 413),
    ],
)
def test_bad_pictures(served, body, status):
    refused(post(served, body), status)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "transparent palette"]
)
def test_pictures_of_every_mode_are_read_or_refused(served, mode):
    if mode == "CMYK":
        picture, form = Image.new("CMYK", (60, 60)), "JPEG"
    elif mode == "transparent palette":
        picture, form = Image.new("P", (60, 60)), "PNG"
        picture.info["transparency"] = 0
    else:
        picture, form = Image.new(mode, (60, 60)), "PNG"
    file = io.BytesIO()
    picture.save(file, form)
    assert post(served, file.getvalue()).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("{", 400),
        ("[" * 100_000, 400),
        ('{"image": ' + "[" * 5000 + "]" * 5000 + "}", 400),
        (b'{"image": "\xff\xfe"}', 400),
        ("null", 422),
        ("[]", 422),
        ("{}", 422),
        (json.dumps({"image": GOOD, "images": [GOOD]}), 422),
        (json.dumps({"image": GOOD, "colour": 1}), 422),
        (json.dumps({"image": GOOD, "maximum": 7}), 422),
        (json.dumps({"image": GOOD, "maximum": True}), 422),
        (json.dumps({"image": GOOD, "maximum": [1]}), 422),
        (json.dumps({"image": None}), 422),
        (json.dumps({"image": "three"}), 422),
        (json.dumps({"images": []}), 422),
        (json.dumps({"images": {}}), 422),
        (json.dumps({"images": [GOOD[:27]]}), 422),
        (json.dumps({"images": [GOOD, GOOD[:27]]}), 422),
        (json.dumps({"image": [[0] * 27, *GOOD[1:]]}), 422),
        (json.dumps({"image": [["0"] * 28] * 28}), 422),
        (json.dumps({"image": [[True] * 28] * 28}), 422),
        (json.dumps({"image": [[None] * 28] * 28}), 422),
        (json.dumps({"image": [[float("nan")] * 28] * 28}), 422),
        (json.dumps({"image": [[float("inf")] * 28] * 28}), 422),
        (json.dumps({"image": [[-1] * 28] * 28}), 422),
        (json.dumps({"image": [[256] * 28] * 28}), 422),
        (json.dumps({"image": [[1.5] * 28] * 28, "maximum": 1}), 422),
        (json.dumps({"image": [[10**400] * 28] * 28}), 422),
        (json.dumps({"images": [[[0]]] * 1025}), 413),
    ],
    ids=range(30),
)
def test_bad_json(served, body, status):
    refused(post(served, body, JSON), status)


def test_the_largest_allowed_pictures_are_read_in_bounded_memory(served):
    """The largest allowed size: 16 megapixels of white in 50 kB."""
    file = io.BytesIO()
    Image.new("RGB", (4000, 4000), "white").save(file, "PNG")
    before = resident_bytes(served.process)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(served, file.getvalue()), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert resident_bytes(served.process) - before < 400 * 2**20


def peak_bytes(process):
    """The most memory that the process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def of_images(first, others, count=1024):
    """JSON of so many images of 28 rows of 28 values; the first value of each is another one."""
    rows = json.dumps([[others] * 28] * 28)
    return '{"images": [' + ",".join([rows.replace(others, first, 1)] * count) + "]}"


@pytest.mark.parametrize(
    "body",
    [
        of_images("a" * 2000, "b"),
        json.dumps({"images": ["a" * 10**6] + ["b"] * 1023}),
        json.dumps({"image": [["a" * 10**5] * 28] * 28}),
        '{"images": [' + ",".join(["[]"] * 3 * 10**6) + "]}",
        '{"images": [' + ",".join(["{}"] * 3 * 10**6) + "]}",
        '{"images": [' + ",".join(["[" + ",".join(["[]"] * 3000) + "]"] * 1000) + "]}",
        "{" + ",".join(f'"{key}": 0' for key in range(700_000)) + "}",
        '{"image": [[' + ",".join(["9" * 4000] * 2000) + "]]}",
    ],
    ids=range(8),
)
def test_json_does_not_unfold(served, body):
    """The first one, of 3 MB, would become an array of 6 GB."""
    before = peak_bytes(served.process)
    refused(post(served, body, JSON), 413, 422)
    assert peak_bytes(served.process) - before < 150 * 2**20


def progressive(scans):
    """A progressive JPEG of 16 megapixels whose last scan, of 53 bytes, is repeated."""
    file = io.BytesIO()
    Image.new("L", (4000, 4000), 255).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    end = jpeg.rindex(b"\xff\xd9")
    scan = jpeg[jpeg.rindex(b"\xff\xc4") : end]
    return jpeg[:end] + scan * scans + jpeg[end:]


def segments(content, count, marker=0xE1):
    """A JPEG with a segment of metadata so many times."""
    segment = bytes([255, marker]) + struct.pack(">H", len(content) + 2) + content
    return JPEG.getvalue()[:2] + segment * count + JPEG.getvalue()[2:]


def chunks(kind, data, count):
    """A PNG with a chunk of metadata so many times."""
    start = len(b"\x89PNG\r\n\x1a\n") + 25
    return PICTURE[:start] + chunk(kind, data) * count + PICTURE[start:]


def exif(tags, size):
    """EXIF data with so many tags, all with the same value of that size."""
    offset = 8 + 2 + 12 * tags + 4
    entries = [struct.pack("<HHLL", tag + 1, 7, size, offset) for tag in range(tags)]
    head = b"II*\0" + struct.pack("<LH", 8, tags)
    return head + b"".join(entries) + bytes(4) + bytes(size)


BUSY = {
    "200,000 scans": lambda: progressive(190_000),
    "1,000 scans": lambda: progressive(1000),
    "EXIF in small pieces": lambda: segments(b"Exif\0\0abcd", 700_000),
    "EXIF in pieces": lambda: segments(b"Exif\0\0" + bytes(1000), 10_000),
    "comments": lambda: segments(b"", 2_500_000, marker=0xFE),
    "fill bytes": lambda: JPEG.getvalue()[:2] + b"\xff" * 10**7 + JPEG.getvalue()[2:],
    "profiles": lambda: chunks(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6), 9), 8000),
    "texts": lambda: chunks(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9), 8000),
    "unknown chunks": lambda: chunks(b"abCd", b"", 800_000),
    "tags": lambda: chunks(b"eXIf", exif(65_000, 60_000), 1),
    "tags in a JPEG": lambda: segments(b"Exif\0\0" + exif(2700, 32_000), 1),
    "tags of several pictures": lambda: segments(b"MPF\0" + exif(2700, 32_000), 1, marker=0xE2),
}


@pytest.mark.parametrize("kind", BUSY)
def test_no_picture_keeps_the_decoder_busy(served, kind):
    """Each would take minutes, or an hour, or fill the terminal with warnings."""
    picture = BUSY[kind]()
    assert len(picture) < 10 * 2**20
    answer = post(served, picture)
    assert answer.status_code in (200, 422)
    assert served.log().count("\n") == 2


def test_the_largest_allowed_batch_is_answered(served):
    answer = post(served, json.dumps({"images": [GOOD] * 1024}), JSON)
    assert len(answer.json()["predictions"]) == 1024


def test_other_origins_and_hosts_are_refused(served):
    body = json.dumps({"image": GOOD})
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "http://["):
        refused(post(served, body, JSON, origin=origin), 403)
    for host in ("evil.example", f"evil.example:{served.port}", "127.0.0.1.evil.example", "["):
        answer = httpx.get(f"{served.address}/api/model", headers={"host": host})
        refused(answer, 403)
    for host in (f"localhost:{served.port}", f"127.0.0.1:{served.port}", f"[::1]:{served.port}"):
        assert httpx.get(f"{served.address}/healthz", headers={"host": host}).status_code == 200
    own = post(served, body, JSON, origin=served.address)
    assert own.status_code == 200
    preflight = httpx.options(
        f"{served.address}/api/predict",
        headers={"origin": "http://evil.example", "access-control-request-method": "POST"},
    )
    for answer in (own, preflight):
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_paths_stay_inside_the_static_folder(served):
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/nothing"):
        assert httpx.get(served.address + path).status_code == 404
    for path in ("/static/%00", "/static/", "/static/%2fetc%2fpasswd", "/static/" + 5000 * "a"):
        assert httpx.get(served.address + path).status_code == 404
    assert httpx.get(f"{served.address}/api/predict").status_code == 405


def test_no_header_is_made_of_what_the_client_sends(served):
    for path in ("/docs/%0d%0aset-cookie:a=b/", "/healthz?a=%0d%0aset-cookie:a=b", "/docs/"):
        answer = httpx.get(served.address + path)
        assert "set-cookie" not in answer.headers
        location = answer.headers.get("location", "")
        assert location in ("", f"{served.address}/docs")


def test_many_ranges_do_not_multiply_a_file(served):
    url = f"{served.address}/static/app.js"
    size = len(httpx.get(url).content)
    for ranges in ("0-," * 3000, ",".join(f"{start}-" for start in range(3000))):
        answer = httpx.get(url, headers={"range": f"bytes={ranges}"})
        assert answer.status_code in (200, 206, 400, 416) and len(answer.content) <= 2 * size


def test_head_is_get_without_the_body(served):
    for path in ("/", "/docs", "/healthz", "/api/model", "/static/app.js", "/nothing"):
        get, head = (httpx.request(m, served.address + path) for m in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


def test_hundreds_of_large_bodies_at_once_leave_memory_bounded(served):
    large = PICTURE + bytes(3 * 2**19)  # a valid picture with 1.5 MiB after its end
    before = resident_bytes(served.process)
    with (
        httpx.Client(timeout=60, limits=httpx.Limits(max_connections=200)) as client,
        concurrent.futures.ThreadPoolExecutor(200) as pool,
    ):

        def send(_):
            try:
                return client.post(f"{served.address}/api/predict", content=large).status_code
            except httpx.TransportError:
                return None  # refused while it was still sending

        statuses = list(pool.map(send, range(240)))
    assert set(statuses) <= {200, 422, 429, 408, None}
    assert statuses.count(None) < 120
    assert resident_bytes(served.process) - before < 400 * 2**20
    assert served.health()["status"] == "ok"


@pytest.mark.parametrize("examples", [15, pytest.param(400, marks=pytest.mark.slow)])
def test_the_api_matches_its_openapi_document_under_fuzzing(served, examples):
    """schemathesis generates valid and invalid requests from the document."""
    schema = schemathesis.openapi.from_url(f"{served.address}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        # Without a body there is nothing to vary: one valid request, and no invalid one.
        modes = list(schemathesis.GenerationMode)
        for mode in modes if operation.body else modes[:1]:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples if operation.body else 1,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def check(case):
                case.call_and_validate(
                    checks=[
                        not_a_server_error,
                        status_code_conformance,
                        response_schema_conformance,
                    ],
                    timeout=30,
                )

            check()
