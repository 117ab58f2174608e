"""Which language a text is in, by its function words or its script.

It tells ten languages written in Latin letters by their most frequent words, and others by their script alone, so
Russian and Ukrainian are both `cyrillic`. A text with fewer than two function words is `unknown`, near relatives
(Danish and Norwegian) are taken for one another, and of a text in two languages the more frequent one is named.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

LIMITS = (
    "Told by function words (de, en, es, fr, it, nl, pl, pt, sv, tr) or by script; texts of a few words are unknown, "
    "near relatives are confused, and of a mixed text only the main language is named."
)
UNKNOWN = "unknown"
READ = 80
"""Words of a text that are looked at."""
_WORDS = {
    "en": "the and of to in is are you your it that for on with not this be or as at by from have has was were will "
    "would can what when where how which who why do does if they we he she my i me an their there",
    "de": "der die das und ist nicht ein eine einen einem einer ich sie wir ihr es zu den dem mit auf für von im wie "
    "was wann wo kann kein keine auch sich oder bei aus nach wird sind haben hat werden mein ihre durch",
    "fr": "le la les un une des du et est ne pas je vous nous il elle que qui quoi dans pour sur avec ce cette mon ma "
    "votre sont être avoir au aux par ou où comment quand plus se son sa leur",
    "es": "el la los las un una unos y es no que de del en por para con mi su se lo al como cuando donde puedo está "
    "son pero más si sus nos ser hay qué cómo cuándo yo usted",
    "it": "il lo la gli le un una e è non che di del della dei delle in per con mi si come quando dove posso sono ma "
    "più se suo sua ho ha anche nel alla questo questa quanto",
    "pt": "o a os as um uma e é não que de do da dos das em no na por para com meu minha se como quando onde posso são "
    "mas mais seu sua você eu ao ou está ser",
    "nl": "de het een en is niet ik u je wij we van in op met voor dat die zijn aan te als wat wanneer waar hoe kan "
    "mijn uw ook er maar bij naar of geen wordt deze dit",
    "pl": "i w nie na się z do jest to że o jak co czy po ale za od dla mój moja kiedy gdzie może są przez ten ta tego "
    "jestem mam bez już tylko lub oraz",
    "sv": "och att det som en ett är på inte jag du vi för med av till den har kan om när var hur vad min din från men "
    "eller ska de man så blir också",
    "tr": "ve bir bu için ile da de mi m\u0131 ne ben sen biz var yok değil çok nas\u0131l zaman nerede kadar olarak "
    "daha gibi sonra önce her ama veya",
}
NEGATIONS = frozenset(
    re.findall(
        r"\w+",
        "no not nor never none without nicht kein keine keinen ohne nie pas sans jamais sin nunca non senza mai não "
        "sem niet geen zonder nooit bez nigdy nie inte utan ingen yok değil",
    )
)
FUNCTION_WORDS = frozenset(word for words in _WORDS.values() for word in words.split())
_SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CJK": "zh", "CYRILLIC": "cyrillic", "GREEK": "el",
    "ARABIC": "arabic", "HEBREW": "he", "THAI": "th", "DEVANAGARI": "devanagari", "BENGALI": "bn", "TAMIL": "ta",
}  # fmt: skip
_SPEAKERS: dict[str, list[str]] = {}
for _name, _list in _WORDS.items():
    for _word in _list.split():
        _SPEAKERS.setdefault(_word, []).append(_name)
_WORD = re.compile(r"[^\W\d_]+")


def language(text: str) -> str:
    """An ISO 639-1 code, the name of a script, or `unknown`."""
    if not text.isascii() and (script := _script(text)):
        return script
    votes: Counter[str] = Counter()
    for word in _WORD.findall(text.lower())[:READ]:
        votes.update(_SPEAKERS.get(word, ()))
    ranked = votes.most_common(2)
    if not ranked or ranked[0][1] < 2 or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return UNKNOWN
    return ranked[0][0]


def _script(text: str) -> str | None:
    """The language or script of a text that is not mainly in Latin letters. Kana tells Japanese from Chinese."""
    letters = [letter for letter in text[:400] if letter.isalpha()]
    found = Counter(_script_of(letter) for letter in letters)
    if not letters or found[None] > len(letters) / 2:
        return None
    return "ja" if found["ja"] else found.most_common(1)[0][0] or next((one for one in found if one), None)


@lru_cache(maxsize=4096)
def _script_of(letter: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(letter, "").split(" ")[0])
