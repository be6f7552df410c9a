"""Block: an OpenAI-compatible model endpoint, the real service included.

EndpointError
├── EndpointUnreachable   down, too slow, or too busy to answer (408, 429, 5xx): worth trying again
├── EndpointRefused       it answered no (wrong key, unknown model, bad request): a person must mend something
└── EndpointNonsense      what it answered is not a chat completion
"""

import time
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

if TYPE_CHECKING:
    import openai  # at run time only where a model is asked: it takes half a second, and every flow run loads blocks

LARGEST_ANSWER = 10_000_000  # bytes
BUSY = (408, 429)


class EndpointError(Exception):
    """Base of what a model endpoint raises. Messages never hold the key; ``status`` is the answer's, if it had one."""

    status: int | None = None


class EndpointUnreachable(EndpointError):
    """No answer, or 'not now'."""


class EndpointRefused(EndpointError):
    """The endpoint answered and said no."""


class EndpointNonsense(EndpointError):
    """The endpoint answered with something else than a chat completion."""


class Completion(BaseModel):
    """One answer. ``model`` is the model that answered; token counts are the endpoint's own."""

    text: str
    model: str | None = None
    prompt_tokens: int | None = None
    response_tokens: int | None = None


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: _Usage | None = None


class ModelEndpoint(Block):
    """Where a workflow's model is, and the key to it."""

    model_config = ConfigDict(hide_input_in_errors=True)  # a refused key must not stand in the refusal

    _block_type_name = "Model Endpoint"
    _block_type_slug = "model-endpoint"
    _description = "An OpenAI-compatible model endpoint: address, key and model."

    base_url: str = Field(description="https://api.openai.com/v1, or any server with /chat/completions under it")
    api_key: SecretStr = Field(description="the key, kept secret")
    model: str = Field(description="name of the model to ask")
    timeout: float = Field(default=30.0, gt=0, description="seconds for one whole answer")

    def client(self) -> "openai.OpenAI":
        """The ``openai`` client, one per address and process. It doesn't retry: retries belong to tasks."""
        return _client(self.base_url, self.api_key.get_secret_value(), self.timeout)

    @property
    def host(self) -> str | None:
        """The host that calls go to."""
        return urlsplit(self.base_url).hostname

    def complete(
        self, system: str, user_text: str, temperature: float | None = None, most_tokens: int | None = None
    ) -> Completion:
        """Ask once, for at most so many tokens. Errors: EndpointUnreachable, EndpointRefused, EndpointNonsense."""
        import openai

        body: bytes | None = None
        failure: EndpointError
        try:
            body = self._ask(system, user_text, temperature, most_tokens)
        except openai.APIStatusError as error:
            status = error.status_code
            kind = EndpointUnreachable if status >= 500 or status in BUSY else EndpointRefused
            failure = kind(self._say(f"answered {status}", _reason(error.body)))
            failure.status = status
        except openai.APITimeoutError:
            failure = EndpointUnreachable(self._say(f"gave no answer in {self.timeout:g} s", ""))
        except (openai.APIConnectionError, TimeoutError, OSError) as error:
            failure = EndpointUnreachable(self._say("can't be reached", type(error.__cause__ or error).__name__))
        except (openai.OpenAIError, ValueError) as error:
            failure = EndpointNonsense(self._say("gave no readable answer", type(error).__name__))
        if body is None:
            raise failure  # outside the handler, so that nothing that holds the key is chained to it
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(step) for step in first["loc"]) or "body"
            failure = EndpointNonsense(self._say("answered something else than a completion", f"{at}: {first['msg']}"))
        else:
            usage = answer.usage or _Usage()
            return Completion(
                text=answer.choices[0].message.content,
                model=answer.model,
                prompt_tokens=usage.prompt_tokens,
                response_tokens=usage.completion_tokens,
            )
        raise failure

    def _ask(self, system: str, user_text: str, temperature: float | None, most_tokens: int | None) -> bytes:
        """The answer's body. The client's timeout is between bytes; ours is for the whole."""
        import openai

        deadline = time.monotonic() + self.timeout
        body = bytearray()
        with self.client().chat.completions.with_streaming_response.create(
            model=self.model,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": user_text}],
            temperature=openai.omit if temperature is None else temperature,
            max_tokens=openai.omit if most_tokens is None else most_tokens,
        ) as response:
            for piece in response.iter_bytes():
                body += piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > LARGEST_ANSWER:
                    raise ValueError
        return bytes(body)

    def _say(self, what: str, why: str) -> str:
        address = urlsplit(self.base_url)
        where = f"{address.scheme}://{address.hostname}" + (f":{address.port}" if address.port else "")
        why = why.replace(self.api_key.get_secret_value() or "\0", "***")[:300]
        todo = "check base_url, key and model in the block model-endpoint"
        return f"model endpoint {where} {what}{f' ({why})' if why else ''}; {todo}"


def _reason(body: object) -> str:
    """The endpoint's own words in an OpenAI-shaped error."""
    words = body.get("message") if isinstance(body, dict) else None
    return words if isinstance(words, str) else ""


@lru_cache(maxsize=8)
def _client(base_url: str, key: str, timeout: float) -> "openai.OpenAI":
    import openai

    return openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout, max_retries=0)
