"""Webhooks: told in order, signed, and the end of a prediction told until it is heard.

What is to be sent is in the store, written together with what it tells of: neither a crash nor a
receiver that is away loses it. A message may arrive twice, under the same `webhook-id`.
The signature is that of the Standard Webhooks specification, https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import anyio
from anyio import CapacityLimiter, to_thread

from fanfare.server.addresses import RefusedUrlError
from fanfare.server.netguard import FetchError, post
from fanfare.server.records import Delivery, Prediction, StoreError
from fanfare.server.store import Store
from fanfare.server.store_deliveries import DELAYS_S, receiver

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
POLL_S = 0.5
AFTER_A_FAULT_S = 1.0
N_WRITES = 10
MAX_AT_ONCE = 32
PER_RECEIVER = 4
"""Of these, so that one that is away leaves room for the others; 1 while it doesn't answer."""
MAX_AWAY = 1000
"""Receivers that are remembered as away."""
GONE = 410
"""The receiver's word that it wants no more."""

Outcome = Literal["delivered", "retried", "given up"]
View = Callable[[Prediction], Mapping[str, Any]]


class Post(Protocol):
    """How a body is sent: `netguard.post`, or a test's."""

    def __call__(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        allow_private: bool,
    ) -> int:
        """The status of the answer; RefusedUrlError, FetchError."""


def secret_text(secret: bytes) -> str:
    """A secret as receivers are told it: `whsec_` and standard base64."""
    return f"whsec_{base64.b64encode(secret).decode()}"


def sign(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The signature of exactly these bytes, sent at that second."""
    made = hmac.digest(secret, f"{id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(made).decode()}"


class Webhooks:
    """Sends what the store says is due, for as long as `run` runs.

    Args:
        view: a prediction as the body shows it, as GET does. Runs in a thread.
        told: is called with every outcome, for the metrics; from a thread of the event loop.
    """

    def __init__(
        self,
        store: Store,
        view: View,
        *,
        allow_private: bool,
        send: Post = post,
        told: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self._store = store
        self._view = view
        self._allow_private = allow_private
        self._send = send
        self._told = told
        self._secret = store.secret("webhooks")
        self._busy: dict[str, str] = {}  # the receiver of each that is being sent, by its id
        self._ended: list[str] = []  # of the busy ones
        self._away: set[str] = set()  # receivers that didn't answer the last time
        self._wake = anyio.Event()

    @property
    def secret(self) -> str:
        """What receivers check signatures with."""
        return secret_text(self._secret)

    def wake(self) -> None:
        """Something is due; from the event loop's thread."""
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled. Nothing that goes wrong ends it."""
        limiter = CapacityLimiter(MAX_AT_ONCE)
        async with anyio.create_task_group() as tasks:
            while True:
                # Only now: what has arrived since the last list was made may stand in it.
                while self._ended:
                    del self._busy[self._ended.pop()]
                self._wake = anyio.Event()
                pause_s = POLL_S
                try:
                    due = await to_thread.run_sync(self._due)
                except StoreError as error:
                    log.warning("webhooks wait: %s", error)
                    due, pause_s = [], AFTER_A_FAULT_S
                for delivery in due:
                    if self._may_go(delivery):
                        self._busy[delivery.id] = receiver(delivery.url)
                        tasks.start_soon(self._deliver, delivery, limiter)
                with anyio.move_on_after(pause_s):
                    await self._wake.wait()

    def _due(self) -> list[Delivery]:
        return self._store.due_deliveries(per_receiver=PER_RECEIVER)

    def _may_go(self, delivery: Delivery) -> bool:
        """Whether it isn't on its way, and there is room for one more to its receiver."""
        if delivery.id in self._busy or len(self._busy) >= MAX_AT_ONCE:
            return False
        to = receiver(delivery.url)
        n_there = sum(other == to for other in self._busy.values())
        return n_there < (1 if to in self._away else PER_RECEIVER)

    async def _deliver(self, delivery: Delivery, limiter: CapacityLimiter) -> None:
        try:
            outcome = await to_thread.run_sync(
                self.deliver, delivery, limiter=limiter, abandon_on_cancel=True
            )
            self._told(outcome)
            if outcome == "delivered":
                self._away.discard(receiver(delivery.url))
            else:
                if len(self._away) >= MAX_AWAY:
                    self._away.clear()
                self._away.add(receiver(delivery.url))
        except StoreError as error:
            log.warning("a webhook may be sent twice: %s", error)
        finally:
            self._ended.append(delivery.id)
            self.wake()  # the next of the same prediction, or for the same receiver

    def deliver(self, delivery: Delivery) -> Outcome:
        """Send one, once, and write down what came of it; StoreError when that can't be done."""
        failure, is_final = self._attempt(delivery)
        if failure is None:
            self._surely(lambda: self._store.delivered(delivery.id))
            return "delivered"
        told = f"{delivery.event} of {delivery.prediction.id} to {_shown(delivery.url)}"
        if is_final or delivery.event != "completed" or delivery.tries >= len(DELAYS_S):
            self._surely(lambda: self._store.give_up(delivery.id))
            log.warning("webhook given up: %s: %s", told, failure)
            return "given up"
        self._surely(lambda: self._store.retry_delivery(delivery.id))
        log.info("webhook tried again in %d s: %s: %s", DELAYS_S[delivery.tries], told, failure)
        return "retried"

    def _surely(self, write: Callable[[], None]) -> None:
        """Write, once the store lets us: what isn't written down is sent again."""
        for _ in range(N_WRITES - 1):
            try:
                write()
            except StoreError as error:
                log.warning("the store can't be written, trying again: %s", error)
                time.sleep(AFTER_A_FAULT_S)
            else:
                return
        write()

    def _attempt(self, delivery: Delivery) -> tuple[str | None, bool]:
        """What went wrong, if anything did, and whether it always will."""
        try:
            view = self._view(delivery.prediction)
        except StoreError:
            raise
        except Exception:  # a fault of ours: it must not take the other webhooks along
            log.exception("a prediction can't be shown: %s", delivery.prediction.id)
            return "a fault of the server's own", False
        body = json.dumps(view, separators=(",", ":")).encode()
        timestamp = int(self._store.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secret, delivery.id, timestamp, body),
        }
        try:
            status = self._send(
                delivery.url,
                body,
                headers,
                timeout_s=TIMEOUT_S,
                allow_private=self._allow_private,
            )
        except RefusedUrlError as error:
            return str(error), True
        except FetchError as error:
            return str(error), False
        failure = None if 200 <= status < 300 else f"status {status}"
        return failure, status == GONE


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    with suppress(ValueError):
        return urlsplit(url).hostname or "?"
    return "?"
