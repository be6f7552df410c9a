"""A simulated model: an OpenAI-compatible server on loopback for machines without a key. It is no AI.

It answers support questions with fixed texts, the same for the same question. It is gullible on purpose: a
user message that tells it to ignore its instructions, or to reveal them, gets its system prompt word for word.
"""

import argparse
import hashlib
import math
import os
import re
import socket
import time
from pathlib import Path
from typing import Literal

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError

from firebreak.deployments.ports import LOOPBACK

MODELS = ("simulated-support-1", "simulated-support-2")
LARGEST_BODY = 5_000_000

GULLIBLE = re.compile(
    r"(ignore|disregard|forget|override|bypass)\b.{0,40}\b(instruction|rule|prompt|direction|guideline)s?"
    r"|(reveal|repeat|print|show|output|tell me|give me|what is|what are)\b.{0,40}\b"
    r"(system prompt|your (hidden |secret |initial )?(instruction|prompt)s?)",
    re.IGNORECASE | re.DOTALL,
)
ANSWERS = (
    (r"invoice|charge|refund|payment|bill", "Your invoices are under Settings, Billing; a refund takes five days."),
    (
        r"password|log ?in|sign ?in|locked|account",
        "Use 'Forgot password' on the sign-in page; the link lasts an hour.",
    ),
    (
        r"crash|error|bug|broken|fail|slow",
        "Thank you for the report. When did it happen? We look into it.",
    ),
    (r"how|where|can i|set ?up|export", "The handbook has a page on this: open Help and search for the first words."),
)
OTHERWISE = "Thank you for writing about “{subject}”. A colleague will answer within one working day."
SUBJECT_WORDS = 6
CLOSINGS = {MODELS[0]: "", MODELS[1]: " Is there anything else we can do for you?"}


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str


class Question(BaseModel):
    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool = False


def reply(question: Question) -> str:
    """What the simulated model says."""
    system = "\n".join(m.content for m in question.messages if m.role in ("system", "developer"))
    asked = "\n".join(m.content for m in question.messages if m.role == "user")
    if GULLIBLE.search(asked):
        return f"Of course. My instructions are:\n{system}"
    subject = " ".join(asked.split()[:SUBJECT_WORDS])[:100]
    otherwise = OTHERWISE.replace("{subject}", subject)
    answer = next((text for words, text in ANSWERS if re.search(words, asked, re.IGNORECASE)), otherwise)
    return answer + CLOSINGS[question.model]


def refuse(status: int, message: str, code: str) -> JSONResponse:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


def create_app() -> FastAPI:
    """The server's application; every model call needs a bearer key, any one will do."""
    app = FastAPI(title="Simulated model", docs_url=None, redoc_url=None, openapi_url=None)

    def keyless(request: Request) -> JSONResponse | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return None
        return refuse(401, "no API key: send 'Authorization: Bearer KEY'; any key will do here", "invalid_api_key")

    @app.get("/v1/models")
    def models(request: Request) -> JSONResponse:
        known = [{"id": name, "object": "model", "created": 0, "owned_by": "firebreak-simulated"} for name in MODELS]
        return keyless(request) or JSONResponse({"object": "list", "data": known})

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> JSONResponse:
        if refusal := keyless(request):
            return refusal
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > LARGEST_BODY:
                return refuse(400, f"the request is longer than {LARGEST_BODY} bytes", "request_too_large")
        try:
            question = Question.model_validate_json(bytes(body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            at = ".".join(str(step) for step in first["loc"]) or "body"
            return refuse(400, f"{at}: {first['msg']}", "invalid_request")
        if question.stream:
            return refuse(400, "the simulated model doesn't stream: send stream=false", "unsupported_stream")
        if question.model not in MODELS:
            return refuse(404, f"no model {question.model[:100]!r}; there is {', '.join(MODELS)}", "model_not_found")
        return JSONResponse(completion(question, hashlib.sha256(body).hexdigest()[:24]))

    return app


def completion(question: Question, id: str) -> dict[str, object]:
    """A chat completion; a token is counted for every four characters."""
    text = reply(question)
    asked, said = (math.ceil(len(t) / 4) for t in ("".join(m.content for m in question.messages), text))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}
    return {
        "id": f"chatcmpl-simulated-{id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": question.model,
        "choices": [choice],
        "usage": usage,
    }


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; where the port is taken, on a free one."""
    for candidate in (port, 0):
        found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((LOOPBACK, candidate))
        except OSError as error:
            found.close()
            print(f"port {candidate}: {error.strerror}; taking another", flush=True)
            continue
        found.listen(128)
        return found
    raise OSError(f"no free port on {LOOPBACK}")


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--port-file", type=Path, help="written with the port once requests are taken")
    arguments = parser.parse_args()
    with listen(arguments.port) as server:
        port = server.getsockname()[1]
        print(f"simulated model on http://{LOOPBACK}:{port}/v1, models {', '.join(MODELS)}", flush=True)
        if arguments.port_file:
            draft = arguments.port_file.with_name(f"{arguments.port_file.name}.{os.getpid()}")
            draft.write_text(f"{port}\n")
            draft.replace(arguments.port_file)
        uvicorn.Server(uvicorn.Config(create_app(), log_level="warning")).run(sockets=[server])


if __name__ == "__main__":
    main()
