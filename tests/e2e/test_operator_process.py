"""The operator as a process: started as kopf starts it, cut off from the API server, and deaf without knowing it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from e2e.api_proxy import ApiProxy
from e2e.operator_process import OperatorProcess
from e2e.shop import Shop

TABLE = "CREATE TABLE people (id bigint PRIMARY KEY, age int);"
INDEX: list[dict[str, Any]] = [{"addIndex": {"table": "people", "columns": ["age"]}}]


@pytest.fixture
def proxied(shop: Shop) -> Iterator[tuple[Shop, ApiProxy]]:
    """An operator that reaches the API server through a proxy of the test."""
    shop.operator.stop()
    log = shop.operator.log.with_name("operator-proxied.log")
    log.unlink(missing_ok=True)
    with (
        ApiProxy(shop.operator.kubeconfig) as proxy,
        OperatorProcess(
            proxy.through, shop.namespace, shop.operator.image, log, {"ZANITH_REQUEST_TIMEOUT_S": "3"}
        ) as operator,
    ):
        yield replace(shop, operator=operator), proxy


def health(operator: OperatorProcess) -> int:
    """What the liveness probe is answered."""
    try:
        with urllib.request.urlopen(operator.health, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("module", ["zanith.main", "zanith.controller.handlers"])
def test_kopf_runs_it_as_well(shop: Shop, module: str) -> None:
    shop.database.execute(TABLE)
    shop.operator.stop()
    by_kopf = OperatorProcess(
        shop.operator.kubeconfig,
        shop.namespace,
        shop.operator.image,
        shop.operator.log.with_name(f"kopf-{module}.log"),
        arguments=("-m", "kopf", "run", "--standalone", "-n", "{namespaces}", "-L", "{health}", "-m", module),
    )
    with by_kopf as operator:
        here = replace(shop, operator=operator)
        here.apply("by-kopf", INDEX)
        here.wait_for("by-kopf", "Applied")
        assert health(operator) == 200


def test_an_api_server_that_is_away_is_waited_for(proxied: tuple[Shop, ApiProxy]) -> None:
    shop, proxy = proxied
    shop.database.execute(TABLE)
    proxy.cut()
    shop.apply("meanwhile", INDEX)
    deadline = time.monotonic() + 30
    while "resync_failed" not in shop.operator.text():
        assert time.monotonic() < deadline, shop.operator.tail()
        time.sleep(0.2)
    assert shop.get("meanwhile")["status"]["observedGeneration"] == -1
    proxy.mend()
    shop.wait_for("meanwhile", "Applied")
    assert shop.operator.running


def test_a_deaf_operator_still_hears_by_asking_and_asks_to_be_restarted(proxied: tuple[Shop, ApiProxy]) -> None:
    shop, proxy = proxied
    shop.database.execute(TABLE)
    shop.apply("heard", [{"addColumn": {"table": "people", "column": "size", "type": "int"}}])
    shop.wait_for("heard", "Applied")
    assert health(shop.operator) == 200
    proxy.freeze()
    shop.apply("unheard", INDEX)
    shop.wait_for("unheard", "Applied")
    assert "watch_missed" in shop.operator.text()
    deadline = time.monotonic() + 90
    while health(shop.operator) == 200:
        shop.annotate("unheard", "hold", str(time.monotonic()))
        assert time.monotonic() < deadline, shop.operator.tail()
        time.sleep(1)
