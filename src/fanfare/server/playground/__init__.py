"""The page at `/`, and what it asks for beyond the API of Replicate."""

from __future__ import annotations

import time

from fastapi import FastAPI

from fanfare.server.config import ServeConfig
from fanfare.server.playground import history, overview, pages


def install(app: FastAPI, config: ServeConfig) -> None:
    """Give an app the page and its routes."""
    app.state.began_s = time.monotonic()
    app.state.pages = pages.Pages(pages.FOLDER, config.base_url)
    for routes in (pages, overview, history):
        app.include_router(routes.router)
