"""decide(observed) -> Decision: what the status of one migration is and what to do next. Pure, table-tested.

It sees values only: no clock, no environment, no database, no API. Everything it says can be said again from the spec,
the Job and the ledger; the status found on the resource serves as the memory of times and of what was last read.
"""

from zanith.controller.decide.decision import Decision, DeleteJob, PostEvent, StartJob, StopJob, SyncExecution
from zanith.controller.decide.observed import Observed
from zanith.controller.decide.rules import situation_of, wants_plan
from zanith.controller.decide.verdict import decide

__all__ = [
    "Decision",
    "DeleteJob",
    "Observed",
    "PostEvent",
    "StartJob",
    "StopJob",
    "SyncExecution",
    "decide",
    "situation_of",
    "wants_plan",
]
