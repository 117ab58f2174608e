"""Words and phrases that deny. Four callers ask, each for other ones:

- `denies`, for `retrieval.answers.support`: does a sentence deny anything at all? English words, those that end in
  "n't", and signs of Chinese, Japanese and Thai; beside the English NEGATIONS it knows "cannot", "lack", "fail" and
  their like.
- NEGATIONS, for `training.data.wording`: words of ten languages that make another question of it. Short forms are
  spelled out before (`retrieval.text.contractions`), so none stands here.
- VERDICT, for `training.data.contradictions`: a yes or no that opens an answer, in seven languages.
- REFUSAL_PHRASE, for `retrieval.answers.grounding`: English phrases that say that the documents do not answer.

Opposites, which deny one word and no sentence, are in `retrieval.text.opposites`.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_NEGATIONS = {
    "en": "no not nor never none without",
    "de": "nicht kein keine keinen ohne nie",
    "fr": "pas sans jamais",
    "es": "sin nunca",
    "it": "non senza mai",
    "pt": "não sem",
    "nl": "niet geen zonder nooit",
    "pl": "bez nigdy nie",
    "sv": "inte utan ingen",
    "tr": "yok değil",
}
NEGATIONS = frozenset(word for words in _NEGATIONS.values() for word in words.split())
_CLAIM_DENIALS = "neither cannot lack lacks unable absence absent fail fails"
DENIALS = frozenset(f"{_NEGATIONS['en']} {_CLAIM_DENIALS}".split())
_DENIAL_SIGNS = re.compile("[不没沒无無未勿]|ません|ない|なし|ไม่|ห้าม")
"""Of Chinese, Japanese and Thai, whose denials are no words of their own here."""
VERDICT = re.compile(r"^\W*(yes|no|ja|nein|oui|non|sí|si|nee)\b")
"""Of a lower-case answer."""
REFUSAL_PHRASE = re.compile(
    r"\b(?:documents?|passages?|sources?|context|texts?|materials?|manuals?|guides?|handbooks?|polic(?:y|ies))\b"
    r"[^.\n]{0,40}?\b(?:do|does|did)(?: not|n['\u2019]t)\s+"
    r"(?:\w+\s+)?(?:answer|say|state|mention|cover|contain|provide|specify|include|explain|describe|give)\b"
    r"|\b(?:documents?|passages?|sources?|context)\b[^.\n]{0,20}? (?:cannot|can[ '\u2019]?(?:no)?t) answer\b"
    r"|\b(?:no|none of the|neither of the) (?:\w+ )?(?:documents?|passages?|sources?) "
    r"(?:answer|say|state|mention|cover|contain|provide|specif|include|explain|describe)"
    r"|\bnot (?:answered|mentioned|stated|covered|found|given|available|contained|provided|specified|described)"
    r" in the (?:\w+ )?(?:documents?|passages?|sources?)\b",
    re.IGNORECASE,
)


def denies(text: str, words: Collection[str]) -> bool:
    """Whether the text denies anything; `words` are its own, in lower case, with a straight apostrophe."""
    return any(word in DENIALS or word.endswith("n't") for word in words) or bool(_DENIAL_SIGNS.search(text))
