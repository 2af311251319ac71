"""The page in a real browser: no console error, charts drawn, sorting and theme work.

Needs Debian's chromium and its driver. Set EDGE_SEG_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from edge_seg.bundle.archive import open_bundle
from edge_seg.report.page import write_report
from edge_seg.report.record import CheckRow

webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
)
CHARTS = ("scatter", "sizes", "classes", "sensitivity", "ranges")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(report_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(write_report(report_data), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def packed_page(tiny_bundle, tmp_path_factory):
    """The report of a bundle that was really packed."""
    path = tmp_path_factory.mktemp("packed") / "packed.html"
    path.write_bytes(open_bundle(tiny_bundle).read("report.html"))
    return path.as_uri()


def look(browser, page, theme: str, width: int) -> np.ndarray:
    """Open the page at a width in a theme and return the screenshot of all of it."""
    theme_feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme_feature]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    height = browser.execute_script("return document.documentElement.scrollHeight")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": height})
    png = browser.get_screenshot_as_png()
    if folder := os.environ.get("EDGE_SEG_SCREENSHOTS"):
        Path(folder, f"{Path(page).stem}-{theme}-{width}.png").write_bytes(png)
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("made", ["page", "packed_page"])
def test_the_page_is_drawn_whole_and_without_a_console_message(
    request, browser, made, theme, width
):
    picture = look(browser, request.getfixturevalue(made), theme, width)
    assert browser.get_log("browser") == []
    ground = np.median(picture)
    assert ground > 200 if theme == "light" else ground < 60
    assert picture.std() > 15
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    images = "return [...document.images].every(i => i.complete && i.naturalWidth > 100)"
    assert browser.execute_script(images)

    boxes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility())"
        ".map(s => { const b = s.getBoundingClientRect(); return [b.x, b.y, b.width, b.height,"
        " s.querySelectorAll('.point').length, [...s.querySelectorAll('.point')].every(p => {"
        " const q = p.getBoundingClientRect(); return q.width > 0 && q.height > 0; })]; })"
    )
    assert len(boxes) == len(CHARTS)
    for x, y, wide, high, points, drawn in boxes:
        assert wide > 250
        assert high > 80  # two bars in a packed page
        assert points > 0
        assert drawn
        part = picture[int(y) : int(y + high), int(x) : int(x + wide)]
        assert part.std() > 8, "the chart is blank"


@pytest.mark.parametrize("width", [1200, 400])
def test_the_curve_of_a_fine_tuning_is_drawn(browser, report_data, tmp_path, width):
    rows = [CheckRow(20 * n, 0.06 / (n + 1), 0.05 / (n + 1)) for n in range(6)]
    path = tmp_path / "curve.html"
    data = msgspec.structs.replace(report_data, learning=rows, samples=[], ranges=[])
    path.write_text(write_report(data), encoding="utf-8")
    picture = look(browser, path.as_uri(), "dark", width)
    assert browser.get_log("browser") == []
    x, y, wide, high, dots = browser.execute_script(
        "const s = [...document.querySelectorAll('[aria-labelledby=learning] svg')]"
        ".find(s => s.checkVisibility()); const b = s.getBoundingClientRect();"
        " return [b.x, b.y, b.width, b.height, s.querySelectorAll('.point').length];"
    )
    assert wide > 250 and high > 200 and x + wide <= width
    assert dots == len(rows)
    assert picture[int(y) : int(y + high), int(x) : int(x + wide)].std() > 8


def test_long_names_do_not_widen_the_page(browser, report_data, tmp_path):
    rows = [msgspec.structs.replace(c, engine="x" * 60) for c in report_data.candidates]
    data = msgspec.structs.replace(report_data, title="T" * 80, candidates=rows, steps=[])
    path = tmp_path / "report.html"
    path.write_text(write_report(data), encoding="utf-8")
    for width in (1200, 400):
        look(browser, path.as_uri(), "light", width)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_a_click_on_a_column_sorts_and_unmeasured_rows_stay_last(browser, page):
    look(browser, page, "light", 1200)
    column = browser.find_elements("css selector", "table.sortable thead button")[5]
    values = (
        "return [...document.querySelectorAll('table.sortable tbody tr')]"
        ".map(row => row.cells[5].dataset.value)"
    )
    for order in ("ascending", "descending"):
        column.click()
        *shown, last = browser.execute_script(values)
        assert last == ""
        assert [float(v) for v in shown] == sorted(map(float, shown), reverse=order != "ascending")
        head = "return document.querySelector('[aria-sort]').getAttribute('aria-sort')"
        assert browser.execute_script(head) == order
    assert browser.get_log("browser") == []


def test_the_button_turns_light_to_dark_and_back(browser, page):
    look(browser, page, "light", 1200)
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = browser.execute_script(ground)
    button = browser.find_element("id", "theme")
    button.click()
    assert browser.execute_script(ground) != light
    button.click()
    assert browser.execute_script(ground) == light
