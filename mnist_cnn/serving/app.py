"""The routes of the web app: the page, the API, and the health check."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic_core import to_json
from starlette.types import ASGIApp

from mnist_cnn.serving import arrays, images, reading, schemas
from mnist_cnn.serving.bodies import Bodies
from mnist_cnn.serving.champion import Champion, Watcher
from mnist_cnn.serving.guard import Guard
from mnist_cnn.serving.inference import Batcher
from mnist_cnn.serving.login import Login
from mnist_cnn.serving.refusal import Refusal
from mnist_cnn.serving.schemas import Answer, Health, ModelInfo, Problem

STATIC = Path(__file__).parent / "static"
# Pictures decoded at once: each takes up to 300 MB, however many cores there are.
MAX_DECODING = 4
# Pictures in the queue for decoding; each keeps its body in memory.
MAX_WAITING_PICTURES = 256
# A smaller JSON body is parsed on the event loop: handing it to a thread would take longer.
SMALL_BYTES = 2**16
_WANTED = "send a PNG or JPEG, or JSON as application/json"
# What curl sends with -F, and with -d, which also drops the line ends of a file.
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_NO_CHAMPION = "there is no champion yet; type `make search`, then `make promote`"
_WITHOUT_TOKEN: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "without the token, if the app was started with one"}
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "damaged or incomplete"},
    403: {"model": Problem, "description": "from another web page, or for another host name"},
    408: {"model": Problem, "description": "too slow"},
    413: {"model": Problem, "description": "too large"},
    415: {"model": Problem, "description": "neither PNG nor JPEG nor JSON"},
    422: {"model": Problem, "description": "well-formed, but not a valid image or line of digits"},
    429: {"model": Problem, "description": "too much at once; try again in a second"},
}
_WITHOUT_CHAMPION: dict[int | str, dict[str, Any]] = {
    503: {"model": Problem, "description": "there is no champion yet"}
}


class Service:
    """The state that the routes share: the champion, its queue, and the limits on what may wait."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.bodies = Bodies()
        self._batcher = Batcher()
        self._decoding = CapacityLimiter(min(os.cpu_count() or 1, MAX_DECODING))

    def champion(self) -> Champion:
        """The current champion.

        Raises:
            Refusal: 503 if there is none.
        """
        if self.watcher.champion is None:
            raise Refusal(503, self.watcher.problem or _NO_CHAMPION)
        return self.watcher.champion

    async def read_picture(self, content: bytes) -> dict[str, Any]:
        """Answer a PNG or JPEG file with a `schemas.Answer` as a dictionary."""
        champion = self.champion()
        if self._decoding.statistics().tasks_waiting >= MAX_WAITING_PICTURES:
            raise Refusal(429, "too many pictures are waiting; try again in a second")
        info = champion.info

        def parse() -> reading.Parsed:
            return reading.parse(images.decode(content, reading.working_side(info)), info)

        picture = await to_thread.run_sync(parse, limiter=self._decoding)
        if len(picture.images):
            probabilities = await self._batcher.predict(champion.predictor, picture.images)
        else:  # a blank picture
            probabilities = np.zeros((0, info.classes), np.float32)
        return picture.answer(probabilities, info)

    async def read_arrays(self, content: bytes) -> dict[str, Any]:
        """Answer JSON with a `schemas.Answer` as a dictionary."""
        champion = self.champion()
        shape = champion.info.input_shape
        if len(content) < SMALL_BYTES:
            pixels = arrays.read_images(content, shape)
        else:
            pixels = await to_thread.run_sync(
                arrays.read_images, content, shape, limiter=self._decoding
            )
        probabilities = await self._batcher.predict(champion.predictor, pixels)
        return reading.answer(probabilities, champion.info)

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Follow the registry while the app runs."""
        self.watcher.start()
        yield
        self.watcher.close()
        self._batcher.close()


def create_app(watcher: Watcher, host: str, token: str | None) -> ASGIApp:
    """Build the web app.

    Args:
        watcher: Finds the champion. The app starts and closes it.
        host: The address that the app will listen on.
        token: What clients must send; None admits everybody.

    Returns:
        The ASGI app.
    """
    service = Service(watcher)
    app = FastAPI(
        title="Digits and other images",
        summary="Classifies images with a champion of the registry.",
        version="1",
        docs_url=None,  # FastAPI's page would load scripts from another server
        redoc_url=None,
        lifespan=service.lifespan,
    )
    app.add_exception_handler(Refusal, _refusal_response)
    _add_api(app, service)
    _add_pages(app)
    if token is None:
        return Guard(app, host)
    # A foreign page under any host name has no cookie. So the app may stand behind a proxy.
    return Guard(Login(app, token), host=None)


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/predict",
        response_model=Answer,
        responses=_WITHOUT_TOKEN | _REFUSALS | _WITHOUT_CHAMPION,
        openapi_extra={"requestBody": schemas.PREDICT_BODY},
    )
    async def predict(request: Request) -> Response:
        """Classify a picture, the digits in it, or arrays of pixels.

        The body is a PNG or JPEG file, or JSON. If the model classifies digits like MNIST's, a
        picture may show several in a line, dark on light or light on dark; each is preprocessed as
        MNIST's were. For other models the whole picture is fitted into the model's input. Arrays
        must already be preprocessed.
        """
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "compressed bodies are not read; send the content as it is")
        async with service.bodies.read(request) as content:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if images.is_picture(content):
                answer = await service.read_picture(content)
            elif kind == "application/json":
                answer = await service.read_arrays(content)
            elif not content:
                raise Refusal(415, f"the body is empty; {_WANTED}")
            elif kind in _FORMS:
                raise Refusal(415, f"{_WANTED}; not a form, but as `curl --data-binary @FILE` does")
            else:
                raise Refusal(415, _WANTED)
        return Response(to_json(answer), media_type="application/json")

    @app.get("/api/model", responses=_WITHOUT_TOKEN | _WITHOUT_CHAMPION)
    async def model() -> ModelInfo:
        """Describe the champion: version, test figures, model card."""
        return service.champion().info

    @app.get(
        "/healthz",
        responses=_WITHOUT_TOKEN | {503: {"model": Health, "description": "no champion"}},
    )
    async def health(response: Response) -> Health:
        """Return whether the app can predict, and whether with the registry's current champion."""
        champion, problem = service.watcher.champion, service.watcher.problem
        if champion is None:
            response.status_code = 503
            problem = problem or _NO_CHAMPION
            return Health(status="no champion", name=None, version=None, problem=problem)
        status, info = "degraded" if problem else "ok", champion.info
        return Health(status=status, name=info.name, version=info.version, problem=problem)


def _add_pages(app: FastAPI) -> None:
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")


async def _refusal_response(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, Refusal) else 400
    headers = {"retry-after": "1"} if status == 429 else None
    return JSONResponse({"detail": str(error)}, status, headers)
