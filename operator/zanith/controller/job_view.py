"""What a Job and its pod say: API objects -> JobView. Pure. Reads exit codes and reasons, never logs or environments."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from zanith.api.names import ANNOTATION_PLAN_HASH, ANNOTATION_RETRY_USED, LABEL_ATTEMPT
from zanith.controller.decide.observed import JobAction, JobState, JobView, PodView, Verdict
from zanith.kube.client import Body
from zanith.kube.job import (
    ANNOTATION_ACTION,
    ANNOTATION_CRASHES,
    ANNOTATION_FAILURE_SEEN,
    ANNOTATION_GENERATION,
    ANNOTATION_MARK,
    ANNOTATION_RUN_HASH,
    ANNOTATION_TRIES,
    LABEL_DATABASE,
)

_STUCK = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
_MESSAGE_LIMIT = 800


def job_view(job: Body, pods: Iterable[Body]) -> JobView:
    """The view of a Job with its pods, of which there is one."""
    metadata, annotations = job["metadata"], job["metadata"].get("annotations") or {}
    state, finished_at = _state(job.get("status") or {})
    newest = max(pods, key=lambda p: str(p["metadata"].get("creationTimestamp", "")), default=None)
    return JobView(
        name=metadata["name"],
        attempt=_number((metadata.get("labels") or {}).get(LABEL_ATTEMPT)),
        state=state,
        created_at=_required_time(metadata["creationTimestamp"]),
        finished_at=finished_at,
        deleting_since=_time(metadata.get("deletionTimestamp")),
        action=_action(annotations.get(ANNOTATION_ACTION)),
        generation=_number(annotations.get(ANNOTATION_GENERATION)),
        plan_hash=annotations.get(ANNOTATION_PLAN_HASH, ""),
        run_hash=annotations.get(ANNOTATION_RUN_HASH, ""),
        retry=annotations.get(ANNOTATION_RETRY_USED, ""),
        mark=annotations.get(ANNOTATION_MARK, ""),
        failure_seen=annotations.get(ANNOTATION_FAILURE_SEEN, ""),
        tries=_number(annotations.get(ANNOTATION_TRIES)),
        crashes=_number(annotations.get(ANNOTATION_CRASHES)),
        pod=_pod_view(newest) if newest is not None else None,
    )


def is_at_work(job: Body, now: datetime) -> bool:
    """Whether a Job's runner may be at work, so that another of its database has to wait."""
    view = job_view(job, ())
    return view.active or view.stopping(now)


def database_of(job: Body) -> str:
    """The label that names the database it works on."""
    return str((job["metadata"].get("labels") or {}).get(LABEL_DATABASE, ""))


def _state(status: Body) -> tuple[JobState, datetime | None]:
    """`FailureTarget` counts as failed: a Job on a lost node may have that and nothing more for long."""
    for condition in status.get("conditions") or []:
        if condition.get("status") != "True":
            continue
        at = _time(condition.get("lastTransitionTime"))
        if condition.get("type") == "Complete":
            return JobState.SUCCEEDED, at
        if condition.get("type") in ("Failed", "FailureTarget"):
            return JobState.FAILED, at
    return JobState.ACTIVE, None


def _pod_view(pod: Body) -> PodView:
    status = pod.get("status") or {}
    container: Body = next(iter(status.get("containerStatuses") or []), {})
    state = container.get("state") or {}
    ended, running = state.get("terminated") or {}, state.get("running") or {}
    code = ended.get("exitCode")
    reason = str(ended.get("reason") or "")
    return PodView(
        name=pod["metadata"]["name"],
        created_at=_required_time(pod["metadata"]["creationTimestamp"]),
        started_at=_time(running.get("startedAt") or ended.get("startedAt")),
        waiting=_waiting(status, state),
        exit_code=code if isinstance(code, int) else None,
        killed=reason if reason not in ("", "Error", "Completed") else "",
        disrupted=_disrupted(pod, status),
        verdict=_verdict(ended.get("message")),
    )


def _waiting(status: Body, state: Body) -> str:
    waiting = state.get("waiting") or {}
    if waiting.get("reason") in _STUCK:
        return str(waiting["reason"])
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Unschedulable')}: {condition.get('message', '')}"[:300]
    return ""


def _disrupted(pod: Body, status: Body) -> bool:
    if pod["metadata"].get("deletionTimestamp") or status.get("reason") in ("Evicted", "NodeLost", "Terminated"):
        return True
    return any(
        c.get("type") == "DisruptionTarget" and c.get("status") == "True" for c in status.get("conditions") or []
    )


def _verdict(message: Any) -> Verdict:
    """The runner's last words, where they are its words: a container that crashed may have left anything."""
    try:
        told = json.loads(message or "")
    except ValueError:
        return Verdict()
    if not isinstance(told, dict):
        return Verdict()
    step = told.get("step")
    return Verdict(
        reason=str(told.get("reason") or ""),
        message=str(told.get("message") or "")[:_MESSAGE_LIMIT],
        step=step if isinstance(step, int) else None,
    )


def _action(text: Any) -> JobAction:
    """Jobs of before there was a choice apply."""
    return JobAction(text) if text in set(JobAction) else JobAction.APPLY


def _number(text: Any) -> int:
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None


def _required_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
