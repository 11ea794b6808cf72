"""A process that runs analyses in children of its own, and kills them at a chosen step.

Reads a line of JSON for each run and answers with one: {"analysis", "image", "output", "kill_at"}
-> {"ended": "killed" | "done" | "exists" | an error, "steps": n, "finished": [n, ...]}. A step is
the moment before or after each flush to the disk, rename and entry in the ledger. The steps after
entries are "finished": with each, a block was. Of a killed run only "ended" and "steps" are told.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from scimage import Execution, GraftParameters, LesionParameters, count_grafts, segment_lesion
from scimage.errors import TargetExistsError
from scimage.image import Workspace, open_image

GRAFT = GraftParameters(nuclei="nuclei", autofluorescence="glow", diameter_um=(6.0, 10.0))
LESION = LesionParameters(
    gfap="gfap", tissue="glow", gap_um=40, border_width_um=80, min_lesion_mm3=0.0001
)
# So many blocks that by far the most steps are between two of them.
GRAFT_BLOCKS = Execution(workers=1, block=(8, 12, 11))
LESION_BLOCKS = Execution(workers=1, block=(16, 24, 24))


def analyse(analysis: str, image: str, output: str) -> None:
    if analysis == "grafts":
        count_grafts(open_image(image), GRAFT, output=output, execution=GRAFT_BLOCKS)
    else:
        segment_lesion(open_image(image), LESION, output=output, execution=LESION_BLOCKS)


def count_steps(kill_at: int) -> tuple[list[int], list[int]]:
    """Count every step from now on; at number `kill_at` this process dies.

    The number of steps, and those after entries in the ledger.
    """
    steps, finished = [0], []

    def step() -> None:
        steps[0] += 1
        if steps[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function, entries=False):
        def call(*args, **kwargs):
            step()
            out = function(*args, **kwargs)
            step()
            if entries:
                finished.append(steps[0])
            return out

        return call

    for name in ("fsync", "replace", "rename"):
        setattr(os, name, watched(getattr(os, name)))
    Workspace.finish = watched(Workspace.finish, entries=True)
    return steps, finished


def run_in_child(order: dict) -> dict:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        ended, steps, finished = "done", [0], []
        try:
            steps, finished = count_steps(order["kill_at"])
            analyse(order["analysis"], order["image"], order["output"])
        except TargetExistsError:
            ended = "exists"
        except BaseException as error:
            ended = f"{type(error).__name__}: {error}"
        told = {"ended": ended, "steps": steps[0], "finished": finished}
        os.write(write, json.dumps(told).encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    told = os.read(read, 100_000)
    os.close(read)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return {"ended": "killed", "steps": order["kill_at"]}
    return json.loads(told)


def main() -> None:
    # Kernels are compiled, and libraries loaded, before the first child is made.
    for analysis, image, output in json.loads(sys.stdin.readline()):
        analyse(analysis, image, output)
    print(json.dumps(os.getpid()), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        Path(order["output"]).parent.mkdir(parents=True, exist_ok=True)
        print(json.dumps(run_in_child(order)), flush=True)


main()
