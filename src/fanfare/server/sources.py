"""Where a prediction's recording comes from: an upload, an earlier output, a data: URI, a URL.

What lies here already is found on the disk, never fetched over the network; what came inside the
request becomes a file, so that neither the store nor any log holds it; only other URLs stay.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from fanfare.server.addresses import RefusedUrlError
from fanfare.server.config import ServeConfig
from fanfare.server.files import Meant, is_ours
from fanfare.server.netguard import check_url
from fanfare.server.problems import InvalidField, InvalidInputError
from fanfare.server.records import File
from fanfare.server.service import Service


@dataclass(frozen=True)
class Source:
    """A recording to use.

    Attributes:
        value: the id of a file, or a URL to fetch.
        made: the file that was made of this request, if one was.
    """

    value: str
    made: File | None = None


def keep_source(service: Service, owner: str, given: str | None) -> Source | None:
    """A checked `input_audio` as what the store keeps of it; blocking. Raises InvalidInputError."""
    if given is None:
        return None
    given = given.strip()
    if given[:5].lower() == "data:":
        made = _kept(service, owner, given)
        return Source(made.id, made)
    bases = own_urls(service.config)
    if not is_ours(given, bases):
        _check_url(given, "input.input_audio", service.config)
        return Source(given)
    file = service.files.by_url(given, bases, owner)
    if file is None:
        raise _wrong("no such file here: upload it again, it may have expired")
    return Source(file.id)


def drop_source(service: Service, owner: str, source: Source | None) -> None:
    """Remove what was made of a request that was refused after all."""
    if source is not None and source.made is not None:
        service.files.delete(source.made.id, owner)


def own_urls(config: ServeConfig) -> list[str]:
    """What URLs of this server begin with, by all its names."""
    hosts = ["localhost", "127.0.0.1", "[::1]"]
    return [config.base_url, *(f"http://{host}:{config.port}" for host in hosts)]


def check_webhook(url: str, field: str, config: ServeConfig) -> str:
    """A webhook's URL, as far as can be seen without asking the network."""
    _check_url(url, field, config)
    return url


def _check_url(url: str, field: str, config: ServeConfig) -> None:
    """Refuse at once what would be refused when it is fetched; names are resolved only then."""
    try:
        check_url(url, allow_private=config.allow_private_urls)
    except RefusedUrlError as error:
        raise InvalidInputError([InvalidField("format", field, str(error))]) from None


def _kept(service: Service, owner: str, uri: str) -> File:
    """The bytes of a data: URI as a file."""
    head, comma, body = uri[5:].partition(",")
    if not comma:
        raise _wrong("this data: URI has no comma, so no data")
    limit = service.config.max_upload_bytes
    if len(body) > 4 * limit:
        raise _wrong(f"larger than the {limit} bytes that are allowed")
    try:
        data = unquote_to_bytes(body)
        if head.lower().endswith(";base64"):
            data = base64.b64decode(data, altchars=None, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("this data: URI isn't valid base64") from None
    if len(data) > limit:
        raise _wrong(f"larger than the {limit} bytes that are allowed")
    meant = Meant(owner, content_type=head, ttl_s=service.config.url_ttl_s)
    return service.files.save([data], meant, cap_bytes=limit)


def _wrong(hint: str) -> InvalidInputError:
    return InvalidInputError([InvalidField("invalid", "input.input_audio", hint)])
