"""From Secrets and DSNs to connection strings: what is read, what is refused, and that nothing of it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from zanith.core.errors import SpecError
from zanith.postgres.connecting import ConnectionSettings

KEYS = {"host": "db.shop", "port": "5433", "dbname": "shop", "user": "app", "password": "p'w \\d"}
CLOUDNATIVEPG = {
    "username": "app",
    "user": "app",
    "password": "pw-cnpg",
    "host": "shop-rw",
    "port": "5432",
    "dbname": "app",
    "pgpass": "shop-rw:5432:app:app:pw-cnpg\n",
    "uri": "postgresql://app:pw-cnpg@shop-rw.shop:5432/app",
    "jdbc-uri": "jdbc:postgresql://shop-rw.shop:5432/app?password=pw-cnpg&user=app",
    "fqdn-uri": "postgresql://app:pw-cnpg@shop-rw.shop.svc.cluster.local:5432/app",
}


def parameters(data: dict[str, str], directory: Path | str = "/nowhere") -> dict[str, Any]:
    return conninfo_to_dict(ConnectionSettings.from_secret(data, "public", ca_directory=str(directory)).conninfo)


def problem(data: dict[str, str]) -> SpecError:
    with pytest.raises(SpecError) as caught:
        ConnectionSettings.from_secret(data, "public", ca_directory="/nowhere")
    return caught.value


def test_separate_keys() -> None:
    assert parameters(KEYS) == KEYS


def test_the_port_and_the_name_of_the_user_key_may_differ() -> None:
    data = {"host": "h", "dbname": "d", "username": "u", "password": "p", "sslmode": "require"}
    assert parameters(data) == {
        "host": "h", "port": "5432", "dbname": "d", "user": "u", "password": "p", "sslmode": "require",
    }  # fmt: skip


def test_a_secret_of_cloudnativepg_works_as_it_is_by_its_uri() -> None:
    assert parameters(CLOUDNATIVEPG) == {
        "user": "app", "password": "pw-cnpg", "host": "shop-rw.shop", "port": "5432", "dbname": "app",
    }  # fmt: skip


def test_newlines_at_the_end_are_not_part_of_a_value() -> None:
    assert parameters({name: f"{value}\n" for name, value in KEYS.items()}) == KEYS
    assert parameters({"uri": "postgres://u:p@h/d\r\n"})["dbname"] == "d"


@pytest.mark.parametrize("missing", ["host", "dbname", "password", "user"])
def test_a_missing_key_is_named(missing: str) -> None:
    error = problem({k: v for k, v in KEYS.items() if k != missing})
    assert error.message == f"the Secret has no key {missing}; it needs uri, or host, dbname, user and password"
    assert error.reason == "SecretNotFound"


def test_an_empty_secret_is_told_what_it_needs() -> None:
    assert problem({}).message.startswith("the Secret has no key host; it needs uri, or ")


@pytest.mark.parametrize(
    "uri", ["postgresql://u:pw%zzsecret@h/d", "host=h passwd=pw-secret", "pw-secret'", "mysql://pw-secret"]
)
def test_an_unreadable_uri_is_told_without_quoting_it(uri: str) -> None:
    error = problem({"uri": uri})
    assert error.message == "key uri of the Secret is not a PostgreSQL connection string"
    assert "secret" not in repr(error).replace("Secret", "")
    assert error.__suppress_context__


@pytest.mark.parametrize(
    "parameter", ["passfile", "service", "sslkey", "sslcert", "sslkeylogfile", "sslcrl", "krbsrvname", "sslrootcert"]
)
def test_a_uri_cannot_name_files_of_the_pod(parameter: str) -> None:
    assert problem({"uri": f"postgresql://u:p@h/d?{parameter}=/etc/passwd"}).message == (
        f"key uri of the Secret: parameter {parameter} is not allowed there; a CA goes into the key ca.crt"
    )


def test_the_cas_of_the_system_may_be_named() -> None:
    found = parameters({"uri": "postgresql://u:p@h/d?sslrootcert=system&sslmode=verify-full"})
    assert found["sslrootcert"] == "system"


def test_a_ca_is_written_and_the_server_checked_against_it(tmp_path: Path) -> None:
    found = parameters({**KEYS, "ca.crt": "-----BEGIN CERTIFICATE-----\n"}, tmp_path)
    assert found["sslmode"] == "verify-full"
    written = Path(found["sslrootcert"])
    assert written.read_text() == "-----BEGIN CERTIFICATE-----\n"
    assert written.parent == tmp_path
    assert written.stat().st_mode & 0o077 == 0


def test_two_cas_do_not_overwrite_each_other_and_the_same_is_written_once(tmp_path: Path) -> None:
    one, same, other = (parameters({**KEYS, "ca.crt": text}, tmp_path)["sslrootcert"] for text in ("a", "a", "b"))
    assert one == same != other
    assert len(list(tmp_path.iterdir())) == 2


def test_sslmode_stands_beside_a_uri_and_yields_to_it(tmp_path: Path) -> None:
    uri = "postgresql://u:p@h/d"
    assert parameters({"uri": uri, "sslmode": "require"})["sslmode"] == "require"
    assert parameters({"uri": f"{uri}?sslmode=verify-ca", "sslmode": "require"})["sslmode"] == "verify-ca"
    assert parameters({"uri": uri, "sslmode": "verify-ca", "ca.crt": "x"}, tmp_path)["sslmode"] == "verify-ca"


@pytest.mark.parametrize("dsn", ["postgresql://u:p@h:5433/d", "host=h port=5433 dbname=d user=u password=p"])
def test_a_dsn_is_taken_as_it_is(dsn: str) -> None:
    found = ConnectionSettings.from_dsn(dsn, "app")
    assert conninfo_to_dict(found.conninfo) == {
        "user": "u",
        "password": "p",
        "host": "h",
        "port": "5433",
        "dbname": "d",
    }
    assert found.schema == "app"


def test_what_is_no_dsn_is_told_without_quoting_it() -> None:
    with pytest.raises(SpecError) as caught:
        ConnectionSettings.from_dsn("postgresql://u:pw-secret%zz@h/d", "public")
    assert caught.value.message == "the DSN is not a PostgreSQL connection string"
    assert caught.value.reason == "InvalidPlan"


def test_settings_show_nothing_of_themselves() -> None:
    found = ConnectionSettings.from_dsn("postgresql://u:pw-secret@h/d", "public")
    assert repr(found) == str(found) == "ConnectionSettings(schema='public')"
