"""A process that runs analyses in children of its own, and kills them at a chosen step.

Reads a line of JSON for each run and answers with one: {"analysis", "image", "output", "kill_at"}
-> {"ended": "killed" | "done" | an error, "steps": n}. A step is the moment before or after each
flush to the disk, rename and entry in the ledger.
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
SERIAL = Execution(workers=1, block=(16, 24, 24))


def analyse(analysis: str, image: str, output: str) -> None:
    if analysis == "grafts":
        count_grafts(open_image(image), GRAFT, output=output, execution=SERIAL)
    else:
        segment_lesion(open_image(image), LESION, output=output, execution=SERIAL)


def count_steps(kill_at: int) -> list[int]:
    """Count every step from now on; at number `kill_at` this process dies."""
    steps = [0]

    def step() -> None:
        steps[0] += 1
        if steps[0] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(function):
        def call(*args, **kwargs):
            step()
            out = function(*args, **kwargs)
            step()
            return out

        return call

    for name in ("fsync", "replace", "rename"):
        setattr(os, name, watched(getattr(os, name)))
    Workspace.finish = watched(Workspace.finish)
    return steps


def run_in_child(order: dict) -> dict:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        ended, steps = "done", [0]
        try:
            steps = count_steps(order["kill_at"])
            analyse(order["analysis"], order["image"], order["output"])
        except TargetExistsError:
            ended = "exists"
        except BaseException as error:
            ended = f"{type(error).__name__}: {error}"
        os.write(write, json.dumps({"ended": ended, "steps": steps[0]}).encode())
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
