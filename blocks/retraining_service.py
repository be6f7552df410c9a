"""Block: an external service that trains the candidate and registers it in our model registry. Errors: WebError.

``POST <url>/retrain`` (JSON; header Idempotency-Key) answers ``{"job_id": "…"}``; the same key gives the same job.
``GET <url>/retrain/<job_id>`` answers ``{"state": "running"}``, ``{"state": "succeeded", "version": "7"}`` with the
model version's number in our registry, made since the request and with ``predict_proba``, or ``{"state": "failed",
"reason": "…"}``. Both with ``Authorization: Bearer``.
"""

from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from firebreak.blocks.web import Web, WebNonsense, web_address


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
        return web_address(url)

    def start(self, request: dict[str, Any], key: str) -> str:
        """Ask for a retraining; the job's id. The same ``key`` again gives the same job. Errors: WebError."""
        return self._ask(_Started, "POST", "/retrain", json=request, headers={"Idempotency-Key": key}).job_id

    def outcome(self, job_id: str) -> Outcome:
        """How a job stands now. Errors: WebError."""
        return self._ask(Outcome, "GET", f"/retrain/{quote(job_id, safe='')}")

    def _ask(
        self, kind: type[Answer], method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> Answer:
        token = self.token.get_secret_value()
        web = Web(
            "retraining service",
            self.url,
            self.timeout,
            secrets=[token],
            todo="check url and token in the block retraining-service",
        )
        reply = web.ask(method, path, headers={"Authorization": f"Bearer {token}", **(headers or {})}, **more)
        try:
            return kind.model_validate_json(reply.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(step) for step in first["loc"]) or "body"
            why = f"{at}: {first['msg']}"
        raise WebNonsense(web.say("answered something else than agreed", why))
