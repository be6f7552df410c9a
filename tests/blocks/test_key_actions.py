"""Keys at a LiteLLM proxy and OAuth tokens, against servers with the documented shapes, OAuth on a real one too."""

from collections.abc import Iterator

import httpx
import pytest
from prefect.blocks.system import Secret
from pydantic import SecretStr, ValidationError

from firebreak.blocks.action import Action, ActionError, LeftOut
from firebreak.blocks.block_key import BlockKey
from firebreak.blocks.revoke_token import RevokeToken
from firebreak.blocks.store import Batch, Incident, Store
from firebreak.blocks.store.ledger import Outcome, Row, Step
from firebreak.deployments.system import System
from firebreak.detectors.findings import ActorType
from firebreak.flows.executor import execute
from tests import oauth_server
from tests.stores import finding
from tests.web_server import Asked, Reply, WebServer, web_server

KEY = "a" * 64
MASTER = "sk-master-0123456789"
TOKEN = "oauth-token-0123456789"
CLIENT_SECRET = "client-secret-0123456789"


class Proxy:
    """LiteLLM as far as keys go: /key/info says null until a key was blocked."""

    def __init__(self) -> None:
        self.blocked: bool | None = None

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {MASTER}":
            return 401, {"error": {"message": "Authentication Error"}}
        if asked.path == "/key/info":
            return 200, {"key": KEY, "info": {"key_alias": "support", "blocked": self.blocked}}
        self.blocked = asked.path == "/key/block"
        return 200, {"token": asked.body["key"], "blocked": self.blocked}


class Authority:
    """RFC 7009 and 7662. ``deaf``: it answers 200 and revokes nothing, as for another client's token."""

    def __init__(self) -> None:
        self.active, self.deaf = True, False

    def __call__(self, asked: Asked) -> Reply:
        if asked.body["token"] != TOKEN:
            return (200, {}) if asked.path == "/revoke" else (200, {"active": False})
        if asked.path == "/introspect":
            return 200, {"active": self.active, "client_id": "support"}
        self.active = self.active and self.deaf
        return 200, b""


def opened(store: Store, actor: str = "support-key", actor_type: ActorType = ActorType.TOKEN) -> Incident:
    found = finding("r1", actor=actor, actor_type=actor_type, kind="unauthorised-use", origin=None)
    return store.incidents.get(store.report(Batch(findings=[found]), "guard").opened[0][0])


def carry_out(store: Store, incident: Incident, block: Action, undo: bool = False) -> Row:
    step = block.plan(store, incident, {})
    assert isinstance(step, Step)
    step = step.model_copy(update={"approval": "auto"})
    with store.lease(f"incident:{incident.id}", "me") as lease:
        assert lease
        (row,) = store.ledger.enter(incident.id, [step])
        if undo:
            (row,) = store.ledger.enter(incident.id, [step.model_copy(update={"undo_of": row.digest})])
        execute(store, incident, [row], lambda _: block, lease)
        return store.ledger.row(row.digest)


@pytest.fixture
def proxy() -> Iterator[tuple[Proxy, WebServer]]:
    keys = Proxy()
    with web_server(keys) as server:
        yield keys, server


def test_a_key_is_blocked_and_unblocked(store: Store, proxy: tuple[Proxy, WebServer]) -> None:
    keys, server = proxy
    block, incident = BlockKey(url=server.url, master_key=SecretStr(MASTER), keys={"support-key": KEY}), opened(store)
    assert carry_out(store, incident, block).state is Outcome.SUCCEEDED
    assert keys.blocked is True
    assert carry_out(store, incident, block, undo=True).state is Outcome.SUCCEEDED
    assert keys.blocked is False


def test_a_key_that_was_blocked_before_stays_blocked(store: Store, proxy: tuple[Proxy, WebServer]) -> None:
    keys, server = proxy
    block, incident = BlockKey(url=server.url, master_key=SecretStr(MASTER), keys={"support-key": KEY}), opened(store)
    keys.blocked = True
    row = carry_out(store, incident, block)
    assert (row.state, row.probe) == (Outcome.SUCCEEDED, {"blocked": True, "found": "already so"})


def test_a_wrong_master_key_is_said_and_not_repeated(store: Store, proxy: tuple[Proxy, WebServer]) -> None:
    block = BlockKey(url=proxy[1].url, master_key=SecretStr("sk-wrong-0123456789"), keys={"support-key": KEY})
    row = carry_out(store, opened(store), block)
    assert row.state is Outcome.FAILED
    assert "answered 401" in str(row.error)
    assert "sk-wrong" not in str(row.model_dump())


def test_a_key_written_out_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError, match="never write the key itself") as caught:
        BlockKey(url="https://llm.example.com", master_key=SecretStr(MASTER), keys={"support-key": "sk-plain"})
    assert "sk-plain" not in str(caught.value)


def test_unknown_keys_and_users_are_left_out(store: Store) -> None:
    block = BlockKey(url="https://llm.example.com", master_key=SecretStr(MASTER), keys={"support-key": KEY})
    assert isinstance(block.plan(store, opened(store, "other-key"), {}), LeftOut)
    assert isinstance(block.plan(store, opened(store, "support-key", ActorType.USER), {}), LeftOut)


@pytest.mark.integration
class TestRevocation:
    """With a Prefect server, because the token is in a Secret block."""

    @pytest.fixture
    def authority(self, prefect_server: System) -> Iterator[tuple[Authority, RevokeToken]]:
        tokens = Authority()
        Secret(value=SecretStr(TOKEN)).save("support-key", overwrite=True, _sync=True)  # type: ignore[call-arg]
        with web_server(tokens) as server:
            yield (
                tokens,
                RevokeToken(
                    revocation_url=f"{server.url}/revoke",
                    introspection_url=f"{server.url}/introspect",
                    client_id="support",
                    client_secret=SecretStr(CLIENT_SECRET),
                    tokens={"support-key": "support-key", "lost-key": "no-such-block"},
                ),
            )

    def test_revoked_and_seen(self, store: Store, authority: tuple[Authority, RevokeToken]) -> None:
        tokens, block = authority
        row = carry_out(store, opened(store), block)
        assert (row.state, row.probe) == (Outcome.SUCCEEDED, {"active": False})
        assert tokens.active is False
        assert_not_told(row)

    def test_a_200_that_revoked_nothing_is_not_believed(
        self, store: Store, authority: tuple[Authority, RevokeToken]
    ) -> None:
        tokens, block = authority
        tokens.deaf = True
        row = carry_out(store, opened(store), block)
        assert (row.state, row.probe) == (Outcome.FAILED, {"active": True})
        assert_not_told(row)

    def test_it_always_waits_for_a_person_and_can_not_be_undone(
        self, store: Store, authority: tuple[Authority, RevokeToken]
    ) -> None:
        step = authority[1].plan(store, opened(store), {})
        assert isinstance(step, Step)
        assert step.approval == "one"
        assert not authority[1].reversible

    def test_a_missing_secret_is_said(self, store: Store, authority: tuple[Authority, RevokeToken]) -> None:
        row = carry_out(store, opened(store, "lost-key"), authority[1])
        assert row.state is Outcome.FAILED
        assert ActionError.__name__ in str(row.error)
        assert "no Secret block 'no-such-block'" in str(row.error)


@pytest.fixture(scope="module")
def oauth_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with oauth_server.serving(tmp_path_factory.mktemp("oauth")) as url:
        yield url


@pytest.mark.integration
class TestRealServer:
    """django-oauth-toolkit: revocation, introspection, and the 200 that revokes nothing."""

    def issue(self, url: str, client: str) -> str:
        form = {"grant_type": "client_credentials", "scope": "introspection read"}
        answer = httpx.post(f"{url}/o/token/", data=form, auth=(client, oauth_server.CLIENT_SECRETS[client]))
        return str(answer.raise_for_status().json()["access_token"])

    def action(self, url: str, token: str, client: str = "support") -> RevokeToken:
        Secret(value=SecretStr(token)).save("support-key", overwrite=True, _sync=True)  # type: ignore[call-arg]
        return RevokeToken(
            revocation_url=f"{url}/o/revoke_token/",
            introspection_url=f"{url}/o/introspect/",
            client_id=client,
            client_secret=SecretStr(oauth_server.CLIENT_SECRETS[client]),
            tokens={"support-key": "support-key"},
        )

    def test_a_token_is_revoked(self, store: Store, prefect_server: System, oauth_url: str) -> None:
        token = self.issue(oauth_url, "support")
        row = carry_out(store, opened(store), self.action(oauth_url, token))
        assert (row.state, row.probe, row.error) == (Outcome.SUCCEEDED, {"active": False}, None)
        assert token not in row.model_dump_json()

    def test_another_clients_token_stays_and_that_is_seen(
        self, store: Store, prefect_server: System, oauth_url: str
    ) -> None:
        token = self.issue(oauth_url, "other")
        row = carry_out(store, opened(store), self.action(oauth_url, token))
        assert (row.state, row.probe) == (Outcome.FAILED, {"active": True})


def assert_not_told(row: Row) -> None:
    told = row.model_dump_json()
    assert TOKEN not in told
    assert CLIENT_SECRET not in told
