"""The page of `inference serve` in a real browser, driven through Chromium's debugging pipe."""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None or sys.platform != "linux", reason="needs Chromium on Linux")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
ALL_DONE = "cards.length && cards.every((card) => card.result || card.error)"


class Browser:
    """One page of Chromium; it reads commands from descriptor 3 and answers on 4, each ended by a zero byte."""

    def __init__(self, profile) -> None:
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        shell = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        flags = [*OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, CHROMIUM, *flags], pass_fds=(commands, answers), stderr=subprocess.DEVNULL
        )
        os.close(commands)
        os.close(answers)
        self._n, self._rest, self._session, self.events = 0, b"", {}, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "DOM", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: object) -> dict:
        self._n += 1
        command = {"id": self._n, "method": method, "params": params, **self._session}
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = os.read(self._read, 2**16)
                assert part, "the browser is gone"
                self._rest += part
            message, self._rest = self._rest.split(b"\0", 1)
            found = json.loads(message)
            if found.get("id") == self._n:
                return found["result"]
            self.events.append(found)

    def value(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> None:
        end = time.monotonic() + 30
        while not self.value(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.05)

    def choose(self, *files) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])
        self.wait(ALL_DONE)

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def verdicts(self) -> list[str]:
        return self.value("[...document.querySelectorAll('.verdict')].map((one) => one.textContent)")

    def requests(self) -> list[str]:
        sent = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._write)
        os.close(self._read)


@pytest.fixture
def page(request, served, brightness, tmp_path):
    with served(brightness(upper=getattr(request, "param", None)), max_bytes=2**20) as port:
        browser = Browser(tmp_path / "profile")
        try:
            browser.call("Page.navigate", url=f"http://127.0.0.1:{port}/")
            browser.wait("typeof info === 'object' && info !== null && threshold !== null")
            yield browser
        finally:
            browser.close()


@pytest.fixture
def files(tmp_path):
    for name, value in [("dark.png", 40), ("bright.tif", 200)]:  # browsers show no TIFF: the server does
        Image.fromarray(np.full((30, 50, 3), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "<b>text.png").write_text("no image")
    (tmp_path / "long.png").write_bytes(bytes(2**20 + 1))
    return [tmp_path / name for name in ("dark.png", "bright.tif", "<b>text.png", "long.png")]


def test_images_get_verdicts_and_the_slider_decides_again_without_a_request(page, files):
    page.choose(*files)
    assert page.verdicts() == ["Good", "Defective", "Not scored", "Not scored"]
    text = page.value("document.body.innerText")
    assert "This is no image" in text
    assert "larger than 1 MiB" in text
    assert "<b>text.png" in text
    assert page.value("[...document.images].every((one) => one.naturalWidth === 50 && one.naturalHeight === 30)")
    n_requests = len(page.requests())
    page.value("id('slider').focus()")
    page.press("Home", 36)
    assert page.verdicts()[:2] == ["Defective", "Defective"]
    page.press("End", 35)
    assert page.verdicts()[:2] == ["Good", "Good"]
    page.value("id('reset').click()")
    assert page.value("threshold") == 100
    assert page.value("id('band').hidden")
    assert page.verdicts()[:2] == ["Good", "Defective"]
    assert len(page.requests()) == n_requests
    assert {url.split("/")[2] for url in page.requests()} == {page.value("location.host")}


@pytest.mark.parametrize("page", [220.0], indirect=True)
def test_between_two_thresholds_the_page_says_unsure_until_one_is_moved(page, files):
    page.choose(*files[:2])
    assert page.verdicts() == ["Good", "Unsure"]
    assert page.value("id('summary').textContent") == "1 unsure, 1 good"
    assert page.value("id('band').textContent") == "unsure up to 220"
    assert "good below 100, defective from 220 on" in page.value("id('model').textContent")
    page.value("setThreshold(101)")
    assert page.verdicts() == ["Good", "Defective"]
    assert page.value("id('band').textContent") == "one threshold: none is unsure"
    page.value("id('reset').click()")
    assert page.verdicts() == ["Good", "Unsure"]


def test_the_heat_map_can_be_hidden(page, files):
    def shown() -> np.ndarray:
        return np.asarray(Image.open(BytesIO(base64.b64decode(page.value("document.images[0].src").split(",")[1]))))

    page.choose(files[1])
    with_heat = shown()
    page.value("id('heat').click()")
    assert np.abs(shown().astype(int) - 200).max() <= 3
    assert np.abs(with_heat.astype(int) - 200).max() > 20


def test_the_page_fits_a_narrow_window_and_all_of_it_is_reached_by_keyboard(page, files):
    page.choose(*files)
    page.call("Emulation.setDeviceMetricsOverride", width=320, height=600, deviceScaleFactor=1, mobile=False)
    assert page.value("document.documentElement.scrollWidth <= window.innerWidth")
    page.value("id('slider').stepUp(); setThreshold(1)")  # so that no button is disabled
    reached = []
    for _ in range(6):
        page.press("Tab", 9)
        reached.append(page.value("document.activeElement.id"))
    assert reached == ["files", "slider", "number", "reset", "heat", "clear"]
