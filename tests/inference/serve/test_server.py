import base64
import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from io import BytesIO

import numpy as np
import psutil
import pytest
from PIL import Image

from inference.__main__ import main
from inference.model.metadata import Parts
from inference.model.predictors import load_predictor
from inference.serve import connections
from inference.serve import server as serve


@pytest.fixture(scope="module")
def port(served, brightness):
    with served(brightness(), max_bytes=2**20) as number:
        yield number


def ask(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return response.status, json.loads(content) if is_json else content.decode()


def image(pixels, kind="PNG", **options) -> bytes:
    file = BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, kind, **options)
    return file.getvalue()


def grey(value, size=(6, 9)):
    return np.full((*size, 3), value, np.uint8)


def test_an_image_is_answered_with_score_threshold_and_label(port):
    status, found = ask(port, "POST", "/predict", image(grey(150)))
    assert status == 200
    latency = found.pop("latency_ms")
    assert latency >= 0
    assert found == {
        "pred_score": 150.0,
        "pred_score_normalized": pytest.approx(0.5 + 50 / 255),
        "threshold": 100.0,
        "upper_threshold": None,
        "pred_label": True,
        "aligned": None,
        "verdict": "defective",
        "width": 9,
        "height": 6,
        "remarks": [],
    }
    assert ask(port, "POST", "/predict", image(grey(99)))[1]["pred_label"] is False


def test_the_map_comes_back_with_its_raw_values(port):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    found = ask(port, "POST", "/predict?map=1", image(pixels))[1]
    low, high = found["anomaly_map_range"]
    stored = np.asarray(Image.open(BytesIO(base64.b64decode(found["anomaly_map"]))), np.float64)
    assert np.abs(low + stored / 65535 * (high - low) - pixels[..., 0]).max() < 0.01


def test_a_low_16_bit_image_is_told_in_its_answer(port):
    found = ask(port, "POST", "/predict", image(np.full((4, 4), 4000, np.uint16)))[1]
    assert len(found["remarks"]) == 1
    assert "(largest value 4000 of 65535: 12 bits stored in 16); name where their values lie by" in found["remarks"][0]


def test_pixels_are_read_as_in_training(port):
    sixteen_bit = image(np.full((4, 4), 150 * 257, np.uint16))
    assert ask(port, "POST", "/predict", sixteen_bit)[1]["pred_score"] == pytest.approx(150)
    transparent = image(np.dstack([grey(255, (4, 4)), np.zeros((4, 4), np.uint8)]))
    assert ask(port, "POST", "/predict", transparent)[1]["pred_score"] == 0
    turned = Image.Exif()
    turned[0x0112] = 6
    found = ask(port, "POST", "/predict", image(grey(9, (4, 10)), exif=turned))[1]
    assert (found["width"], found["height"]) == (4, 10)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 415, "the request is empty"),
        (b"hello" * 100, 415, "this is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "this is no image"),
        (image(grey(1, (64, 64)), "JPEG")[:200], 422, "cannot be read: truncated"),
        (image(np.zeros((9000, 9000), bool)), 422, "9000 x 9000 px; expected at most 80 million"),
        (image(np.zeros((20_000, 20_000), bool)), 422, "too many pixels"),
        (image(grey(1, (13, 13))), 500, "the network could not compute: bad luck"),
        (image(grey(1, (14, 14))), 500, "NaN or infinite"),
        (bytes(2**20 + 1), 413, "larger than 1 MiB"),
    ],
    ids=["empty", "text", "postscript", "truncated", "large", "bomb", "network", "nan", "long"],
)
def test_a_bad_request_is_one_sentence_and_the_next_is_served(port, body, status, said):
    found = ask(port, "POST", "/predict", body)
    assert found[0] == status
    assert said in found[1]["detail"]
    assert ask(port, "POST", "/predict", image(grey(7)))[1]["pred_score"] == 7


def test_an_image_20000_px_wide_and_one_of_1_px_are_scored(port):
    for shape in [(2, 20_000), (1, 1)]:
        found = ask(port, "POST", "/predict?view=1", image(grey(9, shape)))
        assert found[0] == 200
        assert found[1]["width"] == shape[1]


def test_a_request_without_end_is_refused_while_it_arrives_and_not_kept(port):
    process, sent = psutil.Process(), 0
    before = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.settimeout(0.001)
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        answer = b""
        while not answer and sent < 64 * 2**20:
            connection.settimeout(30)
            connection.sendall(chunk)
            sent += 0x10000
            connection.settimeout(0.001)
            with contextlib.suppress(TimeoutError):
                answer = connection.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413")
    assert process.memory_info().rss - before < 40 * 2**20
    assert ask(port, "GET", "/health") == (200, {"status": "ok"})


def test_a_client_that_leaves_does_not_matter(port):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nabc")
    assert ask(port, "GET", "/health")[0] == 200


def test_what_arrives_too_slowly_is_given_up(port, monkeypatch):
    monkeypatch.setattr(serve, "BODY_SECONDS", 0.1)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999\r\n\r\nabc")
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/docs", "/openapi.json", "/serve.html"]
)
def test_no_other_path_leads_anywhere(port, path):
    assert ask(port, "GET", path)[0] == 404


@pytest.mark.parametrize(("host", "status"), [("evil.example", 400), ("localhost:1", 200), ("127.0.0.1", 200)])
def test_on_loopback_other_host_names_are_refused(port, host, status):
    assert ask(port, "GET", "/info", headers={"Host": host})[0] == status


def test_another_address_takes_any_name(served, brightness):
    with served(brightness(), host="0.0.0.0") as number:
        assert ask(number, "GET", "/health", headers={"Host": "inspection.example"})[0] == 200


def test_info_tells_what_the_numbers_mean(port):
    found = ask(port, "GET", "/info")[1]
    assert (found["model"], found["threshold"], found["threshold_source"]) == ("Brightness", 100.0, "given")
    assert found["max_bytes"] == 2**20


def test_info_tells_of_a_data_set_its_name_and_category_alone(served, brightness):
    predictor = brightness()
    told = {"name": "line", "category": "cap", "root": "/srv/secret", "k_shot": 3}
    network = {"name": "resnet18", "layers": ["layer2"], "weights": {"source": "/srv/secret/w.pth"}}
    predictor.info = replace(predictor.info, dataset=told, backbone=network, agreement={"x": "/srv/secret"})
    with served(predictor) as number:
        found = ask(number, "GET", "/info")[1]
    assert found["dataset"] == {"name": "line", "category": "cap"}
    assert found["backbone"] == {"name": "resnet18", "layers": ["layer2"]}
    assert "secret" not in json.dumps(found)


def test_an_image_is_scored_before_the_first_request(brightness):
    class Counting(brightness):
        n_scored = 0

        def stream(self, images):
            for key, outcome in super().stream(images):
                self.n_scored += 1
                yield key, outcome

    predictor = Counting()
    serve.warm_up(predictor)
    assert predictor.n_scored == 1
    predictor.info = replace(predictor.info, image_size=(13, 13))  # on which it fails: the server starts all the same
    serve.warm_up(predictor)
    assert predictor.n_scored == 2


def test_connections_that_never_ask_are_closed_and_others_served(served, brightness, monkeypatch):
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.5)
    refused = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n"
    with served(brightness()) as number, contextlib.ExitStack() as stack:
        for head in (b"", b"GET / HT", refused):
            for _ in range(serve.MAX_CONNECTIONS // 2):
                idle = stack.enter_context(socket.create_connection(("127.0.0.1", number), timeout=30))
                idle.sendall(head)
        assert ask(number, "GET", "/health")[0] == 503
        end = time.monotonic() + 20
        while ask(number, "GET", "/health")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_connection_may_ask_again(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for value in (3, 4):
        connection.request("POST", "/predict", image(grey(value)))
        assert json.load(connection.getresponse())["pred_score"] == value
    connection.close()


def test_many_at_once_are_computed_one_by_one(port):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda value: ask(port, "POST", "/predict", image(grey(value))), range(24)))
    assert [one["pred_score"] for _, one in found] == list(range(24))


def test_the_page_loads_nothing_from_elsewhere(port):
    status, page = ask(port, "GET", "/")
    assert status == 200
    assert "http:" not in page
    assert "https:" not in page
    assert "src=" not in page


def test_without_a_threshold_there_is_no_label(served, brightness):
    with served(brightness(threshold=None)) as number:
        found = ask(number, "POST", "/predict", image(grey(3)))[1]
    assert found["threshold"] is None
    assert found["pred_label"] is None
    assert found["verdict"] is None


def test_between_two_thresholds_an_image_is_unsure_and_not_let_through(served, brightness):
    with served(brightness(upper=150.0)) as number:
        found = [ask(number, "POST", "/predict", image(grey(value)))[1] for value in (99, 100, 149, 150)]
        assert ask(number, "GET", "/info")[1]["upper_threshold"] == 150
    assert [one["verdict"] for one in found] == ["good", "unsure", "unsure", "defective"]
    assert [one["pred_label"] for one in found] == [False, True, True, True]
    assert {(one["threshold"], one["upper_threshold"]) for one in found} == {(100, 150)}


def test_the_endpoint_says_what_the_predictor_says(exported, tiny_root, images):
    predictor = load_predictor(exported / "model.xml")
    file = sorted((tiny_root / "test").rglob("*.png"))[0]
    found = serve.answer(predictor, file.read_bytes(), with_map=True, view=True)
    expected = predictor.predict(images[:1])[0]
    assert found["pred_score"] == pytest.approx(expected.pred_score, rel=1e-5)
    assert found["pred_label"] == expected.pred_label
    drawn, shown = (np.asarray(Image.open(BytesIO(base64.b64decode(found[name])))) for name in ("overlay", "image"))
    assert drawn.shape == shown.shape == images[0].shape
    assert np.abs(drawn.astype(int) - shown).max() > 20


def test_a_port_in_use_is_one_sentence(port, capsys, tmp_path):
    assert main(["serve", "--model", str(tmp_path / "model.xml"), "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert said.count("\n") == 1


def test_an_interrupt_ends_the_command_cleanly(exported):
    command = [sys.executable, "-m", "inference", "serve", "--model", str(exported / "model.xml"), "--port", "0"]
    listens = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored where tests run in a shell's background
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listens
    ) as process:
        try:
            address = process.stdout.readline()
            number = int(address.split()[0].rpartition(":")[2])
            assert ask(number, "GET", "/health")[0] == 200
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (130, "stopped\n")


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_an_address_that_others_reach_is_told(host, warned, brightness, monkeypatch, capsys):
    monkeypatch.setattr(serve, "run", lambda app, listening: None)
    monkeypatch.setattr("inference.model.predictors.load_predictor", lambda *_, **__: brightness())
    assert main(["serve", "--model", "model.xml", "--host", host, "--port", "0"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"http://{host}:")
    assert ("can use this server" in said.err) is warned


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (None, ["max", 150.0, "defective"]),
        (Parts("mean", None, threshold=120.0), ["mean", 100.0, "good"]),
        (Parts("top2", None, threshold=90.0, upper_threshold=130.0), ["top2", 120.0, "unsure"]),
        (Parts("top9"), ["top9", 100.0, None]),
    ],
)
def test_the_images_of_a_part_are_judged_as_one(served, brightness, parts, expected):
    predictor = brightness()
    predictor.info = replace(predictor.info, parts=parts)
    with served(predictor) as number:
        scores = [ask(number, "POST", "/predict", image(grey(value)))[1]["pred_score"] for value in (60, 90, 150)]
        status, found = ask(number, "POST", "/part", json.dumps({"scores": scores}))
    assert status == 200
    assert [found["part_score"], found["pred_score"], found["verdict"]] == [expected[0], expected[1], expected[2]]


@pytest.mark.parametrize(
    "body",
    [
        "", "[1]", "{}", '{"scores": []}', '{"scores": "1"}', '{"scores": [true]}', '{"scores": [NaN]}',
        '{"scores": [[1]]}', '{"scores": ' + "[" * 5000,
    ],
)  # fmt: skip
def test_what_holds_no_scores_is_told(port, body):
    status, found = ask(port, "POST", "/part", body)
    assert status == 422
    assert "expected" in found["detail"]
