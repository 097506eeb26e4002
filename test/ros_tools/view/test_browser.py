"""Page of the live view in headless Chromium: it loads, shows boxes, and a slider changes a parameter of the node."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("viser")
pytest.importorskip("playwright")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from node_fixtures import camera, ros, ros_context, start_node
from playwright.sync_api import Page, sync_playwright
from view_in_thread import ViewInThread

from clipose_ros.visualization.draw import CATEGORY_COLOURS

__all__ = ["camera", "ros", "ros_context", "start_node"]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SOFTWARE_WEBGL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]


class Browser:
    """Page of a view in Chromium, with all that its console and its network show."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def click(self, role: str, name: str) -> None:
        """Click without waiting for a stable element: software rendering leaves hardly a moment that counts as one."""
        element = self.page.get_by_role(role, name=name)
        element.evaluate("element => element.scrollIntoView()")
        box = element.bounding_box()
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def share_of(self, *colours: tuple[int, int, int]) -> float:
        """Return the share of pixels of the scene that have nearly one of the colours' hues, saturated."""
        picture = np.frombuffer(self.page.locator("canvas").first.screenshot(), np.uint8)
        hsv = cv2.cvtColor(cv2.imdecode(picture, cv2.IMREAD_COLOR), cv2.COLOR_BGR2HSV_FULL).astype(int)
        found = np.zeros(hsv.shape[:2], bool)
        for colour in colours:
            hue = int(cv2.cvtColor(np.array([[colour]], np.uint8), cv2.COLOR_RGB2HSV_FULL)[0, 0, 0])
            found |= (np.abs((hsv[..., 0] - hue + 128) % 256 - 128) < 6) & (hsv[..., 1] > 90) & (hsv[..., 2] > 90)
        return float(found.mean())


@pytest.fixture
def view(ros_context: None) -> Iterator[ViewInThread]:
    shown = ViewInThread()
    yield shown
    shown.close()


@pytest.fixture
def browser(view: ViewInThread) -> Iterator[Browser]:
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE_WEBGL)
        opened = Browser(chromium.new_page(viewport={"width": 800, "height": 480}))
        opened.page.set_default_timeout(120_000)
        opened.page.goto(view.server.url)
        yield opened
        chromium.close()


def test_boxes_appear_and_a_slider_sets_a_parameter(ros, camera, start_node, view: ViewInThread, browser) -> None:
    page, boxes = browser.page, (CATEGORY_COLOURS["mug"], CATEGORY_COLOURS["bowl"])
    page.get_by_text("no diagnostics of").wait_for()
    before = browser.share_of(*boxes)
    node = start_node().node
    ros.wait_for(lambda: view.has("/boxes/lines") and view.has("/point cloud/points"), "objects", camera.send)
    page.get_by_text("/pose_node: active").wait_for()
    ros.wait_for(lambda: browser.share_of(*boxes) > before + 0.001, "boxes on the screen", camera.send)
    ros.wait_for(lambda: page.locator("img").count() > 0, "the annotated image", camera.send)

    # Software rendering leaves the page so little time that it may miss an event, so events are repeated.
    reset = page.get_by_role("button", name="Reset tracks")
    ros.wait_for(lambda: "forgotten" in view.panel.reply, "the reply of reset", lambda: reset.press("Enter"), 5.0)
    sliders = page.get_by_role("slider").and_(page.locator(":visible"))
    ros.wait_for(sliders.count, "the sliders", lambda: browser.click("tab", "Parameters"), 5.0)
    ros.wait_for(lambda: "segmentation.score_threshold" in view.panel.settings, "the settings of the node")
    settings = node.parameters.config
    ros.wait_for(
        lambda: node.parameters.config != settings,
        "a parameter to change",
        lambda: sliders.first.press("ArrowRight"),
        5.0,
    )
    assert not browser.faults
    hosts = {url.split("/")[2] for url in browser.requests if url.startswith(("http", "ws"))}
    assert hosts == {f"127.0.0.1:{view.server.get_port()}"}, "the page works without a network"
