"""The tests that a candidate has to pass before it goes live."""

from __future__ import annotations

import math

from training.config import GateSettings
from training.model import GateCheck, GateReport, LoraResult, Metrics, Share


def judge(
    lora: LoraResult, candidate: Metrics, baseline: Metrics, baseline_is_tuned: bool, settings: GateSettings
) -> GateReport:
    """Compare a candidate with what is live now: an earlier version, or the base weights where none is."""
    checks = (
        _loss_fell(lora),
        _style_rose(candidate, baseline, baseline_is_tuned, settings),
        _citations_kept(candidate, baseline, settings),
        _stops(candidate, settings),
        _answers(candidate, settings),
    )
    return GateReport(all(check.passed for check in checks), checks)


def _loss_fell(lora: LoraResult) -> GateCheck:
    before, after = lora.loss_before, lora.loss_after
    passed = math.isfinite(after) and after < before
    verb = "fell" if passed else "did not fall"
    return GateCheck("loss", passed, f"The held-out loss {verb}: {before:.3f} before training, {after:.3f} after.")


def _style_rose(candidate: Metrics, baseline: Metrics, tuned: bool, settings: GateSettings) -> GateCheck:
    new, old = candidate.style["overall"], baseline.style["overall"]
    if new.value is None:
        return GateCheck("style", False, "No answer of the candidate could be scored for style.")
    wanted = (old.value or 0.0) - settings.style_margin if tuned else (old.value or 0.0) + settings.style_gain
    passed = new.value >= wanted
    verb = "held or rose" if passed else "fell" if tuned else "did not rise enough"
    against = "the live version" if tuned else "the base weights"
    sentence = f"Style {verb}: {new.value:.3f} against {_figure(old)} of {against} (wanted {wanted:.3f})."
    return GateCheck("style", passed, sentence)


def _citations_kept(candidate: Metrics, baseline: Metrics, settings: GateSettings) -> GateCheck:
    new, old = candidate.citation_recall, baseline.citation_recall
    if new.value is None:
        return GateCheck("citations", True, "No held-out question has a source, so citations were not compared.")
    wanted = max(0.0, (old.value or 0.0) - settings.citation_margin)
    passed = new.value >= wanted
    verb = "are not worse" if passed else "are worse"
    sentence = f"Citations {verb}: the right document on {new}, before {old} (wanted {wanted:.0%})."
    return GateCheck("citations", passed, sentence)


def _stops(candidate: Metrics, settings: GateSettings) -> GateCheck:
    share = candidate.stopped
    passed = share.value is not None and share.value >= settings.min_stop_rate
    verb = "stops" if passed else "does not always stop"
    return GateCheck(
        "stops", passed, f"The candidate {verb} by itself: {share} answers (wanted {settings.min_stop_rate:.0%})."
    )


def _answers(candidate: Metrics, settings: GateSettings) -> GateCheck:
    passed = candidate.questions > 0 and candidate.failed <= settings.max_failed * candidate.questions
    reasons = f": {'; '.join(candidate.failures)}" if candidate.failures else ""
    sentence = f"{candidate.failed} of {candidate.questions} questions failed{reasons}."
    return GateCheck("answers", passed, sentence)


def _figure(share: Share) -> str:
    return "nothing" if share.value is None else f"{share.value:.3f}"
