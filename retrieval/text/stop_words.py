"""Words that carry little meaning. Four lists for four purposes, and each has words that the others lack:

- STOP_WORDS, English: `content_words`, `retrieval.answers.support` and `training.data.wording`. It has "because",
  "such", "under", "while" and the pronouns, which QUESTION_STOP_WORDS has not.
- QUESTION_STOP_WORDS, English: `retrieval.search.follow_up`, whose turns are spoken. It has "please", "tell", "yes",
  "apply", "work", "very" and "without", which STOP_WORDS has not; words that point back are
  in `retrieval.text.pronouns`.
- FREQUENT_WORDS, ten languages, some forty words each: `retrieval.text.languages` tells them apart by these, and
  `training.data.wording` takes all of them for stop words. Of English it has "me" and "my" beyond STOP_WORDS.
- EMPTY, English articles and politeness as stems: `training.data.wording`; all that a copy of a question may lack.

BM25 has lists of its own, in the engine, by language (`retrieval.embedding.embedder`).
"""

from __future__ import annotations

from retrieval.text.courtesies import POLITE
from retrieval.text.stems import stem

_STOP_WORDS = (
    "a about after all also an and any are as at be because been before but by can could do does for from had has "
    "have he her his how i if in into is it its may might more most must no not of on one only or other our out over "
    "per shall she should so some such than that the their them then there these they this to under until up was we "
    "were what when where which while who whom whose why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_QUESTION_STOP_WORDS = (
    "a an the i me my we us our you your who whom whose which what when where why how is are was were be been being "
    "am do does did done have has had having can could will would shall should may might must not no nor so too very "
    "just only also than then there here if or and but as at by for from in into of off on onto out over to up with "
    "without about after before between during until per please tell say said get got any some all each every more "
    "most much many again still yes ok okay thanks thank apply applies mean means work works long far often soon"
)
QUESTION_STOP_WORDS = frozenset(_QUESTION_STOP_WORDS.split())
FREQUENT_WORDS = {
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
FUNCTION_WORDS = frozenset(word for words in FREQUENT_WORDS.values() for word in words.split())
"""Of all these languages."""
_TELLING = "what when where who whose why how before after until over under up out only do should must may can"
TELLING = frozenset(_TELLING.split())
"""Stop words that change a question's meaning; `training.data.wording` does not treat them as stop words."""
EMPTY = frozenset(map(stem, {"a", "an", "the", "s", *POLITE}))
"""The s is what remains of "bike's" when words are cut at the apostrophe."""
