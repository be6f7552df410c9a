"""Block: any system with an HTTP interface, as an action described in YAML: request, probe, undo.

    title: Block the user at the edge
    actors: [user]
    approval: auto
    request: {method: PUT, path: "/blocklist/{actor}", json: {reason: "{kind}", incident: "{incident}"}}
    probe:   {path: "/blocklist/{actor}", json: {blocked: true}}
    undo:    {method: DELETE, path: "/blocklist/{actor}"}
    undone:  {path: "/blocklist/{actor}", status: [404]}

``{actor}``, ``{workflow}``, ``{kind}``, ``{severity}`` and ``{incident}`` are filled in as data: a whole segment of a
path (percent-encoded) or a whole JSON value, never a piece of text. Without a probe the outcome is unknown.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, field_validator

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe, held_by_others
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.web import Reply, Web, web_address
from firebreak.detectors.findings import ActorType
from firebreak.detectors.yaml_text import read_yaml

NAMES = ("actor", "workflow", "kind", "severity", "incident")
LONGEST_PATH = 500  # before a name is filled in
_PLACE = re.compile(r"\{(\w*)\}")
Path = Annotated[str, StringConstraints(pattern=r"^(/[^?#\s/]*)*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Request(_Strict):
    """What is sent. A query goes into ``params``."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    path: Path = ""
    params: dict[str, str] = {}
    json_body: Any = Field(default=None, alias="json")


class Look(Request):
    """A request that changes nothing, and what its answer says when the effect is there."""

    method: Literal["GET", "POST"] = "GET"
    status: list[int] = Field(default=[200], min_length=1)
    json_body: Any = None
    json_has: dict[str, Any] = Field(default={}, alias="json", description="dotted path to the value it has")

    def holds(self, reply: Reply) -> bool:
        """Errors: ValueError (an answer of that status without the JSON that was to be looked at)."""
        if reply.status not in self.status:
            return False
        body = reply.json() if self.json_has else None
        return all(_dig(body, path) == wanted for path, wanted in self.json_has.items())


class Definition(_Strict):
    """The YAML."""

    title: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    actors: tuple[ActorType, ...] = Field(min_length=1, description="whom it may be about; it is left out for others")
    approval: Literal["auto", "one"] = "one"
    request: Request
    probe: Look | None = None
    undo: Request | None = None
    undone: Look | None = None


def parse_definition(text: str) -> Definition:
    """Errors: ValueError naming the key."""
    try:
        told = Definition.model_validate(read_yaml(text))
    except yaml.YAMLError as error:
        raise ValueError(f"definition: not valid YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"definition: {'.'.join(map(str, first['loc'])) or 'whole'}: {first['msg']}") from None
    for request in (told.request, told.probe, told.undo, told.undone):
        if request is not None:
            if len(request.path) > LONGEST_PATH:
                raise ValueError(f"definition: a path of {len(request.path)} characters; at most {LONGEST_PATH}")
            for segment in request.path.split("/"):
                _check(segment, "a segment of the path")
            _walk(
                [request.params, request.json_body, getattr(request, "json_has", None)], partial(_check, what="a value")
            )
    if told.undo and not (told.undone or told.probe):
        raise ValueError("definition: undo: needs `undone` or `probe`, else no release could ever see that it is done")
    return told


class HttpAction(Action):
    """One kind of step, without code of your own."""

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "HTTP Action"
    _block_type_slug = "http-action"
    _description = "Firebreak action: an HTTP request described in YAML, with its probe and its undo."

    effect: ClassVar[tuple[str, ...]] = ("url", "undo")  # one target can be meant in many ways

    url: str = Field(description="the system's address, as https://ops.example.com/api")
    definition: str = Field(description="YAML: title, actors, approval, request, probe, undo, undone")
    secret: SecretStr | None = Field(default=None, description="what the header below carries, kept secret")
    header: str = Field(default="Authorization", pattern=r"^[A-Za-z0-9-]+$", description="header of the secret")
    prefix: str = Field(default="Bearer ", description="before the secret; empty for a bare key")
    timeout: float = Field(default=10, gt=0, description="seconds for one answer")

    _address = field_validator("url")(partial(web_address))

    @field_validator("definition")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_definition(text)
        return text

    @property
    def repeatable(self) -> bool:
        """By HTTP's own word (RFC 9110, 9.2.2): a POST sent twice may be done twice."""
        told = parse_definition(self.definition)
        return all(one is None or one.method in ("GET", "PUT", "DELETE") for one in (told.request, told.undo))

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """The requests as they will be sent, so that they are what is approved."""
        told = parse_definition(self.definition)
        if incident.actor_type not in told.actors:
            return LeftOut(why=f"its definition is not about a {incident.actor_type}")
        facts = {
            "actor": incident.actor,
            "workflow": incident.workflow,
            "kind": incident.kind,
            "severity": str(incident.severity),
            "incident": incident.id,
        }
        requests = {name: getattr(told, name) for name in ("request", "probe", "undo", "undone")}
        try:
            filled = {name: _filled(one, facts) for name, one in requests.items() if one is not None}
        except ActionError as error:
            return LeftOut(why=str(error))
        return Step(
            action=self.get_block_type_slug(),
            target=incident.actor,
            parameters={
                "url": self.url,
                **filled,
            },
            title=f"{told.title}: {incident.actor}{'' if told.undo else ' (can not be undone)'}",
            approval=told.approval,
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        return self._look(step, "probe")

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        self._send(step, Request.model_validate(step.parameters["request"]), step.digest(incident.id))

    def can_undo(self, step: Step) -> bool:
        return "undo" in step.parameters

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {"ours": True}  # where the effect was there already, nothing was attempted and this isn't kept

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        if "undo" not in step.parameters:
            raise ActionError(f"{step.title}: its definition has no undo; take it back by hand")
        if not former or held_by_others(store, incident, step, self.effect):
            return
        self._send(step, Request.model_validate(step.parameters["undo"]), step.digest(incident.id))

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        """By the look of its own, else by the effect's being gone."""
        if "undo" not in step.parameters:
            return Probe(done=False, seen={"why": "its definition has no undo"})
        if not former:
            return Probe(done=True, seen={"why": "it was so before this incident, which sent nothing"})
        if others := held_by_others(store, incident, step, self.effect):
            return Probe(done=True, seen={"still wanted by incidents": others})
        if "undone" in step.parameters:
            return self._look(step, "undone")
        seen = self._look(step, "probe")
        return Probe(done=None if seen.done is None else not seen.done, seen=seen.seen)

    def _look(self, step: Step, which: str) -> Probe:
        if which not in step.parameters:
            return Probe(done=None, seen={"why": f"the definition has no {which}"})
        look = Look.model_validate(step.parameters[which])
        reply = self._send(step, look, takes=(*look.status, 404))
        try:
            return Probe(done=look.holds(reply), seen={"status": reply.status})
        except ValueError:
            return Probe(done=None, seen={"status": reply.status, "why": "its answer is not JSON"})

    def _send(self, step: Step, request: Request, key: str | None = None, takes: tuple[int, ...] = ()) -> Reply:
        """Errors: WebError; ActionError when the block points elsewhere than what was approved."""
        if step.parameters["url"] != self.url:
            raise ActionError(f"{step.title}: the block's url is no longer the planned one; triage the incident again")
        secret = self.secret.get_secret_value() if self.secret else ""
        headers = {self.header: self.prefix + secret} if secret else {}
        if key:
            headers["Idempotency-Key"] = key
        web = Web("HTTP action", self.url, self.timeout, [secret], "check the block http-action")
        body = {} if request.json_body is None else {"json": request.json_body}
        return web.ask(request.method, request.path, headers=headers, takes=takes, params=request.params, **body)


def _filled(request: Request, facts: dict[str, Any]) -> dict[str, Any]:
    """The request with its placeholders filled in, as data. Errors: ActionError."""

    def value(text: str) -> Any:
        return facts[text[1:-1]] if _PLACE.fullmatch(text) else text

    def segment(text: str) -> str:
        filled = str(value(text))
        if filled in (".", "..") or "\0" in filled or (_PLACE.fullmatch(text) and not filled):
            raise ActionError(f"{filled!r} can't be a segment of a path, so no request can be made about it")
        return quote(filled, safe="") if _PLACE.fullmatch(text) else text

    plain = request.model_dump(mode="json", by_alias=True)
    plain["path"] = "/".join(segment(one) for one in request.path.split("/"))
    plain["params"] = {name: str(value(text)) for name, text in request.params.items()}
    plain["json"] = _walk(plain["json"], value)
    return plain


def _walk(value: Any, change: Callable[[str], Any]) -> Any:
    """The same JSON value with each of its texts changed; keys stay."""
    if isinstance(value, dict):
        return {key: _walk(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, change) for inner in value]
    return change(value) if isinstance(value, str) else value


def _check(text: str, what: str) -> str:
    """Errors: ValueError."""
    for name in _PLACE.findall(text):
        if not _PLACE.fullmatch(text):
            raise ValueError(f"{text!r}: a placeholder is the whole of {what}, not a piece of it")
        if name not in NAMES:
            raise ValueError(f"{text!r}: no such placeholder; allowed: {', '.join(NAMES)}")
    return text


def _dig(body: Any, path: str) -> Any:
    for step in path.split("."):
        body = body.get(step) if isinstance(body, dict) else None
    return body
