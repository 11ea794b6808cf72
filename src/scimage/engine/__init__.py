"""Run passes over blocks: where, how many at a time, in how much memory; and go on after a stop."""

from scimage.engine.execution import Execution
from scimage.engine.executors import DaskExecutor, Executor, Lost, SerialExecutor, open_executor
from scimage.engine.plan import Plan, make_plan, seconds_for
from scimage.engine.run import Run, run_pass, start_run

__all__ = [
    "DaskExecutor",
    "Execution",
    "Executor",
    "Lost",
    "Plan",
    "Run",
    "SerialExecutor",
    "make_plan",
    "open_executor",
    "run_pass",
    "seconds_for",
    "start_run",
]
