"""The Job of one attempt: one pod that runs the runner once. Pure: the same input gives the same object.

`backoffLimit: 0` and no podFailurePolicy: with one, a Job whose node is lost stays `terminating` for ever. The next
attempt is the operator's doing. The pod satisfies the Pod Security level `restricted` and mounts no API token.
"""

from __future__ import annotations

from dataclasses import dataclass

from zanith.api.names import ANNOTATION_PLAN_HASH, ANNOTATION_RETRY_USED, GROUP, LABEL_ATTEMPT
from zanith.api.spec import JobSettings
from zanith.kube.client import Body
from zanith.kube.configmaps import EXECUTION_FILE, MIGRATION_FILE, execution_name
from zanith.kube.metadata import Owner, owned_metadata

ANNOTATION_ACTION = f"{GROUP}/action"
ANNOTATION_GENERATION = f"{GROUP}/generation"
ANNOTATION_RUN_HASH = f"{GROUP}/run-hash"
ANNOTATION_MARK = f"{GROUP}/progress-mark"
ANNOTATION_FAILURE_SEEN = f"{GROUP}/failure-seen"
ANNOTATION_TRIES = f"{GROUP}/tries"
ANNOTATION_CRASHES = f"{GROUP}/crashes"
LABEL_DATABASE = f"{GROUP}/database"

CONTAINER = "runner"
USER = 65532
_MOUNTS = "/etc/zanith"
_REQUESTS = {"cpu": "50m", "memory": "128Mi"}


@dataclass(frozen=True, slots=True)
class AttemptNotes:
    """What a Job keeps of its attempt, for the operator that comes after this one."""

    action: str
    """What it is for: apply, revert or purge."""
    generation: int
    """Generation of the spec it was started for."""
    plan_hash: str
    run_hash: str
    retry: str
    mark: str
    failure_seen: str
    tries: int
    crashes: int
    database: str
    """Which database it works on, as a label: a hash, not a name."""


def job(
    owner: Owner,
    *,
    name: str,
    attempt: int,
    notes: AttemptNotes,
    secret: str,
    image: str,
    pull_policy: str,
    settings: JobSettings,
) -> Body:
    """The Job of an attempt. The ConfigMap with what it is to do has the same name."""
    labels = {LABEL_ATTEMPT: str(attempt), LABEL_DATABASE: notes.database}
    annotations = {
        ANNOTATION_ACTION: notes.action,
        ANNOTATION_GENERATION: str(notes.generation),
        ANNOTATION_PLAN_HASH: notes.plan_hash,
        ANNOTATION_RUN_HASH: notes.run_hash,
        ANNOTATION_RETRY_USED: notes.retry,
        ANNOTATION_MARK: notes.mark,
        ANNOTATION_FAILURE_SEEN: notes.failure_seen,
        ANNOTATION_TRIES: str(notes.tries),
        ANNOTATION_CRASHES: str(notes.crashes),
    }
    metadata = owned_metadata(owner, name, labels=labels, annotations=annotations)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "template": {
                "metadata": {"labels": metadata["labels"]},
                "spec": _pod(owner, name, secret=secret, image=image, pull_policy=pull_policy, settings=settings),
            },
        },
    }


def _pod(owner: Owner, name: str, *, secret: str, image: str, pull_policy: str, settings: JobSettings) -> Body:
    pod: Body = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(name, image=image, pull_policy=pull_policy, settings=settings)],
        "volumes": [
            {"name": "migration", "configMap": {"name": name}},
            {"name": "execution", "configMap": {"name": execution_name(owner)}},
            {"name": "credentials", "secret": {"secretName": secret, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    if settings.service_account_name:
        pod["serviceAccountName"] = settings.service_account_name
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = [
            t.model_dump(mode="json", by_alias=True, exclude_defaults=True) for t in settings.tolerations
        ]
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": s.name} for s in settings.image_pull_secrets]
    return pod


def _container(job_name: str, *, image: str, pull_policy: str, settings: JobSettings) -> Body:
    resources: Body = {"requests": {**_REQUESTS, **settings.resources.requests}}
    if settings.resources.limits:
        resources["limits"] = dict(settings.resources.limits)
        # A request above its limit is no valid pod; a limit alone is the request as well.
        resources["requests"] = {
            **{k: settings.resources.limits.get(k, v) for k, v in _REQUESTS.items()},
            **settings.resources.requests,
        }
    return {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["zanith"],
        "args": [
            "run",
            "--migration",
            f"{_MOUNTS}/migration/{MIGRATION_FILE}",
            "--execution",
            f"{_MOUNTS}/execution/{EXECUTION_FILE}",
            "--credentials",
            f"{_MOUNTS}/credentials",
        ],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "ZANITH_JOB", "value": job_name},
        ],
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "migration", "mountPath": f"{_MOUNTS}/migration", "readOnly": True},
            {"name": "execution", "mountPath": f"{_MOUNTS}/execution", "readOnly": True},
            {"name": "credentials", "mountPath": f"{_MOUNTS}/credentials", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
