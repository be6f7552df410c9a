"""Block: block a virtual key of a LiteLLM proxy, and unblock it again.

Written to LiteLLM's documented API (https://docs.litellm.ai/docs/proxy/virtual_keys): ``POST /key/block`` and
``/key/unblock`` with ``{"key": …}``, where a key may be given by its hash, and ``GET /key/info?key=…``.
"""

from functools import partial
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, SecretStr, field_validator

from firebreak.blocks.action import Action, LeftOut, Probe, held_by_others
from firebreak.blocks.store import Incident, Store
from firebreak.blocks.store.ledger import Step
from firebreak.blocks.web import Web, WebNonsense, web_address
from firebreak.detectors.findings import ActorType


class BlockKey(Action):
    """Refuse the incident's key at the proxy: it stops callers that have no guard, too."""

    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "Block Key"
    _block_type_slug = "block-key"
    _description = "Firebreak action: block a virtual key at a LiteLLM proxy, unblocked by the release."

    repeatable: ClassVar[bool] = True
    reasserted: ClassVar[bool] = True

    url: str = Field(description="the proxy's address, as https://llm.example.com")
    master_key: SecretStr = Field(description="a key that may block others, kept secret")
    keys: dict[str, str] = Field(
        description="token_id to the key's SHA-256 in hex, as LiteLLM's key list shows it: `printf %s KEY | sha256sum`"
    )
    timeout: float = Field(default=10, gt=0, description="seconds for one answer")

    _address = field_validator("url")(partial(web_address))

    @field_validator("keys")
    @classmethod
    def _hashes(cls, keys: dict[str, str]) -> dict[str, str]:
        for name, key in keys.items():
            if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
                raise ValueError(f"{name}: not a SHA-256 in hex; never write the key itself here")
        return keys

    def plan(self, store: Store, incident: Incident, parameters: dict[str, Any]) -> Step | LeftOut:
        """Left out unless a key is to blame, and this block knows it. A key of several users waits for a person."""
        if incident.actor_type is not ActorType.TOKEN or incident.actor not in self.keys:
            return LeftOut(why=f"no key is to blame, or the block block-key doesn't know {incident.actor}")
        held = any(hold.kind == "quarantine-token" for hold in store.holds.of_incident(incident.id))
        return Step(
            action=self.get_block_type_slug(),
            target=incident.actor,
            parameters={"key": self.keys[incident.actor]},
            title=f"Block key {incident.actor} at the LiteLLM proxy",
            approval="auto" if held else "one",
        )

    def verify(self, store: Store, incident: Incident, step: Step) -> Probe:
        blocked = self._blocked(step)
        return Probe(done=blocked, seen={"blocked": blocked})

    def former(self, store: Store, incident: Incident, step: Step) -> dict[str, Any]:
        return {"blocked": self._blocked(step)}

    def apply(self, store: Store, incident: Incident, step: Step) -> None:
        self._ask("POST", "/key/block", json={"key": step.parameters["key"]})

    def undo(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> None:
        if not former.get("blocked", True) and not held_by_others(store, incident, step):
            self._ask("POST", "/key/unblock", json={"key": step.parameters["key"]})

    def verify_undone(self, store: Store, incident: Incident, step: Step, former: dict[str, Any]) -> Probe:
        if others := held_by_others(store, incident, step):
            return Probe(done=True, seen={"still blocked for incidents": others})
        blocked = self._blocked(step)
        return Probe(done=blocked is former.get("blocked", True), seen={"blocked": blocked})

    def _blocked(self, step: Step) -> bool:
        answer = self._ask("GET", "/key/info", params={"key": step.parameters["key"]})
        info = answer.get("info") if isinstance(answer, dict) else None
        if not isinstance(info, dict) or not isinstance(info.get("blocked"), bool | None):
            raise WebNonsense("LiteLLM's /key/info doesn't say whether the key is blocked; check the block block-key")
        return bool(info.get("blocked"))  # a key that never was blocked has null there

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        key = self.master_key.get_secret_value()
        web = Web(
            "LiteLLM proxy", self.url, self.timeout, [key], "check url, master_key and keys in the block block-key"
        )
        return web.ask_json(method, path, headers={"Authorization": f"Bearer {key}"}, **more)
