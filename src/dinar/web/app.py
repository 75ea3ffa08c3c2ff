"""The pages and the JSON API of `dinar serve`, as a FastAPI application. It fetches no address."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from pydantic import Field as Describe
from starlette.datastructures import FormData, UploadFile
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from ..errors import DinarError
from ..version import __version__
from .guard import Guard
from .jobs import Full, Jobs
from .neural import shipped_graph
from .page import GRAPH, MODULES, PAGE, WASM, WORKER, asset, expression_presets, fill
from .work import FILES

MAX_PHOTO = 30 << 20  # bytes
MAX_PHOTOS = 8  # of one person
MAX_BODY = MAX_PHOTOS * MAX_PHOTO + (1 << 20)
UPLOADS = 8  # that are received at once; others wait
UPLOAD_SECONDS = 300
TYPES = {".glb": "model/gltf-binary", ".vrm": "model/gltf-binary", ".avatar": "application/octet-stream"}
LICENCES = {"LICENSE-three.txt", "LICENSE-onnxruntime.txt"}
KINDS = {".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
STATIC = {*MODULES.values(), *WORKER, *LICENCES, "style.css", "serve.css", "serve.js", "api.js"}


class JobState(BaseModel):
    """A job: photos of one person that become an avatar."""

    id: str = Describe(description="Whoever knows it may read and delete the job.")
    name: str
    photos: int
    created: float = Describe(description="Seconds since 1970.")
    state: Literal["waiting", "running", "choose", "done", "failed"]
    person: int | None = Describe(description="Whose avatar it is, counted from the left.")
    people: list[dict[str, Any]] = Describe(
        description='In state "choose": the number of each person, and their box (x0, y0, x1, y1) as shares of the '
                    "picture photo.jpg.")  # fmt: skip
    error: str = Describe(description='In state "failed": why, and what to do; in "done": why a video gave no motion.')
    step: str
    share: float = Describe(description="Of the work that is done, 0 to 1.")
    ahead: int = Describe(description="Jobs before this one in the queue.")
    files: list[str] = Describe(description="Files that are ready.")


def web_app(jobs: Jobs, token: str | None = None) -> ASGIApp:
    """The application. With ``token`` every request must know it; without, requests must be for this computer."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(jobs.close)

    api = FastAPI(title="dinar", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
                  description="One photo of a person to a rigged avatar.")  # fmt: skip
    receiving = asyncio.Semaphore(UPLOADS)

    def known(id: str) -> dict[str, Any]:
        job = jobs.get(id)
        if job is None:
            raise HTTPException(404, "there is no such job: it was deleted, or its id is another one")
        return job

    async def received(request: Request) -> FormData:
        async with receiving:
            try:
                return await asyncio.wait_for(_form(request), UPLOAD_SECONDS)
            except asyncio.TimeoutError:
                raise HTTPException(408, f"the upload took longer than {UPLOAD_SECONDS} s") from None

    @api.post("/api/jobs", status_code=201, response_model=JobState, openapi_extra=_UPLOAD)
    async def add(request: Request) -> Any:
        """Upload one photo, or several of one person with the front view first, in the form field `photos`."""
        form = await received(request)
        try:
            photos = [p for p in form.getlist("photos") if isinstance(p, UploadFile)]
            if not photos:
                raise HTTPException(
                    422, f"expected 1 to {MAX_PHOTOS} photos of one person in the field photos, got none"
                )
            if any((p.size or 0) > MAX_PHOTO for p in photos):
                raise HTTPException(413, f"too large: expected at most {MAX_PHOTO >> 20} MB in a photo")
            job = await asyncio.to_thread(jobs.add, photos[0].filename or "", [p.file for p in photos])
        finally:
            await form.close()
        return known(job.id)

    @api.get("/api/jobs/{id}", response_model=JobState)
    def state(id: str) -> Any:
        """How far a job is, and its files. Ask again while it is waiting or running."""
        return known(id)

    @api.post("/api/jobs/{id}/person", response_model=JobState)
    def choose(id: str, person: Annotated[int, Query(ge=1, le=1000)]) -> Any:
        """Say whose avatar is meant, where there are several people (state "choose")."""
        known(id)
        try:
            jobs.choose(id, person)
        except DinarError as e:
            raise HTTPException(409, str(e)) from e
        return known(id)

    @api.post("/api/jobs/{id}/motion", response_model=JobState, openapi_extra=_CLIP)
    async def film(id: str, request: Request) -> Any:
        """Upload a video of a person in the form field `clip`: its motion is added to me.glb (state "done")."""
        known(id)
        form = await received(request)
        try:
            clip = form.get("clip")
            if not isinstance(clip, UploadFile):
                raise HTTPException(422, "expected a video in the field clip, got none")
            if (clip.size or 0) > MAX_PHOTO:
                raise HTTPException(413, f"too large: expected at most {MAX_PHOTO >> 20} MB in a video")
            await asyncio.to_thread(jobs.film, id, clip.file)
        except DinarError as e:
            raise HTTPException(409, str(e)) from e
        finally:
            await form.close()
        return known(id)

    @api.delete("/api/jobs/{id}", status_code=204)
    def delete(id: str) -> None:
        """Delete a job, its photos and all its files."""
        known(id)
        jobs.delete(id)

    @api.get("/api/jobs/{id}/files/{name}", response_class=FileResponse)
    def file(id: str, name: Literal[tuple(FILES)]) -> Any:  # type: ignore[valid-type]
        """A file of a job."""
        path = jobs.file(id, name)
        if path is None:
            raise HTTPException(404, "there is no such file")
        return FileResponse(path, media_type=TYPES.get(path.suffix))

    @api.get("/", include_in_schema=False)
    def home() -> Response:
        return _page("serve.html", "serve.js")

    @api.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return _page("serve.html", "api.js")

    @api.get("/page/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name == WASM:
            return Response(asset(name), media_type="application/wasm", headers={"Cache-Control": "no-cache"})
        if name == GRAPH and (graph := shipped_graph()) is not None:
            return Response(graph, media_type="application/octet-stream")
        if name not in STATIC:
            raise HTTPException(404, "there is no such page")
        return Response(asset(name), media_type=KINDS[Path(name).suffix], headers={"Cache-Control": "no-cache"})

    @api.exception_handler(RequestValidationError)
    async def invalid(_: Request, e: RequestValidationError) -> Response:
        first = e.errors()[0]
        return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @api.exception_handler(Full)
    async def full(_: Request, e: Full) -> Response:
        return JSONResponse({"detail": str(e)}, 503, {"Retry-After": "120"})

    @api.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    @api.exception_handler(OSError)
    async def system(_: Request, e: OSError) -> Response:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            return JSONResponse({"detail": "the disk of the server is full: nothing was kept"}, 507)
        return JSONResponse({"detail": f"the server cannot do this now: {e.strerror}"}, 500)

    return Guard(api, token, MAX_BODY)


_UPLOAD = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "required": ["photos"], "properties": {"photos": {
        "type": "array", "maxItems": MAX_PHOTOS, "items": {"type": "string", "format": "binary"}}}}}}}}  # fmt: skip

_CLIP = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": {
    "type": "object", "required": ["clip"],
    "properties": {"clip": {"type": "string", "format": "binary"}}}}}}}  # fmt: skip


async def _form(request: Request) -> FormData:
    return await request.form(max_files=MAX_PHOTOS, max_fields=MAX_PHOTOS)


def _page(template: str, script: str) -> HTMLResponse:
    imports = json.dumps({"imports": {name: f"/page/{file}" for name, file in MODULES.items()}})
    limits = {"max_photo": MAX_PHOTO, "max_photos": MAX_PHOTOS}
    about = json.dumps({"presets": expression_presets(), "files": FILES, **limits})
    digest = base64.b64encode(hashlib.sha256(imports.encode()).digest()).decode()
    policy = (f"default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-{digest}'; style-src 'self'; "
              "img-src 'self' data: blob:; "
              "media-src 'self'; connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
              "frame-ancestors 'none'")  # fmt: skip
    html = fill(PAGE / template, {"imports": imports, "about": about.replace("<", "\\u003c"), "script": script})
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})
