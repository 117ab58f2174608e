"""How long to wait before a process that ended is started again."""

from __future__ import annotations

from dataclasses import dataclass, replace

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
HEALTHY_AFTER_S = 60.0
FAILED_AFTER = 5


@dataclass(frozen=True)
class Backoff:
    """Failures in a row. A run of at least `HEALTHY_AFTER_S` seconds is healthy and resets the count."""

    failures: int = 0

    def after_run(self, seconds: float) -> Backoff:
        """The state after a process ended that had run for this many seconds."""
        return replace(self, failures=1 if seconds >= HEALTHY_AFTER_S else self.failures + 1)

    def while_running(self, seconds: float) -> Backoff:
        """The state of a process that has been running for this many seconds."""
        return Backoff() if seconds >= HEALTHY_AFTER_S else self

    @property
    def delay(self) -> float:
        """Seconds to wait before the next start: 1, 2, 4, 8, 16, 30."""
        if self.failures == 0:
            return 0.0
        return min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(self.failures - 1, 10))

    @property
    def failed(self) -> bool:
        return self.failures >= FAILED_AFTER
