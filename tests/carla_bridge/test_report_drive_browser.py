"""The page of a drive in a real browser: no console message, nothing wider than the screen.

Needs Debian's chromium and its driver. Set EDGE_SEG_SCREENSHOTS to a folder to keep the pictures.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from drive_results_by_hand import P99, write_folder, write_picture

from carla_bridge.report import write

webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no browser: apt-get install chromium chromium-driver"
)
BOXES = """
return [...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility()).map(
  s => { const b = s.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("drive")
    results = write_folder(folder, routes=1, repeats=1, latencies=[P99])
    results.runs[0].filmed = True
    for tick in range(0, 10, 2):
        write_picture(folder, f"frames/{results.runs[0].key}/{tick:06d}.jpg", tick)
    return write(results, folder).as_uri()


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-quic"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def look(browser, page: str, theme: str, width: int) -> np.ndarray:
    """Open the page, every run unfolded, and return the screenshot of all of it."""
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    height = browser.execute_script("return document.documentElement.scrollHeight")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**size, "height": height})
    png = browser.get_screenshot_as_png()
    if folder := os.environ.get("EDGE_SEG_SCREENSHOTS"):
        Path(folder, f"drive-{theme}-{width}.png").write_bytes(png)
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.parametrize(("theme", "width"), [("light", 1200), ("dark", 1200), ("light", 400)])
def test_the_page_is_drawn_whole_and_without_a_console_message(browser, page, theme, width):
    picture = look(browser, page, theme, width)
    assert browser.get_log("browser") == []
    ground = np.median(picture)
    assert ground > 200 if theme == "light" else ground < 60
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    images = "return [...document.images].every(i => i.complete && i.naturalWidth > 100)"
    assert browser.execute_script(images)
    boxes = browser.execute_script(BOXES)
    assert len(boxes) == 1 + 1 + 2 * 2  # curve, comparison, map and profile of two runs
    for x, y, wide, high in boxes:
        assert wide > 250
        assert high > 80
        part = picture[int(y) : int(y + high), int(x) : int(min(x + wide, width))]
        assert part.std() > 5, "the chart is blank"


def test_every_colour_of_the_charts_is_one_of_the_pages(browser, page):
    """A marker that was not exchanged would be drawn as black as night, on a dark page too."""
    feature = {"name": "prefers-color-scheme", "value": "dark"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(page)
    assert not re.search("#0[1-5]0[1-5]0[1-5]", browser.page_source)
    line = "return getComputedStyle(document.querySelector('[style*=\"--series-1\"]')).stroke"
    assert browser.execute_script(line) == "rgb(127, 180, 238)"  # the first driver's blue


def test_a_click_on_a_column_sorts_and_the_video_is_linked(browser, page):
    browser.get(page)
    browser.find_elements("css selector", "table.sortable thead button")[0].click()
    names = (
        "return [...document.querySelectorAll('table.sortable tbody th')].map(c => c.textContent)"
    )
    assert browser.execute_script(names) == ["float", "int8"]
    link = browser.find_element("css selector", "a.watch").get_attribute("href")
    assert link == page.replace("report.html", "drive.mp4")
    assert browser.get_log("browser") == []
