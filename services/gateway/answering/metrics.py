"""What the gateway counts."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ANSWERS = Counter("tandem_answers", "Answers by mode and outcome.", ["mode", "outcome"])
TOKENS = Counter("tandem_tokens", "Tokens by mode and kind (prompt, completion).", ["mode", "kind"])
UNJOURNALED = Counter("tandem_answers_not_in_journal", "Answers that were delivered and could not be written down.")
IN_FLIGHT = Gauge("tandem_answers_in_flight", "Answers under way.")
FIRST_TOKEN = Histogram(
    "tandem_first_token_seconds",
    "Seconds from request to first token, by mode.",
    ["mode"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8),
)
