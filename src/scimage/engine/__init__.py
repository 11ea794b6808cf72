"""Run passes over blocks: where, how many at a time, and in how much memory."""

from scimage.engine.executors import DaskExecutor, Executor, SerialExecutor, open_executor
from scimage.engine.run import block_shape, run_pass

__all__ = [
    "DaskExecutor",
    "Executor",
    "SerialExecutor",
    "block_shape",
    "open_executor",
    "run_pass",
]
