"""The queue: one worker per key, news about a busy key looked at right after, failures tried again ever more slowly."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
import structlog

from zanith.controller.cache import Key
from zanith.controller.work_queue import WorkQueue
from zanith.kube.client import KubeError

A, B = Key("shop", "a"), Key("shop", "b")
DEADLINE_S = 5.0


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(scenario(), DEADLINE_S)

    asyncio.run(limited())


class Worked:
    """Work that is done step by step, as the test lets it."""

    def __init__(self, *, answers: list[float | Exception | None] | None = None) -> None:
        self.begun: asyncio.Queue[Key] = asyncio.Queue()
        self.may_end = asyncio.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self.answers = answers or []

    async def __call__(self, key: Key) -> float | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.put_nowait(key)
        await self.may_end.acquire()
        self.at_once -= 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer


class Reported:
    """What was told of failures nobody foresaw."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told: list[tuple[Key, str]] = []
        self.fails = fails

    async def __call__(self, key: Key, failure: str) -> None:
        self.told.append((key, failure))
        if self.fails:
            raise ValueError("password=hunter2")


def queue_of(
    work: Worked, *, workers: int = 2, report: Reported | None = None
) -> tuple[WorkQueue, list[asyncio.Task[None]]]:
    queue = WorkQueue(work, report or Reported(), chance=random.Random(1), backoff_s=0.01)
    return queue, [asyncio.create_task(queue.run_worker()) for _ in range(workers)]


def test_a_key_is_worked_on_by_one_at_a_time_and_again_after_news() -> None:
    async def scenario() -> None:
        work = Worked()
        queue, _ = queue_of(work)
        queue.put(A)
        queue.put(A)
        assert await work.begun.get() == A
        for _ in range(3):
            queue.put(A)
        work.may_end.release()
        assert await work.begun.get() == A
        work.may_end.release()
        await asyncio.sleep(0)
        queue.put(B)
        assert await work.begun.get() == B
        assert work.most_at_once == 1

    run(scenario)


def test_keys_are_worked_on_side_by_side() -> None:
    async def scenario() -> None:
        work = Worked()
        queue, _ = queue_of(work)
        queue.put(A)
        queue.put(B)
        assert {await work.begun.get(), await work.begun.get()} == {A, B}
        assert work.most_at_once == 2

    run(scenario)


def test_a_key_is_looked_at_again_when_its_time_has_come() -> None:
    async def scenario() -> None:
        work = Worked(answers=[0.01])
        queue, _ = queue_of(work)
        queue.put(A)
        await work.begun.get()
        work.may_end.release()
        assert await work.begun.get() == A

    run(scenario)


def test_the_earlier_of_two_times_counts_and_news_come_before_both() -> None:
    async def scenario() -> None:
        work = Worked()
        queue, _ = queue_of(work, workers=1)
        queue.put_within(A, 60)
        queue.put_within(A, 0.01)
        queue.put_within(A, 30)
        assert await work.begun.get() == A
        work.may_end.release()
        queue.put_within(B, 60)
        queue.put(B)
        queue.put_within(B, 0.001)
        assert await work.begun.get() == B
        work.may_end.release()
        await asyncio.sleep(0.02)
        assert work.begun.empty()

    run(scenario)


@pytest.mark.parametrize(
    ("error", "reported"), [(KubeError("away"), []), (ValueError("password=hunter2"), [(A, "ValueError")])]
)
@pytest.mark.parametrize("fails", [False, True])
def test_what_nobody_foresaw_is_told_on_the_resource(
    error: Exception, reported: list[tuple[Key, str]], fails: bool
) -> None:
    async def scenario() -> None:
        work, report = Worked(answers=[error, None]), Reported(fails=fails)
        queue, _ = queue_of(work, report=report)
        with structlog.testing.capture_logs() as lines:
            queue.put(A)
            await work.begun.get()
            work.may_end.release()
            await work.begun.get()
        assert report.told == reported
        assert "hunter2" not in str(lines)

    run(scenario)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KubeError("the API server answered 500"), {"error": "KubeError", "message": "the API server answered 500"}),
        (ValueError("password=hunter2"), {"error": "ValueError"}),
    ],
)
def test_what_goes_wrong_is_told_without_foreign_words_and_tried_again(error: Exception, told: dict[str, str]) -> None:
    async def scenario() -> None:
        work = Worked(answers=[error, error, None])
        queue, _ = queue_of(work)
        with structlog.testing.capture_logs() as lines:
            queue.put(A)
            for _ in range(2):
                await work.begun.get()
                work.may_end.release()
            await work.begun.get()
        assert len(lines) == 2
        assert lines[0].items() >= told.items()
        assert "hunter2" not in str(lines)
        assert lines[0]["retry_in_s"] < lines[1]["retry_in_s"]

    run(scenario)
