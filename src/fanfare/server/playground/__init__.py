"""The page at `/`, and what it asks for beyond the API of Replicate."""

from __future__ import annotations

import time

from fastapi import FastAPI

from fanfare.server.playground import history, overview, pages, shelves
from fanfare.server.playground.studio import Studio
from fanfare.server.service import Service


def install(app: FastAPI, service: Service) -> None:
    """Give an app the page and its routes."""
    app.state.began_s = time.monotonic()
    app.state.pages = pages.Pages(pages.FOLDER, service.config.base_url)
    app.state.studio = Studio(service.files)
    for routes in (pages, overview, history, shelves):
        app.include_router(routes.router)
