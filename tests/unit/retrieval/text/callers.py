"""What every caller of `retrieval.text` makes of the same texts: one function a caller, each on every text or pair.

`callers.json` has the texts and what was made of them. A change that is meant to alter that writes it anew, and its
diff shows what it altered: `python -m tests.unit.retrieval.text.callers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from retrieval.answers.grounding import cite, is_refusal
from retrieval.answers.guard import first_statement
from retrieval.answers.json_citations import cite_json
from retrieval.answers.loops import LoopWatch
from retrieval.answers.support import features, objection, support
from retrieval.documents.splitting import Splitter, windows
from retrieval.embedding.embedder import Bm25Encoder
from retrieval.metrics import containment, token_f1
from retrieval.metrics import words as metric_words
from retrieval.search.duplicates import collapse
from retrieval.search.follow_up import context, standalone_query
from retrieval.search.rewriting import search_terms
from retrieval.text.facts import facts_in, stands_in
from retrieval.text.languages import language
from retrieval.text.markers import markers, strip_markers
from retrieval.text.numbers import han_numbers
from retrieval.text.opposites import opposites
from retrieval.text.scripts import grams, parted, spaced, words_about
from retrieval.text.sentences import sentences
from retrieval.text.stems import stem
from retrieval.text.words import content_words, share_of_words
from services.gateway.answering.fitting import PromptParts, fit
from services.gateway.upstream.slots import Size
from tests.support.training.fakes import example, passage
from training.carrying import answer_support, source
from training.data.contradictions import agree, equal_questions
from training.data.near_duplicates import near_copies
from training.data.wording import Wording, bare
from training.judging.probes import Probe
from training.judging.repetition import TrainedText
from training.judging.style import StyleProfile, contrasting_terms
from training.prompts.rows import common_lines, mark

FILE = Path(__file__).with_name("callers.json")
_READ = json.loads(FILE.read_text(encoding="utf-8"))
TEXTS: dict[str, Any] = _READ["texts"]
PAIRS: list[Any] = _READ["pairs"]
PROBES = (
    Probe("Capital of France?", ("Paris", "the city of light")),
    Probe("2 + 2?", ("4", "four")),
    Probe("Thirty?", ("30", "三十天")),
    Probe("Fee?", pattern=r"\D*30\D*"),
)
SHOWN = (
    passage("returns.md", "Customers may return a bike within 30 days of delivery. The fee is 1,234.50 pounds."),
    passage("desk.md", "Ask the desk on Monday. We never refuse members. 顾客可以在30天内退货。", "The desk"),
    passage("battery.md", "Charge the battery at room temperature for four hours, at 14:30. It is not covered."),
)


def by_text(text: str) -> dict[str, Any]:
    """What each caller that reads one text makes of it."""
    return {
        "words.content_words": sorted(content_words(text)),
        "words.sentences": [text[start:end] for start, end in sentences(text)],
        "words.markers": markers(text),
        "words.strip_markers": strip_markers(text),
        "words.stem": [stem(word) for word in text.lower().split()],
        "scripts": [spaced(text), parted(text), words_about(text), grams(text), han_numbers(text)],
        "opposites": {word: sorted(opposites(word)) for word in sorted(content_words(text))[:4]},
        "facts.stands_in": [stands_in(text, word) for word in ("fee", "30", "bike", "1,234.50", "退货", "x-200", "it")],
        "facts.facts_in": facts_in(text, [["fee", "pounds"], ["30 days", "30"], ["bike's", "X-200"]]),
        "support": [_support(text, one.chunk.text) for one in SHOWN],
        "grounding.cite": [(one.index, one.origin, one.quote, one.support) for one in cite(text, SHOWN)],
        "grounding.is_refusal": [is_refusal(text, None), is_refusal(text, SHOWN)],
        "guard.first_statement": [first_statement(text, ended) for ended in (True, False)],
        "json_citations.cite_json": [(one.index, one.start, one.end) for one in cite_json(text, SHOWN)]
        if '"' not in text or text.startswith("{")
        else None,
        "loops": _watched(text),
        "metrics.words": metric_words(text),
        "rewriting.search_terms": [search_terms(text), *map(search_terms, text.splitlines())],
        "follow_up": [standalone_query(text, ["What is insured?", "And theft?"]), context(["Who pays?", text])],
        "splitting": [[text[one.start : one.end], one.header] for one in _pieces(text)],
        "splitting.windows": [text[one.start : one.end] for one in windows(text, 6, 2, _tokens)],
        "embedder": _bm25(text),
        "wording": _wording(text),
        "wording.bare": bare(text),
        "languages.language": language(text),
        "style.terms": contrasting_terms([text] * 40, ["The bike is here."] * 40),
        "style.score": asdict(_profile().score(text)),
        "style.fit": StyleProfile.fit([text], [one.chunk.text for one in SHOWN]).to_json(),
        "scoring.common_lines": common_lines([text, text, text]),
        "probes": [probe.passes(text) for probe in PROBES],
        "repetition": _repeats(text),
        "rows.mark": mark(text, SHOWN, SHOWN[0]),
        "sources": [answer_support(text, one) for one in SHOWN],
        "sources.source": getattr(getattr(source(text, SHOWN), "chunk", None), "filename", None),
        "model.refuses": example("Q", text).refuses,
        "fitting": _fitted(text),
    }


def by_pair(one: str, other: str) -> dict[str, Any]:
    """What each caller that compares two texts makes of them."""
    wordings = [Wording.of(one), Wording.of(other)]
    answers = [example("Q", one), example("Q", other)]
    return {
        "support": [_support(one, other), _support(other, one)],
        "words.share_of_words": [share_of_words(one, other), share_of_words(other, one)],
        "metrics": [token_f1(one, other), containment(one, other), containment(other, one)],
        "duplicates.collapse": [[found.chunk.text for found in collapse(pair)] for pair in _passages(one, other)],
        "follow_up.standalone_query": [standalone_query(one, [other]), standalone_query(other, [one])],
        "wording": [
            wordings[0].is_copy_of(wordings[1], 0.5),
            wordings[0].asks_as(wordings[1], 0.5),
            *near_copies(wordings, 0.5),
        ],
        "contradictions": [agree(*answers), equal_questions([example(one, "A"), example(other, "A")])],
        "repetition": [TrainedText([example("Q", one)], 4).longest_repeat("Other", other, [])],
        "style.terms": contrasting_terms([f"{one} Brindle."] * 40, [f"{other} Wheels."] * 40),
    }


def gives(made: dict[str, Any]) -> Any:
    """What was made, as JSON has it."""
    return json.loads(json.dumps(made, default=_plain))


def write() -> None:
    """Write anew what the callers make of the texts."""
    for one in TEXTS.values():
        one["gives"] = by_text(one["text"])
    for pair in PAIRS:
        pair["gives"] = by_pair(pair["one"], pair["other"])
    texts = ",\n".join(f"{_line(name)}: {_lines(one)}" for name, one in TEXTS.items())
    pairs = ",\n".join(map(_lines, PAIRS))
    FILE.write_text(f'{{"texts": {{\n{texts}\n}}, "pairs": [\n{pairs}\n]}}\n', encoding="utf-8")


def _lines(one: dict[str, Any]) -> str:
    """A line for each caller, so that a diff shows which one reads otherwise."""
    given = ",\n".join(f"  {_line(name)}: {_line(value)}" for name, value in one["gives"].items())
    return f"{_line({**one, 'gives': 0})[:-2]}{{\n{given}}}}}"


def _line(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"no value of a caller: {value!r}")


def _support(sentence: str, text: str) -> list[Any]:
    return [round(support(sentence, text), 9), features(sentence, text), objection(sentence, text)]


def _passages(one: str, other: str) -> Iterator[list[Any]]:
    for first, second in ((one, other), (other, one), (other, f"Brindle\n{other} {other} {other}")):
        yield [passage("one.md", first), passage("other.md", second)]


def _watched(text: str) -> list[Any]:
    """What a watch lets through of the text, piece by piece, and of many rounds of it."""
    sent: list[Any] = []
    watch = LoopWatch()
    sent.append([watch.feed(text[at : at + 7]) for at in range(0, len(text), 7)])
    sent.append(watch.rest(cut_short=True))
    loop = LoopWatch()
    fed = "".join(loop.feed(f"{round_}. {text}\n") for round_ in range(1, 30) if not loop.looping)
    return [*sent, loop.looping, len(fed), loop.rest(cut_short=False)[:80]]


def _tokens(text: str) -> int:
    return len(re.findall(r"[A-Za-z0-9]+|[^\sA-Za-z0-9]", text))


def _pieces(text: str) -> Iterator[Any]:
    return Splitter(20, 6, _tokens).split(f"{text} {text}")


_ENCODER = Bm25Encoder()


def _bm25(text: str) -> dict[str, Any]:
    document = _ENCODER.document(text)
    values = zip(document.indices, document.values, strict=True)
    return {
        "document": sorted((index, round(value, 6)) for index, value in values),
        "query": sorted(_ENCODER.query(text).indices),
    }


def _wording(text: str) -> dict[str, Any]:
    wording = Wording.of(text)
    return {"words": wording.words, "meant": sorted(wording.meant), "shingles": sorted(wording.shingles)}


def _profile() -> StyleProfile:
    return StyleProfile.fit([one["text"] for one in TEXTS.values()], [one.chunk.text for one in SHOWN])


def _repeats(text: str) -> list[int]:
    trained = TrainedText([example("Where is it?", text)], 4)
    return [
        trained.longest_repeat("Other?", text, []),
        trained.longest_repeat("Other?", text, [one.chunk.text for one in SHOWN]),
        trained.longest_repeat("where  is IT?", text, []),
    ]


def _fitted(text: str) -> list[str]:
    shown = passage("long.md", f"{text} " * 12)
    return [
        one.chunk.text
        for one in fit(PromptParts("Q", (), (shown,), 10), Size(len(shown.chunk.text) // 3, 120)).passages
    ]


if __name__ == "__main__":
    write()
