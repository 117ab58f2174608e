"""Two pages of a shop: what the store of a test holds before it is reindexed."""

from __future__ import annotations

REFUNDS = "# Refunds\n\nRefunds are paid within five working days. " + "A returned bike is checked before that. " * 20
TYRES = "# Tyres\n\nThe tyre pressure of the Brindle City is 3.8 bar. " + "Tyres lose air in a month. " * 20
