"""A page and an endpoint on this machine: images in, scores, verdicts and heat maps out.

curl --data-binary @image.png http://127.0.0.1:8000/predict
curl --data '{"scores": [1.25, 3.5]}' http://127.0.0.1:8000/part
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import math
import socket
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from PIL import Image, UnidentifiedImageError
from starlette.requests import ClientDisconnect

from extensions.data.checks.remarks import of_one
from extensions.data.cutting import fixed_mask
from extensions.data.imaging import Imaging
from extensions.data.reading.arrays import is_array, n_values
from extensions.data.reading.image_files import reason
from extensions.data.reading.pixels import pixels_of, shown
from extensions.data.reading.stored import Stored
from inference.model.metadata import ModelInfo
from inference.model.predictors import Prediction, Predictor
from inference.predict.overlays import heat_map_on, shrink_to
from inference.serve.connections import Connection
from inference.serve.part_answer import part_answer

PAGE = Path(__file__).parent / "templates" / "serve.html"
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")  # Pillow's names; it knows others that start programs
MAX_PIXELS = 80_000_000  # of an image; decoded and as the network's input it takes 15 bytes a pixel
VIEW_SIDE = 1024  # px, of the images the page shows
BODY_SECONDS = 120  # until an image must have arrived
MAX_CONNECTIONS = 32  # each may hold one image file in memory
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(predictor: Predictor, *, max_bytes: int = 64 * 2**20, host: str = "127.0.0.1") -> FastAPI:
    """The server's routes: `/` the page, `POST /predict` and `/part`, `/info`, `/health`; nothing else of the machine.

    One image is decoded and computed at a time, in the order of arrival.

    Args:
        predictor: Computes; its info's thresholds decide.
        max_bytes: Of an image file; a longer request is refused while it arrives and not kept.
        host: What is listened on. On loopback, requests that name another host are refused: pages of other sites
            could send them after they rebound their name to 127.0.0.1.
    """
    app = FastAPI(title="Anomaly Workbench", docs_url=None, redoc_url=None, openapi_url=None)
    if is_loopback(host):
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK_NAMES, host], www_redirect=False)
    page = PAGE.read_text(encoding="utf-8")
    info = {**public_info(predictor.info), "max_bytes": max_bytes, "max_pixels": MAX_PIXELS}
    one_at_a_time = asyncio.Lock()

    @app.get("/")
    def show_page() -> Response:
        return Response(page, media_type="text/html", headers=HEADERS)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/info")
    def tell_info() -> dict[str, Any]:
        return info

    @app.post("/predict")
    async def predict(
        request: Request, with_map: Annotated[bool, Query(alias="map")] = False, view: bool = False
    ) -> dict[str, Any]:
        content = await received(request, max_bytes)
        async with one_at_a_time:
            return await run_in_threadpool(answer, predictor, content, with_map=with_map, view=view)

    @app.post("/part")
    async def judge_part(request: Request) -> dict[str, Any]:
        return part_answer(predictor.info, await received(request, max_bytes))

    return app


def public_info(info: ModelInfo) -> dict[str, Any]:
    """What `/info` says of the model: of its data set no more than its name and category."""
    found = {name: value for name, value in asdict(info).items() if name not in ("agreement", "backbone", "dataset")}
    for name, keys in (("backbone", ("name", "layers")), ("dataset", ("name", "category"))):
        whole = getattr(info, name)
        found[name] = None if whole is None else {key: whole.get(key) for key in keys}
    if (alignment := info.imaging.alignment) is not None:  # its template is a picture of the product
        found["alignment"] = {"size": list(alignment.template.shape), "least": alignment.least}
    return found


def warm_up(predictor: Predictor) -> None:
    """Answer for a grey image: what is done first takes longer, and no request waits for that."""
    info = predictor.info
    size = info.image_size if info.tiling is None else info.tiling.tile
    if (mask := fixed_mask(info.imaging)) is not None:
        size = (mask.shape[0], mask.shape[1])
    if info.imaging.alignment is not None:
        size = (info.imaging.alignment.template.shape[0], info.imaging.alignment.template.shape[1])
    grey = np.full((*size, info.imaging.n_channels), 128, info.input_dtype)
    if not info.imaging.is_read_plainly:
        with contextlib.suppress(RuntimeError, MemoryError):  # the first request is told
            predictor.predict([grey])
        return
    with contextlib.suppress(HTTPException):  # the first request is told
        answer(predictor, cv2.imencode(".png", grey)[1].tobytes(), view=True)


async def received(request: Request, max_bytes: int) -> bytes:
    """The body of a request, at most `max_bytes` of it.

    Raises:
        HTTPException: 413 it is longer; 408 it did not arrive in time.
    """
    told = request.headers.get("content-length", "")
    too_long = HTTPException(413, f"the request is larger than {max_bytes / 2**20:g} MiB, the most this server takes")
    if told.isdecimal() and int(told) > max_bytes:
        raise too_long
    content = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                if len(content) + len(part) > max_bytes:
                    raise too_long
                content += part
    except ClientDisconnect as error:
        raise HTTPException(400, "the image did not arrive whole") from error
    except TimeoutError as error:
        raise HTTPException(408, f"the image did not arrive within {BODY_SECONDS} s") from error
    return bytes(content)


def answer(predictor: Predictor, content: bytes, *, with_map: bool = False, view: bool = False) -> dict[str, Any]:
    """What `POST /predict` says of an image file.

    Args:
        predictor: Computes.
        content: The file's bytes.
        with_map: Add `anomaly_map`, a 16-bit grey PNG in base64, and `anomaly_map_range`, the raw values of 0 and
            65535 in it.
        view: Add `image` and `overlay` for the page, JPEG in base64, of at most 1024 px.

    Returns:
        JSON: `pred_score` (raw, higher is more anomalous), `pred_score_normalized`, `threshold` and `upper_threshold`
        (raw; the latter null with one threshold), `pred_label`, `verdict` (good, defective, or, between both
        thresholds, unsure, whose label is true; null without a threshold), `aligned` (whether the image could be
        aligned; null where the model aligns none), `latency_ms` (of the network, and of aligning), `width` and
        `height` in px, `remarks` (sentences about how the file stores the image, mostly none).

    Raises:
        HTTPException: As `decoded`; 500 the network could not compute.
    """
    image, stored = decoded(content, predictor.info.imaging)
    try:
        prediction = predictor.predict([image])[0]
    except (RuntimeError, MemoryError) as error:
        raise HTTPException(500, " ".join(str(error).split()) or "there is not enough memory") from error
    if not (math.isfinite(prediction.pred_score) and np.isfinite(prediction.anomaly_map).all()):
        raise HTTPException(500, "the network gave NaN or infinite values; export the model again")
    found = {
        "pred_score": prediction.pred_score,
        "pred_score_normalized": prediction.pred_score_normalized,
        "threshold": predictor.info.threshold,
        "upper_threshold": predictor.info.upper_threshold,
        "pred_label": prediction.pred_label,
        "verdict": prediction.verdict,
        "aligned": prediction.aligned,
        "latency_ms": prediction.latency_ms,
        "width": image.shape[1],
        "height": image.shape[0],
        "remarks": of_one(stored),
    }
    if with_map:
        found |= _map_of(prediction)
    if view:
        small = shrink_to(shown(image, predictor.info.imaging), VIEW_SIDE)
        found["image"] = _encoded(".jpg", small[..., ::-1])
        found["overlay"] = _encoded(".jpg", heat_map_on(small, prediction, predictor.info)[..., ::-1])
    return found


def decoded(content: bytes, imaging: Imaging | None = None) -> tuple[np.ndarray, Stored]:
    """The pixels of an image file as training reads them, and what is to be told of it.

    Args:
        content: The file's bytes; where a model's images have several files, all channels in one TIFF or NPY file.
        imaging: Of the model; None for 8 bits of RGB.

    Returns:
        (H, W, 3) uint8 RGB, or (H, W, C) as the model takes it, and what is to be told of the file.

    Raises:
        HTTPException: 415 it is no image; 422 an image that is damaged, too large or of unknown range.
    """
    if not content:
        raise HTTPException(415, "the request is empty; expected the bytes of an image as its body")
    imaging = imaging or Imaging()
    try:
        if imaging.channels is not None and is_array(content):
            return _decoded_array(content, imaging)
        with Image.open(BytesIO(content), formats=FORMATS) as header:
            width, height = header.size
        if width * height <= MAX_PIXELS:
            return pixels_of(content, imaging)
        size = f"{width} x {height} px"
    except UnidentifiedImageError as error:
        raise HTTPException(415, f"this is no image; expected one of {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError:
        size = "too many pixels to open it"
    except Exception as error:  # Pillow raises many types for broken files
        raise HTTPException(422, f"this image cannot be read: {reason(error)}") from error
    raise HTTPException(422, f"this image has {size}; expected at most {MAX_PIXELS // 10**6} million: make it smaller")


def _decoded_array(content: bytes, imaging: Imaging) -> tuple[np.ndarray, Stored]:
    """As `decoded`, of all channels in one TIFF or NPY file, which Pillow need not know."""
    if (n := n_values(content)) > 3 * MAX_PIXELS:
        msg = f"it has {n} values; expected at most {3 * MAX_PIXELS // 10**6} million: make it smaller"
        raise ValueError(msg)
    return pixels_of(content, imaging)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: The port is in use, or this machine has no such address.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        text = getattr(error, "strerror", None) or str(error)
        msg = f"cannot listen on {host} port {port}: {text.partition(' (while')[0]}; choose another --port or --host"
        raise OSError(msg) from error


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def server(app: FastAPI) -> uvicorn.Server:
    """What serves the app, quiet but for errors."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            lifespan="off",
            ws="none",
            log_level="error",
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=5,
        )
    )


def run(app: FastAPI, listening: socket.socket) -> None:
    """Serve until Ctrl-C, which is raised as KeyboardInterrupt when requests under way have been answered."""
    server(app).run(sockets=[listening])


def _map_of(prediction: Prediction) -> dict[str, Any]:
    values = prediction.anomaly_map
    low, high = float(values.min()), float(values.max())
    grey = np.rint((values - low) / max(high - low, 1e-12) * 65535).astype(np.uint16)
    return {"anomaly_map": _encoded(".png", grey), "anomaly_map_range": [low, high]}


def _encoded(suffix: str, pixels: np.ndarray) -> str:
    _, content = cv2.imencode(suffix, np.ascontiguousarray(pixels))
    return base64.b64encode(content.tobytes()).decode("ascii")
