"""Serve edit sessions over HTTP: one for each visitor, closed while nobody uses it.

    pip install fastapi uvicorn
    uvicorn --factory --app-dir examples web_app:create_app    # then open http://127.0.0.1:8000

All sessions share one pipeline, so requests take turns. Every edit is in the session's file before
it is answered. A session that was idle for ten minutes, or the one that was idle longest where too
many are open, is closed; the next request that names it opens it again from its file, where its
image is recorded too. Visitors are told apart by a secret token, and are not limited otherwise.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel

from sega_session import EditSession, SegaSessionError, load_avatars
from sega_session.errors import redirect_warnings

PAGE = Path(__file__).with_suffix(".html")


class UnknownSessionError(Exception):
    """There is no session with this token."""


class Sessions:
    """The sessions of all visitors, by token.

    Args:
        pipeline: the pipeline of all sessions.
        folder: where their files are.
        most: the number of sessions that are open at once.
        idle_seconds: how long a session stays open after it was last used.
        cache_bytes: the memory for what all open sessions record together.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        pipeline: Any,
        folder: Path,
        *,
        most: int = 8,
        idle_seconds: float = 600,
        cache_bytes: int = 2**30,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline, self._folder, self._clock = pipeline, folder, clock
        self._most, self._idle_seconds = most, idle_seconds
        self._cache_bytes = cache_bytes // most
        # Each with the time of its last use; the one that was used last is at the end.
        self._open: OrderedDict[str, tuple[EditSession, float]] = OrderedDict()
        # Held by one request at a time, since all use the pipeline.
        self._lock = RLock()

    def __contains__(self, token: object) -> bool:
        return token in self._open

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, prompt: str, seed: int) -> str:
        """Begin a session and return its token."""
        with self._lock:
            session = EditSession(self._pipeline, prompt, seed=seed, cache_bytes=self._cache_bytes)
            token = secrets.token_hex(16)
            session.autosave(self._path(token))
            self._keep(token, session)
            return token

    @contextmanager
    def use(self, token: str) -> Iterator[EditSession]:
        """Wait for other requests, and yield the session with this token.

        Raises:
            UnknownSessionError: there is none.
        """
        with self._lock:
            session = self._open[token][0] if token in self._open else self._reopened(token)
            self._keep(token, session)
            yield session

    def close_idle(self) -> None:
        """Close the sessions that nobody used for a while."""
        with self._lock:
            before = self._clock() - self._idle_seconds
            for token in [one for one, (_, used) in self._open.items() if used < before]:
                self._close(token)

    def close_all(self) -> None:
        """Close all sessions, before the program ends."""
        with self._lock:
            for token in [*self._open]:
                self._close(token)

    def _keep(self, token: str, session: EditSession) -> None:
        self._open[token] = session, self._clock()
        self._open.move_to_end(token)
        while len(self._open) > self._most:
            self._close(next(iter(self._open)))

    def _close(self, token: str) -> None:
        session, _ = self._open.pop(token)
        session.close()

    def _reopened(self, token: str) -> EditSession:
        # The token comes from outside and becomes the name of a file.
        if not re.fullmatch("[0-9a-f]{32}", token) or not self._path(token).is_file():
            raise UnknownSessionError(token)
        path = self._path(token)
        session = EditSession.recover(path, self._pipeline, cache_bytes=self._cache_bytes)
        session.autosave(path)
        return session

    def _path(self, token: str) -> Path:
        return self._folder / f"{token}.safetensors"


class Begin(BaseModel):
    """The scene of a new session."""

    prompt: str = "a portrait of a person"
    seed: int = 33


class Settings(BaseModel):
    """How strongly a concept steers; see `sega_session.Concept`."""

    scale: float = 5
    threshold: float = 0.95


def create_app(pipeline: Any = None, folder: Path = Path("web-app-sessions")) -> FastAPI:
    """Return the application.

    Args:
        pipeline: of all sessions; None: the embedded one.
        folder: where the sessions' files are; it is created if it is missing.
    """
    if pipeline is None:
        pipeline = load_avatars()
        pipeline.set_progress_bar_config(disable=True)
    folder.mkdir(exist_ok=True)
    return app_of(Sessions(pipeline, folder))


def app_of(sessions: Sessions) -> FastAPI:
    """Return the application that serves these sessions."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def close_idle() -> None:
            while True:
                await asyncio.sleep(60)
                await asyncio.to_thread(sessions.close_idle)

        task = asyncio.create_task(close_idle())
        yield
        task.cancel()
        await asyncio.to_thread(sessions.close_all)

    app = FastAPI(title="sega-session", lifespan=lifespan)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return PAGE.read_text("utf-8")

    @app.post("/sessions")
    def begin(scene: Begin) -> dict[str, str]:
        return {"token": sessions.begin(scene.prompt, scene.seed)}

    @app.get("/sessions/{token}")
    def read(token: str) -> dict[str, Any]:
        with sessions.use(token) as session:
            return described(session)

    @app.put("/sessions/{token}/concepts/{name}")
    def set_concept(token: str, name: str, settings: Settings) -> dict[str, Any]:
        warnings: list[str] = []
        # Warnings of `warnings.warn` are for the program; these are for the visitor.
        with sessions.use(token) as session, redirect_warnings(lambda w: warnings.append(str(w))):
            values = settings.model_dump()
            # All changes of one concept in a row are one step back.
            with session.gesture(name):
                session.update(name, **values) if name in session else session.add(name, **values)
            return described(session) | {"warnings": warnings}

    @app.delete("/sessions/{token}/concepts/{name}")
    def remove_concept(token: str, name: str) -> dict[str, Any]:
        with sessions.use(token) as session:
            session.remove(name)
            return described(session)

    @app.post("/sessions/{token}/undo")
    def undo(token: str) -> dict[str, Any]:
        with sessions.use(token) as session:
            session.undo()
            return described(session)

    @app.get("/sessions/{token}/image")
    def image(token: str, mode: str = "exact") -> Response:
        with sessions.use(token) as session:
            render = session.render(mode)
        file = BytesIO()
        render.image.save(file, format="png")
        # An approximate image says so.
        headers = {
            "X-Mode": render.mode,
            "X-Quality": render.quality or "not estimated",
            "X-Evaluations": str(render.evaluations),
        }
        return Response(file.getvalue(), media_type="image/png", headers=headers)

    @app.exception_handler(SegaSessionError)
    def refused(_: Request, error: SegaSessionError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=422)

    @app.exception_handler(UnknownSessionError)
    def unknown(_: Request, error: UnknownSessionError) -> JSONResponse:
        return JSONResponse({"error": "There is no such session. Begin one."}, status_code=404)

    return app


def described(session: EditSession) -> dict[str, Any]:
    """Return a session's concepts and the number of its steps."""
    concepts = {one.name: {"scale": one.scale, "threshold": one.threshold} for one in session}
    return {"concepts": concepts, "steps": len(session.history)}
