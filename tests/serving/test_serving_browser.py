"""The page in a real browser: Debian's Chromium, driven by playwright."""

import functools
import http.server
import math
import re
import shutil
import threading

import numpy as np
import pytest
from PIL import Image
from serving_project import Project, draw, png, served_here

from mnist_cnn.datasets import mnist

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no browser: `apt-get install chromium` to run the page's tests"
)
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
THREE = [(0.25, 0.2), (0.55, 0.1), (0.8, 0.27), (0.45, 0.47), (0.85, 0.7), (0.55, 0.9), (0.2, 0.8)]
ONE = [(0.5, 0.1), (0.5, 0.9)]
ZERO = [
    (0.5 + 0.32 * math.sin(step / 20 * 2 * math.pi), 0.5 - 0.42 * math.cos(step / 20 * 2 * math.pi))
    for step in range(21)
]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, served):
    """Opens the app's page. Fails the test on a console error or a request to another server."""
    complaints, contexts = [], []

    def open_page(address=served.address, **options):
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 850}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and complaints.append(line.text))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "blob:", "data:"))
                else complaints.append(request.url)
            ),
        )
        page.goto(address)
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def stroke(page, points, left=0.3, width=0.35):
    """Draw a line with the mouse; points are shares of the field that starts at `left`."""
    begin_stroke(page, points, left, width)
    page.mouse.up()


def begin_stroke(page, points, left=0.3, width=0.35):
    """Draw a line, and keep the button down."""
    box = page.locator("#ink").bounding_box()
    at = [
        (box["x"] + (left + x * width) * box["width"], box["y"] + (0.05 + 0.9 * y) * box["height"])
        for x, y in points
    ]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=4)


def number(page):
    return page.locator("#number")


def expect(page, text):
    playwright.expect(number(page)).to_have_text(text, timeout=15000)


def test_draw_read_clear_undo(opened):
    page = opened()
    playwright.expect(page.locator("#champion")).to_contain_text("Version 1")
    playwright.expect(page.locator("#champion")).to_contain_text("96.00 %")
    stroke(page, THREE)
    expect(page, "3")
    playwright.expect(page.locator("#digits .digit")).to_have_count(1)
    shares = page.locator("#shares li .share").all_inner_texts()
    assert len(shares) == 10
    assert sum(float(share.split()[0]) for share in shares) == pytest.approx(100, abs=1)
    assert page.locator("#shares li.first .name").inner_text() == "3"
    playwright.expect(page.locator("#spoken")).to_contain_text("Reads 3")
    page.get_by_role("button", name="Clear").click()
    playwright.expect(page.locator("#digits .digit")).to_have_count(0)
    assert number(page).inner_text().strip() == ""
    page.get_by_role("button", name="Undo").click()
    expect(page, "3")


def test_a_number_and_each_of_its_digits(opened):
    page = opened()
    stroke(page, ONE, 0.0, 0.1)
    stroke(page, ZERO, 0.1, 0.55)
    stroke(page, THREE, 0.65, 0.32)
    expect(page, "103")
    page.get_by_role("button", name=re.compile("Digit 3: 3")).click()
    assert page.locator("#shares-title").inner_text() == "Probabilities of digit 3"
    assert page.locator("#shares li.first .name").inner_text() == "3"
    page.get_by_role("button", name="Undo").click()
    expect(page, "10")


def test_digits_that_touch_are_shown_as_doubtful(opened):
    page = opened()
    stroke(page, ZERO, 0.05, 0.3)
    stroke(page, ZERO, 0.6, 0.3)
    stroke(page, [(0, 0.5), (1, 0.5)], 0.2, 0.6)
    playwright.expect(page.locator("#doubt")).to_contain_text("touch")
    playwright.expect(page.locator(".digit.doubtful")).to_have_count(1)


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True},
        {"viewport": {"width": 320, "height": 600}, "color_scheme": "dark"},
    ],
)
def test_the_page_fits_on_a_phone(opened, options):
    page = opened(**options)
    stroke(page, THREE)
    expect(page, "3")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= options["viewport"]["width"]
    for button in page.locator("#tools button").all():
        assert button.bounding_box()["height"] >= 40  # large enough for a finger


def test_resizing_to_a_phone_keeps_the_drawing(opened):
    page = opened()
    stroke(page, THREE)
    expect(page, "3")
    page.set_viewport_size({"width": 375, "height": 740})
    expect(page, "3")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_drawing_with_a_finger(opened):
    page = opened(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    box = page.locator("#ink").bounding_box()
    touch = page.context.new_cdp_session(page)
    points = [
        {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] * share}
        for share in (0.2, 0.4, 0.6, 0.8)
    ]
    for kind, point in zip(
        ["touchStart", "touchMove", "touchMove", "touchMove"], points, strict=True
    ):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page, "1")
    assert page.evaluate("window.scrollY") == 0


def test_drawing_with_the_keyboard(opened):
    page = opened()
    page.locator("#ink").focus()
    for key in ["ArrowUp"] * 9 + [" "] + ["ArrowDown"] * 18 + [" "]:
        page.keyboard.press(key)
    expect(page, "1")
    page.keyboard.press("Control+z")
    playwright.expect(page.locator("#digits .digit")).to_have_count(0)
    assert page.locator("#clear").is_disabled()


def test_a_stroke_that_is_undone_while_it_is_drawn_adds_nothing_to_another(opened):
    page = opened()
    stroke(page, ONE, 0.0, 0.1)
    before = page.evaluate("state.strokes[0].points.length")
    begin_stroke(page, ZERO[:10])
    page.keyboard.press("Control+z")
    page.mouse.move(10, 10)
    page.mouse.up()
    assert page.evaluate("state.strokes.map((one) => one.points.length)") == [before]
    stroke(page, ZERO, 0.2, 0.55)
    expect(page, "10")


def test_a_stroke_that_is_cleared_while_it_is_drawn_is_over(opened):
    page = opened()  # which fails on an error of a script
    begin_stroke(page, ZERO[:10])
    page.keyboard.press("Escape")
    page.mouse.move(10, 10)
    page.mouse.up()
    begin_stroke(page, ZERO[:10])
    show_blank_picture(page)
    page.mouse.move(10, 10)
    page.mouse.up()
    stroke(page, ONE)  # replaces the picture
    expect(page, "1")


def test_the_keyboards_pen_draws_over_a_picture(opened):
    page = opened()
    show_blank_picture(page)
    page.locator("#ink").focus()
    for key in ["ArrowUp"] * 9 + [" "] + ["ArrowDown"] * 18 + [" "]:
        page.keyboard.press(key)
    expect(page, "1")


def test_another_model_with_a_version_of_the_same_number_is_noticed(opened, served):
    page = opened()
    playwright.expect(page.locator("#champion")).to_contain_text("Version 1")
    info = page.evaluate("state.model") | {"name": "other", "parameters": 7}
    health = {"status": "ok", "name": "other", "version": "1", "problem": None}
    page.route("**/api/model", lambda route: route.fulfill(json=info))
    page.route("**/healthz", lambda route: route.fulfill(json=health))
    playwright.expect(page.locator("#champion")).to_contain_text("7 weights", timeout=15000)


def show_blank_picture(page):
    """Show a picture, as a paste does, and wait until the page has it."""
    page.evaluate(
        """(bytes) =>
            usePicture(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}))""",
        list(png(Image.new("RGB", (30, 20), "white"))),
    )


def paste(page, picture):
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "a.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data}));
        }""",
        list(picture),
    )


def test_a_picture_is_chosen_or_pasted(opened):
    few = mnist().first(40).train()
    random = np.random.default_rng(0)
    line = [draw(image, 130, 0.2, random, (220, 170)) for image in few.x[:3, ..., 0]]
    picture = png(Image.fromarray(np.concatenate(line, axis=1)))
    page = opened()
    page.locator("#file").set_input_files(
        {"name": "line.png", "mimeType": "image/png", "buffer": picture}
    )
    playwright.expect(page.locator("#digits .digit")).to_have_count(3)
    read = number(page).inner_text()
    page.get_by_role("button", name="Clear").click()
    playwright.expect(page.locator("#digits .digit")).to_have_count(0)
    paste(page, picture)
    expect(page, read)
    page.locator("#file").set_input_files(
        {"name": "no.png", "mimeType": "image/png", "buffer": b"this is no picture"}
    )
    playwright.expect(page.get_by_role("alert")).to_contain_text("no picture")


def test_every_control_has_a_name_for_screen_readers(opened):
    page = opened()
    stroke(page, THREE)
    expect(page, "3")
    names = page.evaluate(
        """() => [...document.querySelectorAll("button, input, #ink, a, summary")].map((one) =>
            one.getAttribute("aria-label") || one.textContent.trim())"""
    )
    assert all(names)
    assert page.locator("[role=status]").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


CONTRAST = """() => {
    const levels = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((level) => {
        const share = level / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
    const under = (one) => {
        const colour = getComputedStyle(one).backgroundColor;
        return colour === "rgba(0, 0, 0, 0)" ? under(one.parentElement) : colour;
    };
    const seen = [...document.querySelectorAll("body *")].filter((one) =>
        one.checkVisibility() && !one.disabled
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return seen.map((one) => {
        const pair = [getComputedStyle(one).color, under(one)].map((text) => light(levels(text)));
        const name = one.id || one.className || one.tagName;
        return [name, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05)];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_light_and_dark(opened, scheme):
    """At least 4.5 to 1, as WCAG 2 requires."""
    page = opened(color_scheme=scheme)
    stroke(page, THREE)
    expect(page, "3")
    page.get_by_text("Model card").click()
    pairs = page.evaluate(CONTRAST)
    assert len(pairs) > 20
    assert [name for name, contrast in pairs if contrast < 4.5] == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(paper[4:].split(",")[0]) > 128) == (scheme == "light")


def test_a_foreign_page_gets_no_answer(opened, served):
    page = opened()
    page.goto("data:text/html,elsewhere")
    answer = page.evaluate(
        """(url) => fetch(url, {method: "POST", body: "{}"}).then(() => "answered", () => "no")""",
        f"{served.address}/api/predict",
    )
    assert answer == "no"
    assert any("CORS" in text for text in opened.complaints)
    opened.complaints.clear()


def test_the_api_page_shows_every_route(opened):
    page = opened()
    page.get_by_role("link", name="API").click()
    playwright.expect(page.locator("h2")).to_have_count(3)
    playwright.expect(page.locator("body")).to_contain_text("POST /api/predict")


def test_the_page_follows_the_registry(opened, tmp_path, digit_model):
    project = Project(tmp_path)
    with served_here(tmp_path) as app:
        page = opened(app.address)
        playwright.expect(page.get_by_role("alert")).to_contain_text("make promote")
        project.promote(digit_model, test_accuracy=0.9)
        playwright.expect(page.locator("#champion")).to_contain_text("Version 1", timeout=30000)
        playwright.expect(page.locator("#notice")).to_be_hidden()
        stroke(page, THREE)
        expect(page, "3")
        project.promote(digit_model, test_accuracy=0.91)
        playwright.expect(page.locator("#champion")).to_contain_text("Version 2", timeout=30000)
        playwright.expect(page.locator("#champion")).to_contain_text("91.00 %")
        expect(page, "3")
    opened.complaints[:] = [text for text in opened.complaints if "503" not in text]
    opened.complaints[:] = [text for text in opened.complaints if "ERR_CONNECTION" not in text]


def forgive(complaints, *texts):
    """Drop the complaints that a test has caused itself."""
    complaints[:] = [line for line in complaints if not any(text in line for text in texts)]


def signed_in(page):
    """The page itself is open, and gets its answers by the cookie."""
    playwright.expect(page.locator("#champion")).to_have_text("No champion yet")
    playwright.expect(page.get_by_role("alert")).to_contain_text("make promote")
    assert page.url.endswith("/") and "token" not in page.url
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    assert page.evaluate("document.cookie") == ""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The app with a token, without a champion."""
    root = Project(tmp_path_factory.mktemp("token")).root
    with served_here(root, MNIST_CNN_TOKEN="sesame+1") as app:
        yield app


def test_the_form_asks_for_the_token(opened, guarded):
    page = opened(guarded.address)
    field = page.get_by_label("Token")
    playwright.expect(field).to_be_focused()
    assert page.evaluate("getComputedStyle(document.forms[0]).display") == "grid"
    field.fill("wrong")
    page.get_by_role("button", name="Open").click()
    playwright.expect(page.get_by_role("alert")).to_contain_text("not the app's token")
    field.fill("sesame+1")
    field.press("Enter")
    signed_in(page)
    page.get_by_role("link", name="API").click()
    playwright.expect(page.locator("h2")).to_have_count(3)
    page.get_by_role("link", name="Draw a number").click()
    signed_in(page)
    page.context.clear_cookies()  # as when the app was started again
    playwright.expect(page.get_by_role("alert")).to_contain_text("Reload the page")
    page.reload()
    playwright.expect(page.get_by_label("Token")).to_be_visible()
    forgive(opened.complaints, "401", "503")


@pytest.fixture
def other_site(tmp_path):
    """The address of a folder of pages on another site than the app's."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield folder, f"http://localhost:{server.server_port}"
        server.shutdown()


def test_a_link_with_the_token_opens_the_page(opened, guarded, other_site):
    folder, other = other_site
    link = f"{guarded.address}/?token=sesame%2B1"
    signed_in(opened(link))
    # From another site, too. There, a redirect would not carry the strict cookie.
    (folder / "page.html").write_text(f'<a href="{link}">the app</a>')
    page = opened(f"{other}/page.html")
    page.get_by_role("link", name="the app").click()
    signed_in(page)
    page.go_back()
    assert page.url == f"{other}/page.html"  # no step back to the link
    forgive(opened.complaints, "401", "503", "404", guarded.address, "favicon")
