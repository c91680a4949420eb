"""The one Secret the operator reads for a migration, turned into connection settings, or into why not."""

from __future__ import annotations

import re

from zanith.api.conditions import Reason
from zanith.api.spec import Database
from zanith.controller.databases import trouble_of
from zanith.controller.decide.observed import Trouble
from zanith.core.errors import SpecError
from zanith.kube.client import Forbidden, KubeClient, NotFound
from zanith.kube.reading import read_secret
from zanith.postgres.connecting import ConnectionSettings

_SERVICE_ACCOUNT = re.compile(r'"system:serviceaccount:([a-z0-9.-]+):([a-z0-9.-]+)"')


async def read_credentials(
    kube: KubeClient, namespace: str, database: Database, *, ca_directory: str
) -> ConnectionSettings | Trouble:
    """What `observerSecretRef`, or else `secretRef`, says. Raises KubeError where the API server does not answer."""
    name = database.observer
    try:
        keys = await read_secret(kube, namespace, name)
        return ConnectionSettings.from_secret(keys, database.schema_name, ca_directory=ca_directory)
    except NotFound:
        return Trouble(Reason.SECRET_NOT_FOUND, f"Secret {name} does not exist in namespace {namespace}")
    except Forbidden as error:
        return Trouble(Reason.SECRET_FORBIDDEN, _how_to_allow(namespace, name, error.message))
    except SpecError as error:
        trouble = trouble_of(error)
        return Trouble(trouble.reason, f"Secret {name}: {trouble.message}")


def _how_to_allow(namespace: str, secret: str, refused: str) -> str:
    """The Role and the RoleBinding to apply, as two commands."""
    account = _SERVICE_ACCOUNT.search(refused)
    subject = f"--serviceaccount={account[1]}:{account[2]}" if account else "--user=THE-OPERATOR"
    role = f"zanith-read-{secret}"[:63]
    return (
        f"the operator may not read Secret {secret}. Allow it by the chart's `secrets`, or: "
        f"kubectl -n {namespace} create role {role} --verb=get --resource=secrets --resource-name={secret} && "
        f"kubectl -n {namespace} create rolebinding {role} --role={role} {subject}"
    )
