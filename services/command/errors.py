"""How a command fails, and the exit code that a script sees.

CommandError            1  what was asked for did not happen
└─ NotRunning           3  the platform is not running, or not ready
└─ Misuse               2  the command was called wrongly
"""

from __future__ import annotations


class CommandError(Exception):
    """What happened, to which thing, and what to do. `detail` is for `--json`."""

    exit_code = 1


class NotRunning(CommandError):
    exit_code = 3


class Misuse(CommandError):
    exit_code = 2
