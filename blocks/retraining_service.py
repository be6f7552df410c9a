"""Block: an external service that trains the candidate and registers it in our model registry.

ServiceError
├── ServiceUnreachable   down, too slow, or busy (408, 429, 5xx): worth trying again
├── ServiceRefused       it answered no (wrong token, unknown job, bad request): a person must mend something
└── ServiceNonsense      it redirected, or what it answered is not what was agreed

``POST <url>/retrain`` (JSON; header Idempotency-Key) answers ``{"job_id": "…"}``; the same key gives the same job.
``GET <url>/retrain/<job_id>`` answers ``{"state": "running"}``, ``{"state": "succeeded", "version": "7"}`` with the
model version's number in our registry, made since the request and with ``predict_proba``, or ``{"state": "failed",
"reason": "…"}``. Both with ``Authorization: Bearer``.
"""

import time
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

LARGEST_ANSWER = 1_000_000  # bytes
BUSY = (408, 425, 429)


class ServiceError(Exception):
    """Base of what a retraining service raises. Messages never hold the token."""


class ServiceUnreachable(ServiceError):
    """No answer, or 'not now'."""


class ServiceRefused(ServiceError):
    """The service answered and said no."""


class ServiceNonsense(ServiceError):
    """The service answered with something else than agreed."""


class Outcome(BaseModel):
    """How a job stands. ``version`` is a model version's number in our registry."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    state: Literal["running", "succeeded", "failed"]
    version: str | None = Field(default=None, pattern=r"^[0-9]{1,18}$")
    reason: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.state == "succeeded" and self.version is None:
            raise ValueError("succeeded, but names no version")
        return self


class _Started(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    job_id: str = Field(min_length=1, max_length=200)


Answer = TypeVar("Answer", _Started, Outcome)


class RetrainingService(Block):
    """Where the service is, the token to it, and how long to wait for a job."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a refused token must not stand in the refusal

    _block_type_name = "Retraining Service"
    _block_type_slug = "retraining-service"
    _description = "An external service that trains a model and registers it: address, token, patience."

    url: str = Field(description="https://training.example.com/api; /retrain is under it")
    token: SecretStr = Field(description="bearer token, kept secret")
    poll_seconds: float = Field(default=15, gt=0, description="between two looks at a job")
    timeout_minutes: float = Field(default=120, gt=0, description="for a whole job, from its start")
    timeout: float = Field(default=10, gt=0, description="seconds for one answer")

    @field_validator("url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        parts = urlsplit(url)
        more = parts.query or parts.fragment or "@" in parts.netloc  # a password there would replace the token
        if parts.scheme not in ("http", "https") or not parts.hostname or more:
            raise ValueError("write an address such as https://training.example.com/api, without user, ? and #")
        return url.rstrip("/")

    def start(self, request: dict[str, Any], key: str) -> str:
        """Ask for a retraining; the job's id. The same ``key`` again gives the same job. Errors: ServiceError."""
        return self._ask(_Started, "POST", "/retrain", json=request, headers={"Idempotency-Key": key}).job_id

    def outcome(self, job_id: str) -> Outcome:
        """How a job stands now. Errors: ServiceError."""
        return self._ask(Outcome, "GET", f"/retrain/{quote(job_id, safe='')}")

    def _ask(self, kind: type[Answer], method: str, path: str, **more: Any) -> Answer:
        failure: ServiceError
        try:
            status, body = self._send(method, path, **more)
        except (httpx.TimeoutException, TimeoutError):
            failure = ServiceUnreachable(self._say(f"gave no answer in {self.timeout:g} s"))
        except (httpx.TransportError, OSError) as error:
            failure = ServiceUnreachable(self._say("can't be reached", type(error).__name__))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            failure = ServiceNonsense(self._say("gave no readable answer", type(error).__name__))
        else:
            try:
                return self._read(kind, status, body)
            except ServiceError as error:
                failure = error
        raise failure from None

    def _send(self, method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> tuple[int, bytes]:
        """Status and body. httpx's timeout is between bytes; ours is for the whole."""
        deadline, body = time.monotonic() + self.timeout, bytearray()
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}", **(headers or {})}
        with (
            httpx.Client(timeout=self.timeout, follow_redirects=False) as client,
            client.stream(method, self.url + path, headers=headers, **more) as response,
        ):
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > LARGEST_ANSWER:
                    raise ValueError
        return response.status_code, bytes(body)

    def _read(self, kind: type[Answer], status: int, body: bytes) -> Answer:
        if 300 <= status < 400:
            # Following it would hand the token to whoever is there.
            raise ServiceNonsense(self._say(f"redirects ({status}); set url to the address itself"))
        if status >= 500 or status in BUSY:
            raise ServiceUnreachable(self._say(f"answered {status}", body.decode("utf-8", "replace")))
        if status >= 400:
            raise ServiceRefused(self._say(f"answered {status}", body.decode("utf-8", "replace")))
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(step) for step in first["loc"]) or "body"
            why = f"{at}: {first['msg']}"
        raise ServiceNonsense(self._say("answered something else than agreed", why))

    def _say(self, what: str, why: str = "") -> str:
        address = urlsplit(self.url)
        where = f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")
        why = " ".join(why.replace(self.token.get_secret_value() or "\0", "***").split())[:300]
        todo = "check url and token in the block retraining-service"
        return f"retraining service {where} {what}{f' ({why})' if why else ''}; {todo}"
