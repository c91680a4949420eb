"""Connections: from a DSN or the keys of a Secret, with the session settings everything relies on.

Refuses what the runner's promises cannot be kept on: PostgreSQL below 15, standbys, transaction poolers. No message
carries anything of the connection string.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from zanith.core.errors import NotYet, SpecError
from zanith.core.identifiers import fit
from zanith.postgres.sqlstates import UNREACHABLE, translated

MINIMUM_SERVER_VERSION = 150000
UNSUPPORTED = "UnsupportedDatabase"
INCOMPLETE = "SecretNotFound"

# What a Secret may say in its URI. Left out are keywords that make libpq read or write files of the pod that connects
# (passfile, service, sslkey, sslkeylogfile, ...): a Secret's author is not the owner of that pod.
_FROM_SECRET = frozenset(
    {
        *("host", "hostaddr", "port", "dbname", "user", "password", "target_session_attrs", "load_balance_hosts"),
        *("sslmode", "sslnegotiation", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("channel_binding", "require_auth", "gssencmode", "connect_timeout", "tcp_user_timeout"),
        *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
        *("application_name", "client_encoding", "options"),
    }
)

# Our end notices a dead server, and the server a dead runner, within half a minute, busy or idle.
_CLIENT: dict[str, Any] = {
    # A statement prepared before its table changed fails afterwards, and a generic plan suits no batch.
    "prepare_threshold": None,
    "client_encoding": "UTF8",
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# Set on the session and not as startup options, which poolers refuse before we can say that they are poolers. They win
# over what role, database or connection string say. A setting the server does not know yet (transaction_timeout came
# with 17) is passed over.
LOCK_TIMEOUT = "10s"
"""A net under callers, who set their own."""

_SESSION = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "client_min_messages": "warning",
    "row_security": "off",
    "lock_timeout": LOCK_TIMEOUT,
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "client_connection_check_interval": "5s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30s",
}

# What libpq's English texts say of a failed connection; it hands out no SQLSTATE for one. First match wins.
_FAILURES = (
    ("password authentication failed", "the server refuses the user or password (28P01)"),
    ("no password supplied", "the server wants a password and none is given (28P01)"),
    ("no pg_hba.conf entry", "the server's pg_hba.conf does not let this client in (28000)"),
    ("authentication failed", "the server refuses the user (28000)"),
    ("certificate verify failed", "the server's certificate is not signed by the CA that is trusted"),
    ("server certificate for", "the server's certificate is for another host name"),
    ("does not support SSL", "the server does not offer TLS and sslmode asks for it"),
    ("root certificate file", "sslmode asks for a CA certificate and there is none: give the key ca.crt"),
    ("too many clients", "the server has no free connection (53300)"),
    ("connection slots are reserved", "the server has no free connection (53300)"),
    ("starting up", "the server is starting up (57P03)"),
    ("shutting down", "the server is shutting down (57P03)"),
    ("recovery mode", "the server is recovering (57P03)"),
    ("not yet accepting connections", "the server is recovering (57P03)"),
    ("Connection refused", "nothing listens at its address (connection refused)"),
    ("could not translate host name", "its host name cannot be resolved"),
    ("failed to resolve host", "its host name cannot be resolved"),
    ("No route to host", "there is no route to its address"),
    ("Network is unreachable", "there is no route to its address"),
    ("timeout expired", "it does not answer in time"),
    ("timed out", "it does not answer in time"),
    ("No such file or directory", "there is no server at its socket"),
    ("invalid response to SSL negotiation", "what answers at its address is not PostgreSQL"),
    ("unsupported startup parameter", "a pooler refuses the connection; connect to PostgreSQL itself"),
    ("closed the connection unexpectedly", "the server closed the connection"),
)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """How to reach a database. `repr` shows nothing of it."""

    conninfo: str = field(repr=False)
    schema: str

    @staticmethod
    def from_secret(data: Mapping[str, str], schema: str, *, ca_directory: str) -> ConnectionSettings:
        """From decoded Secret keys: `uri` (or CloudNativePG's), or host/port/dbname/user/password/sslmode, and `ca.crt`.

        `ca_directory` is where a `ca.crt` is written to. Raises SpecError (SecretNotFound) naming the missing key.
        """
        # Editors and `echo` leave a newline at the end of a Secret's value; none of these can hold one.
        keys = {name: value.strip("\r\n") for name, value in data.items()}
        parameters = _from_uri(keys["uri"]) if keys.get("uri") else _from_keys(keys)
        if keys.get("sslmode"):
            parameters.setdefault("sslmode", keys["sslmode"])
        if keys.get("ca.crt"):
            parameters["sslrootcert"] = _write_ca(data["ca.crt"], Path(ca_directory))
            # Who gives a CA wants the server checked; libpq's default would not look at it.
            parameters.setdefault("sslmode", "verify-full")
        return ConnectionSettings(make_conninfo("", **parameters), schema)

    @staticmethod
    def from_dsn(dsn: str, schema: str) -> ConnectionSettings:
        """From libpq's connection string or URI (manual, 34.1.1). Raises SpecError where it is neither."""
        return ConnectionSettings(make_conninfo("", **_parse(dsn, "InvalidPlan", "the DSN")), schema)


def connect(settings: ConnectionSettings, *, application_name: str, connect_timeout_s: int = 10) -> Connection[Any]:
    """An autocommit connection with pinned session settings.

    Unqualified names are looked for in the migration's schema, then in `public`, where the functions and types of
    extensions usually are; what is created without a schema goes to the first of them that exists. Temporary objects
    come last, so that none can stand in for a table.

    Raises NotYet (DatabaseUnreachable) where it cannot be reached, SpecError (UnsupportedDatabase) for a version below
    15, a standby, or a transaction pooler.
    """
    try:
        conn = psycopg.connect(
            settings.conninfo,
            autocommit=True,
            connect_timeout=connect_timeout_s,
            application_name=fit(application_name),
            **_CLIENT,
        )
    except psycopg.Error as error:
        message = f"the database cannot be reached: {_failure(error)}; it is tried again"
        raise NotYet(message, reason=UNREACHABLE, retry_in_s=5.0) from None
    try:
        with translated("opening a session"):
            _check_server(conn)
            _pin_session(conn, settings.schema)
    except BaseException:
        conn.close()
        raise
    return conn


def session_prefix(uid: str) -> str:
    """What the application_name of every session of a resource begins with; no other resource's begins so."""
    return f"zanith:{hashlib.sha256(uid.encode()).hexdigest()[:16]}:"


def session_name(uid: str, attempt: int, *words: str) -> str:
    """`zanith:<hash of uid>:<attempt>:<words>`, at most 63 bytes, so that the server keeps all of it.

    `words` are for people: migration, pod, lane. The server shows characters beyond ASCII as escapes, so they are
    replaced here.
    """
    text = ":".join(words).encode("ascii", "replace").decode()
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return fit(f"{session_prefix(uid)}{attempt}:{printable}")


def search_path(schema: str) -> str:
    """The value of `search_path` for a migration's schema."""
    names = [schema] if schema == "public" else [schema, "public"]
    return ", ".join(sql.Identifier(n).as_string(None) for n in (*names, "pg_temp"))


def _from_uri(uri: str) -> dict[str, Any]:
    parameters = _parse(uri, INCOMPLETE, "key uri of the Secret")
    refused = sorted(set(parameters) - _FROM_SECRET - {"sslrootcert"})
    if parameters.get("sslrootcert", "system") != "system":
        refused.append("sslrootcert")
    if refused:
        raise SpecError(
            f"key uri of the Secret: parameter {refused[0]} is not allowed there; a CA goes into the key ca.crt",
            reason=INCOMPLETE,
        )
    return parameters


def _from_keys(keys: Mapping[str, str]) -> dict[str, Any]:
    user = keys.get("user") or keys.get("username")
    missing = [k for k in ("host", "dbname", "password") if not keys.get(k)] + ([] if user else ["user"])
    if missing:
        raise SpecError(
            f"the Secret has no key {missing[0]}; it needs uri, or host, dbname, user and password",
            reason=INCOMPLETE,
        )
    return {
        "host": keys["host"],
        "port": keys.get("port") or "5432",
        "dbname": keys["dbname"],
        "user": user,
        "password": keys["password"],
    }


def _parse(text: str, reason: str, what: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(text))
    except psycopg.ProgrammingError:
        # libpq quotes the part it could not read, which may be the password.
        raise SpecError(f"{what} is not a PostgreSQL connection string", reason=reason) from None


def _write_ca(certificate: str, directory: Path) -> str:
    """Write the CA under a name made of its content, at once, so that no reader sees half of it."""
    path = directory / f"ca-{hashlib.sha256(certificate.encode()).hexdigest()[:16]}.crt"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(dir=directory)
        with os.fdopen(handle, "w") as file:
            file.write(certificate)
        Path(temporary).replace(path)
    return str(path)


def _failure(error: psycopg.Error) -> str:
    """What kind of failure it was, in our words."""
    text = str(error)
    if '" does not exist' in text:
        return "its database does not exist (3D000)" if "database " in text else "the user does not exist (28000)"
    return next((words for part, words in _FAILURES if part in text), "the connection failed")


def server_problem(version: int, *, session_pid: int, announced_pid: int, in_recovery: bool) -> str | None:
    """Why this server will not do, or None. `announced_pid` is who answered at the door, `session_pid` who works."""
    if version < MINIMUM_SERVER_VERSION:
        return f"the server is PostgreSQL {version // 10000}; at least {MINIMUM_SERVER_VERSION // 10000} is needed"
    if session_pid != announced_pid:
        return (
            "the connection goes through a pooler such as PgBouncer; sessions and locks need PostgreSQL's own address"
        )
    if in_recovery:
        return "the server is a standby; give the address of the primary"
    return None


def _check_server(conn: Connection[Any]) -> None:
    ((session_pid, in_recovery),) = conn.execute(b"SELECT pg_backend_pid(), pg_is_in_recovery()").fetchall()
    problem = server_problem(
        conn.info.server_version,
        session_pid=session_pid,
        announced_pid=conn.info.backend_pid,
        in_recovery=in_recovery,
    )
    if problem is not None:
        raise SpecError(problem, reason=UNSUPPORTED)


def pin_again(conn: Connection[Any], schema: str) -> None:
    """The session as `connect` made it, whatever SQL of others has set meanwhile, roles included."""
    conn.execute(b"RESET SESSION AUTHORIZATION")
    conn.execute(b"RESET ROLE")
    conn.execute(b"RESET ALL")
    _pin_session(conn, schema)


def _pin_session(conn: Connection[Any], schema: str) -> None:
    values = {**_SESSION, "search_path": search_path(schema)}
    conn.execute(
        b"SELECT set_config(s.name, v.value, false) FROM unnest(%s::text[], %s::text[]) AS v (name, value) "
        b"JOIN pg_catalog.pg_settings AS s ON lower(s.name) = v.name",
        [list(values), list(values.values())],
    )
