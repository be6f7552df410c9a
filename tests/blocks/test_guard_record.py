"""What the guard writes down of a call beside its texts: where it went and came from, how it ended, what it cost."""

from collections.abc import Callable
from pathlib import Path

import httpx
import openai
import pytest
from pydantic import SecretStr

from firebreak.blocks.model_endpoint import EndpointRefused, ModelEndpoint
from tests.blocks.guarding import WORKFLOW, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("POST", "http://127.0.0.1/v1/chat/completions"))


def of_openai() -> Exception:
    return openai.PermissionDeniedError("no", response=answer(403), body=None)  # type: ignore[arg-type]


def of_httpx() -> Exception:
    return httpx.HTTPStatusError("no", request=answer(401).request, response=answer(401))


def of_ours() -> Exception:
    refused = EndpointRefused("model endpoint answered 401")
    refused.status = 401
    return refused


@pytest.mark.parametrize(
    ("raised", "status"),
    [(of_openai, 403), (of_httpx, 401), (of_ours, 401), (lambda: ValueError("no"), None), (lambda: OSError(5), None)],
)
def test_the_status_of_a_failed_call_is_written_down(
    bench: Bench, raised: Callable[[], Exception], status: int | None
) -> None:
    failure = raised()
    with pytest.raises(type(failure)), bench.guard.call(prompt="Where is my invoice?", workflow=WORKFLOW):
        raise failure
    (record,) = bench.records()
    assert record.status == status
    assert record.error is not None


def test_endpoint_origin_cost_and_status_are_written_down(bench: Bench) -> None:
    with bench.guard.call(
        prompt="Where is my invoice?", workflow=WORKFLOW, endpoint="api.example.com", source_address="192.0.2.7"
    ) as call:
        call.answered("In Settings.", status=200, cost=0.004)
    (record,) = bench.records()
    assert (record.endpoint, record.source_address) == ("api.example.com", "192.0.2.7")
    assert (record.status, record.cost) == (200, 0.004)


@pytest.mark.parametrize("cost", [-0.1, float("nan"), float("inf")])
def test_a_cost_that_is_none_is_refused_where_it_is_said(bench: Bench, cost: float) -> None:
    with (
        pytest.raises(ValueError, match="a call costs nothing or more"),
        bench.guard.call(prompt="Where is my invoice?", workflow=WORKFLOW) as call,
    ):
        call.answered("In Settings.", cost=cost)
    assert [record.cost for record in bench.records()] == [None]


def test_an_endpoint_knows_its_host() -> None:
    endpoint = ModelEndpoint(base_url="https://API.example.com:8443/v1", api_key=SecretStr("k"), model="m")
    assert endpoint.host == "api.example.com"
