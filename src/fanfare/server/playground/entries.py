"""Entries: predictions as the page shows them.

URLs are paths, so that they hold by whatever name the page was reached. Whoever has a prediction's
stream token may hear it and look at it, and do nothing else: it is what shares are made of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from fanfare.inputs import Inputs
from fanfare.server.problems import not_found
from fanfare.server.records import FINAL, RUNNING, Prediction
from fanfare.server.service import Service
from fanfare.server.store_history import Standing
from fanfare.server.versions import shown_name
from fanfare.server.views import STREAM_PREFIX

FORMATS = ("wav", "mp3", "flac")
"""What a finished piece can be had as, whatever it was made as."""
MAX_SLUG_CHARS = 48
PRIVATE = {"logs", "urls", "webhook", "output", "source", "version", "deadline"}
"""Left out of what is shared."""


def entries(service: Service, predictions: Sequence[Prediction]) -> list[dict[str, Any]]:
    """A list of the owner's predictions, without logs; blocking, as all here."""
    standings = service.store.standings([prediction.id for prediction in predictions])
    made = [_entry(service, one, standings[one.id]) for one in predictions]
    for entry in made:
        del entry["logs"]
    return made


def entry(service: Service, prediction: Prediction) -> dict[str, Any]:
    """One prediction of the owner's."""
    standing = service.store.standings([prediction.id])[prediction.id]
    return _entry(service, prediction, standing)


def shared(service: Service, prediction: Prediction) -> dict[str, Any]:
    """A prediction for whoever has its link: what it is, and nothing that tells of its owner."""
    made = entry(service, prediction)
    made["input"] = {k: v for k, v in prediction.input.items() if k != "input_audio"}
    for name in (*PRIVATE, "starred", "share_url", "recording"):
        made.pop(name, None)
    return {**made, "read_only": True}


def root(service: Service) -> str:
    """The path below which this server's pages lie; a slash at its end."""
    return urlsplit(service.config.base_url).path.rstrip("/") + "/"


def file_name(prediction: Prediction, file_format: str) -> str:
    """A name from the prompt and the seed: heroic-brass-s7.wav."""
    prompt = str(prediction.input.get("prompt") or "")
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower())[:MAX_SLUG_CHARS].strip("-")
    seed = "" if prediction.seed is None else f"-s{prediction.seed}"
    return f"{slug or 'music'}{seed}.{file_format}"


def by_token(service: Service, token: str) -> Prediction:
    """The prediction whose stream token this is, or 404."""
    found = service.store.prediction_by_stream(token)
    if found is None:
        raise not_found()
    return found


def _entry(service: Service, prediction: Prediction, standing: Standing) -> dict[str, Any]:
    paths = _Paths(root(service), prediction)
    is_heard = prediction.status not in {"failed", "canceled"} and not prediction.data_removed
    is_made = prediction.status == "succeeded" and prediction.output_file is not None
    duration_s = _duration_s(prediction) if is_made else None
    return {
        **service.views.prediction(prediction),
        "starred": standing.is_starred,
        "position": standing.position,
        "progress": _progress(service, prediction),
        "seed": prediction.seed,
        "weights": shown_name(prediction.weights),
        "duration_s": duration_s,
        "rtf": _rtf(prediction, duration_s),
        "audio_url": paths.of("audio") if is_heard else None,
        "events_url": f"{paths.root}v1/files/{STREAM_PREFIX}{prediction.stream_token}",
        "analysis_url": paths.in_history("analysis") if is_made else None,
        "downloads": {f: paths.in_history("download", format=f) for f in FORMATS}
        if is_made
        else None,
        "share_url": f"{paths.root}share/{prediction.stream_token}",
        "recording": _recording(service, prediction),
    }


class _Paths:
    """Where a prediction's parts are, for whoever is given them."""

    def __init__(self, root: str, prediction: Prediction) -> None:
        self.root = root
        self._id, self._token = prediction.id, prediction.stream_token

    def of(self, part: str) -> str:
        """A part that the predictions' own routes give."""
        return f"{self.root}v1/predictions/{self._id}/{part}?{urlencode({'token': self._token})}"

    def in_history(self, part: str, **query: str) -> str:
        """A part that the history's routes give."""
        values = urlencode({**query, "token": self._token})
        return f"{self.root}v1/history/{self._id}/{part}?{values}"


def _progress(service: Service, prediction: Prediction) -> dict[str, Any] | None:
    """How far it is, and how many seconds it will take if it goes on as until now."""
    step, n_steps = prediction.progress
    if prediction.status != RUNNING or not n_steps:
        return None
    left_s = None
    if step and prediction.started_at is not None:
        elapsed_s = (service.store.now() - prediction.started_at).total_seconds()
        left_s = round(max(0.0, elapsed_s) / step * (n_steps - step), 1)
    return {"step": step, "n_steps": n_steps, "seconds_left": left_s}


def _duration_s(prediction: Prediction) -> float:
    """How long the music is; of pieces whose worker didn't say, how long was asked for."""
    default = Inputs.model_fields["duration"].default
    asked = prediction.input.get("duration", default)
    return float(prediction.metrics.get("audio_duration_s", asked))


def _rtf(prediction: Prediction, duration_s: float | None) -> float | None:
    took_s = prediction.metrics.get("predict_time")
    if duration_s is None or not took_s or prediction.status not in FINAL:
        return None
    return round(duration_s / float(took_s), 2)


def _recording(service: Service, prediction: Prediction) -> dict[str, str] | None:
    """What it was made from, where that lies here."""
    given = prediction.input.get("input_audio")
    if not isinstance(given, str) or ":" in given:
        return None
    file = service.files.file_of(given)
    if file is None:
        return None
    config = service.config
    if file.purpose == "output":
        url = service.files.output_url("", file, config.url_ttl_s)
    else:
        url = service.files.download_url("", file, config.url_ttl_s)
    return {"name": file.name, "url": root(service) + url.removeprefix("/")}
