"""Requests to a system outside, bounded: one deadline for the whole answer, a largest size, no redirects, no secrets
in any message.

WebError
├── WebUnreachable   no answer, or 'not now' (408, 425, 429, 5xx): it may have been done all the same
│   └── WebUnsent    there was no connection to send anything over: nothing was done
├── WebRefused       it answered no (other 4xx): nothing was done
└── WebNonsense      it redirected, or its answer can't be read
"""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from firebreak.blocks.action import ActionError

LARGEST_ANSWER = 1_000_000  # bytes
BUSY = (408, 425, 429)


class WebError(Exception):
    """Base of what a request raises. Messages name the system and never hold a secret."""


class WebUnreachable(WebError):
    """No answer, or 'not now'."""


class WebUnsent(WebUnreachable, ActionError):
    """Nothing was sent."""


class WebRefused(WebError, ActionError):
    """The system answered no."""


class WebNonsense(WebError):
    """An answer that can't be one."""


@dataclass(frozen=True)
class Reply:
    """Status and body of an answer that was read whole."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Errors: ValueError."""
        return json.loads(self.body)


def web_address(url: str) -> str:
    """The address without a trailing slash. Errors: ValueError (no http(s), or user, query or fragment in it)."""
    parts = urlsplit(url)
    more = parts.query or parts.fragment or "@" in parts.netloc  # a password there would replace the token
    if parts.scheme not in ("http", "https") or not parts.hostname or more:
        raise ValueError("write an address such as https://ops.example.com/api, without user, ? and #")
    return url.rstrip("/")


class Web:
    """One system: ``name`` and ``todo`` make its errors readable, ``secrets`` are masked in them."""

    def __init__(self, name: str, url: str, timeout: float, secrets: Collection[str] = (), todo: str = "") -> None:
        self._name, self._url, self._timeout = name, url, timeout
        self._secrets, self._todo = [s for s in secrets if s], todo

    def ask(
        self, method: str, path: str = "", *, headers: Mapping[str, str] | None = None, takes: Collection[int] = (),
        **more: Any,
    ) -> Reply:  # fmt: skip
        """One request; ``more`` goes to httpx (json, data, auth, params). ``takes``: statuses that are no errors here.

        Errors: WebError.
        """
        failure: WebError
        try:
            reply = self._send(method, path, dict(headers or {}), **more)
        except httpx.ConnectError as error:
            failure = WebUnsent(self.say("can't be reached, so nothing was sent", type(error).__name__))
        except (httpx.TimeoutException, TimeoutError):
            failure = WebUnreachable(self.say(f"gave no answer in {self._timeout:g} s"))
        except (httpx.TransportError, OSError) as error:
            failure = WebUnreachable(self.say("broke off", type(error).__name__))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            failure = WebNonsense(self.say("gave no readable answer", type(error).__name__))
        else:
            if reply.status < 300 or reply.status in takes:
                return reply
            failure = self._failure(reply)
        raise failure from None

    def ask_json(self, method: str, path: str = "", **more: Any) -> Any:
        """The answer's JSON. Errors: WebError."""
        reply = self.ask(method, path, **more)
        try:
            return reply.json()
        except ValueError:
            raise WebNonsense(self.say("answered something else than JSON", f"status {reply.status}")) from None

    def say(self, what: str, why: str = "") -> str:
        """An error's message."""
        address = urlsplit(self._url)
        where = f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")
        for secret in self._secrets:
            why = why.replace(secret, "***")
        why = " ".join(why.split())[:300]
        return f"{self._name} {where} {what}{f' ({why})' if why else ''}{f'; {self._todo}' if self._todo else ''}"

    def _send(self, method: str, path: str, headers: dict[str, str], **more: Any) -> Reply:
        """httpx's timeout is between bytes; ours is for the whole."""
        deadline, body = time.monotonic() + self._timeout, bytearray()
        with (
            httpx.Client(timeout=self._timeout, follow_redirects=False) as client,
            client.stream(method, self._url + path, headers=headers, **more) as response,
        ):
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > LARGEST_ANSWER:
                    raise ValueError
        return Reply(response.status_code, bytes(body))

    def _failure(self, reply: Reply) -> WebError:
        if 300 <= reply.status < 400:
            # Following it would hand the token to whoever is there.
            return WebNonsense(self.say(f"redirects ({reply.status}); set url to the address itself"))
        words = reply.body.decode("utf-8", "replace")
        if reply.status >= 500 or reply.status in BUSY:
            return WebUnreachable(self.say(f"answered {reply.status}", words))
        return WebRefused(self.say(f"answered {reply.status}", words))
