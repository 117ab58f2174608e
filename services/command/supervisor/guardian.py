"""Ends what a killed supervisor leaves: `python -m services.command.supervisor.guardian HOME`; the supervisor starts
it.

The kernel ends the supervisor's children with it (PR_SET_PDEATHSIG), but not their children. The supervisor holds the
other end of standard input. When that closes, the guardian ends every process of the home that existed by then.
Processes that a new supervisor has started meanwhile are younger, and stay.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from services.command.supervisor.state import sweep

GRACE_S = 5.0


def main(home: Path) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1024):
        pass
    sweep(home, GRACE_S, started_before=time.time())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
