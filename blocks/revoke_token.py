"""Block: revoke an OAuth 2 token (RFC 7009), and believe it only when introspection (RFC 7662) says so."""

from typing import Any, ClassVar

import httpx
from prefect.blocks.system import Secret
from pydantic import ConfigDict, Field, SecretStr, field_validator

from firebreak.blocks.action import Action, ActionError, LeftOut, Probe
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.web import Web, WebNonsense, web_address
from firebreak.detectors.findings import ActorType


class RevokeToken(Action):
    """Revoke the incident's token at its authorisation server. It can't be undone: a new one has to be issued.

    The step holds the token's name; the token itself is read from a Secret block when it is needed. A revocation's
    200 proves nothing (a server answers it for other clients' tokens as well), so only the introspection counts.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Revoke Token"
    _block_type_slug = "revoke-token"
    _description = "Firebreak action: revoke an OAuth 2 token (RFC 7009), confirmed by introspection (RFC 7662)."

    repeatable: ClassVar[bool] = True

    revocation_url: str = Field(description="the authorisation server's revocation endpoint")
    introspection_url: str = Field(description="its introspection endpoint")
    client_id: str = Field(description="the client that the tokens were issued to, or one that may revoke them")
    client_secret: SecretStr = Field(description="its secret, kept secret")
    tokens: dict[str, str] = Field(description="token_id to the Prefect Secret block that holds the token")
    token_type: str | None = Field(default=None, description="hint for the server: access_token or refresh_token")
    timeout: float = Field(default=10, gt=0, description="seconds for one answer")

    @field_validator("revocation_url", "introspection_url")
    @classmethod
    def _whole_address(cls, url: str) -> str:
        web_address(url)
        return url  # with its trailing slash: Django's endpoints have one

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """Left out unless a token is to blame, and this block knows it."""
        if incident.actor_type is not ActorType.TOKEN or incident.actor not in self.tokens:
            return LeftOut(why=f"no token is to blame, or the block revoke-token doesn't know {incident.actor}")
        return Step(
            action=self.get_block_type_slug(),
            target=incident.actor,
            parameters={"secret": self.tokens[incident.actor]},
            title=f"Revoke token {incident.actor} at its authorisation server (can't be undone)",
            approval="one",  # irreversible, so no policy can make it automatic
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        token = self._token(step)
        answer = self._web(self.introspection_url, token).ask_json(
            "POST", data={"token": token}, auth=self._auth(), headers={"Accept": "application/json"}
        )
        active = answer.get("active") if isinstance(answer, dict) else None
        if not isinstance(active, bool):
            raise WebNonsense(self._web(self.introspection_url, token).say("doesn't say whether the token is active"))
        return Probe(done=not active, seen={"active": active})

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        token = self._token(step)
        hint = {"token_type_hint": self.token_type} if self.token_type else {}
        self._web(self.revocation_url, token).ask("POST", data={"token": token, **hint}, auth=self._auth())

    def _auth(self) -> httpx.BasicAuth:
        return httpx.BasicAuth(self.client_id, self.client_secret.get_secret_value())

    def _web(self, url: str, token: str) -> Web:
        secrets = [token, self.client_secret.get_secret_value()]
        return Web("authorisation server", url, self.timeout, secrets, "check the block revoke-token")

    def _token(self, step: Step) -> str:
        return token_in(str(step.parameters["secret"]))


def token_in(secret: str) -> str:
    """The token that a Prefect Secret block holds. Errors: ActionError."""
    try:
        found = Secret.load(secret, _sync=True).get()  # type: ignore[call-arg, union-attr]
    except ValueError:
        raise ActionError(f"there is no Secret block {secret!r}: save the token in one of that name") from None
    if not isinstance(found, str) or not found:
        raise ActionError(f"the Secret block {secret!r} holds no text")
    return found
