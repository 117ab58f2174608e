"""Splits a text that is too large for one chunk, where it does the least harm.

Prose is cut at sentence ends by LlamaIndex's SentenceSplitter, and at the full stops of other scripts. A run without
spaces that fits no chunk, such as Thai or a base64 image, is cut between clauses or, if need be, anywhere. A table is
cut between rows, and each further piece repeats the header row. A code fence is kept whole if it fits, otherwise cut
between lines. Tables and fences are recognised by their Markdown, and by rows whose cells are joined with ` | `, as the
HTML reader writes them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.node_parser.text.utils import split_by_sentence_tokenizer

from retrieval.text.sentences import CHUNK_END, CLAUSE_END
from retrieval.text.words import RUN

CountTokens = Callable[[str], int]
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
CELLS = " | "
RUN_PIECE = 48  # characters of a run without spaces: under a third of a chunk where each is a token
_RUN = re.compile(rf"\S{{{RUN_PIECE},}}")
_CLAUSE = re.compile(rf".{{16,{RUN_PIECE}}}[{CLAUSE_END}]|.{{1,{RUN_PIECE}}}", re.DOTALL)
_JOINER = "\u200d"


@dataclass(frozen=True)
class Piece:
    """A span of the text; `header` is the header row of the table that it continues, else empty."""

    start: int
    end: int
    header: str = ""


@dataclass(frozen=True)
class _Segment:
    kind: Literal["prose", "table", "code"]
    start: int
    end: int


class Splitter:
    """Cuts to `size` tokens; neighbouring pieces of prose share up to `overlap` tokens in whole sentences."""

    def __init__(self, size: int, overlap: int, count_tokens: CountTokens) -> None:
        self._size, self._count = size, count_tokens
        self._by_language = split_by_sentence_tokenizer()
        self._sentences = SentenceSplitter(
            chunk_size=size,
            chunk_overlap=overlap,
            tokenizer=lambda text: range(count_tokens(text)),
            chunking_tokenizer_fn=self._by_sentences,
        )

    def fits(self, text: str) -> bool:
        return self._count(text) <= self._size

    def split(self, text: str) -> Iterator[Piece]:
        """The pieces in order. Only a single row or line that is larger than a chunk is cut inside."""
        if self.fits(text):
            yield Piece(0, len(text))
            return
        segments = list(_segments(text))
        if [segment.kind for segment in segments] == ["prose"]:
            yield from self._prose(text, 0, len(text))
            return
        yield from self._packed(text, (piece for segment in segments for piece in self._segment(text, segment)))

    def _segment(self, text: str, segment: _Segment) -> Iterator[Piece]:
        start, end = segment.start, segment.end
        if self.fits(text[start:end]):
            yield Piece(start, end)
        elif segment.kind == "prose":
            yield from self._prose(text, start, end)
        elif segment.kind == "code":
            yield from self._packed(text, self._lines(text, _lines(text, start, end)))
        else:
            yield from self._table(text, start, end)

    def _table(self, text: str, start: int, end: int) -> Iterator[Piece]:
        """Rows together while they fit beside the header row, which is counted for every piece but the first."""
        header, body = _header(text, start, end)
        room = self._size - self._count(header)
        if room < self._size // 2:  # a header that leaves the rows no room is not repeated
            header, room = "", self._size
        first = True
        for piece in self._packed(text, self._lines(text, _lines(text, start, end)), room):
            yield Piece(piece.start, piece.end, "" if first or piece.start < body else header)
            first = False

    def _lines(self, text: str, lines: Iterable[Piece]) -> Iterator[Piece]:
        for line in lines:
            if self.fits(text[line.start : line.end]):
                yield line
            else:
                yield from self._prose(text, line.start, line.end)

    def _packed(self, text: str, pieces: Iterable[Piece], size: int | None = None) -> Iterator[Piece]:
        """Neighbours joined while they fit. A piece with a header row starts a new one."""
        size = self._size if size is None else size
        open_piece: Piece | None = None
        for piece in pieces:
            if open_piece and not piece.header and self._count(text[open_piece.start : piece.end]) <= size:
                open_piece = Piece(open_piece.start, max(open_piece.end, piece.end), open_piece.header)
                continue
            if open_piece:
                yield open_piece
            open_piece = piece
        if open_piece:
            yield open_piece

    def _prose(self, text: str, start: int, end: int) -> Iterator[Piece]:
        whole, overlaps = text[start:end], bool(self._sentences.chunk_overlap)
        begun, ended = 0, 0
        for piece in self._sentences.split_text(whole):  # it copies, so each piece stands in the text word for word
            begun = whole.index(piece, max(begun, ended + 1 - len(piece)) if overlaps else ended)
            ended = begun + len(piece)
            yield Piece(start + begun, start + ended)

    def _by_sentences(self, text: str) -> list[str]:
        """The text in sentences, and runs without spaces that fit no chunk in pieces; joined, they give the
        text again."""
        found = [part for sentence in self._by_language(text) for part in _at_full_stops(sentence)]
        return [piece for part in found for piece in _broken(part, self._size, self._count)]


def _at_full_stops(text: str) -> list[str]:
    ends = [match.end() for match in CHUNK_END.finditer(text)]
    return [text[start:end] for start, end in pairwise([0, *ends, len(text)]) if start < end]


def _broken(text: str, size: int, count_tokens: CountTokens) -> list[str]:
    pieces, position = [], 0
    for match in _RUN.finditer(text):
        if count_tokens(match[0]) > size:
            pieces += [text[position : match.start()], *_clauses(match[0])]
            position = match.end()
    return [piece for piece in [*pieces, text[position:]] if piece]


def _clauses(run: str) -> Iterator[str]:
    """Pieces of a run without spaces: up to a comma if there is one; a sign is never separated from its letter."""
    start = 0
    while start < len(run):
        match = _CLAUSE.match(run, start)
        end = match.end() if match else len(run)
        while end < len(run) and (unicodedata.category(run[end])[0] == "M" or _JOINER in run[end - 1 : end + 1]):
            end += 1
        yield run[start:end]
        start = end


def windows(text: str, size: int, overlap: int, count_tokens: CountTokens) -> Iterator[Piece]:
    """Runs of whole words of `size` tokens at most, wherever they end; each repeats `overlap` tokens of the one before.

    A single word larger than `size` is a window of its own, unless it is a run of RUN_PIECE characters, which is cut.
    """
    words = list(_words(text, size, count_tokens))
    first = 0
    while first < len(words):
        last, tokens = first, words[first][2]
        while last + 1 < len(words) and tokens + words[last + 1][2] <= size:
            last += 1
            tokens += words[last][2]
        yield Piece(words[first][0], words[last][1])
        if last + 1 == len(words):
            return
        following, shared = last + 1, 0
        while following - 1 > first and shared + words[following - 1][2] <= overlap:
            following -= 1
            shared += words[following][2]
        first = following


def _words(text: str, size: int, count_tokens: CountTokens) -> Iterator[tuple[int, int, int]]:
    """Start, end and tokens of each word, and of each piece of one that is no word but a long run."""
    for match in RUN.finditer(text):
        start = match.start()
        for piece in _broken(match[0], size, count_tokens):
            yield start, start + len(piece), count_tokens(piece)
            start += len(piece)


def _segments(text: str) -> Iterator[_Segment]:
    """Runs of lines of one kind. A single line with ` | ` in it is prose: a table has two rows at least."""
    runs: list[_Segment] = []
    fence = ""
    for line in _lines(text, 0, len(text)):
        content = text[line.start : line.end]
        marker = FENCE.match(content)
        inside = bool(fence or marker)
        kind: Literal["prose", "table", "code"] = "code" if inside else "table" if _is_row(content) else "prose"
        opens = bool(marker and not fence)
        if marker and not fence:
            fence = marker[1]
        elif marker and marker[1].startswith(fence) and content.strip() == marker[1]:
            fence = ""
        if runs and runs[-1].kind == kind and not opens:
            runs[-1] = _Segment(kind, runs[-1].start, line.end)
        else:
            runs.append(_Segment(kind, line.start, line.end))
    yield from _without_lone_rows(text, runs)


def _without_lone_rows(text: str, runs: Iterable[_Segment]) -> Iterator[_Segment]:
    open_run: _Segment | None = None
    for run in runs:
        lone = run.kind == "table" and "\n" not in text[run.start : run.end]
        one = _Segment("prose", run.start, run.end) if lone else run
        if open_run and open_run.kind == one.kind == "prose":
            open_run = _Segment("prose", open_run.start, one.end)
            continue
        if open_run:
            yield open_run
        open_run = one
    if open_run:
        yield open_run


def _lines(text: str, start: int, end: int) -> Iterator[Piece]:
    """The lines of a span that are not blank, without their ends."""
    for match in re.finditer(r"[^\n]+", text[start:end]):
        if match[0].strip():
            yield Piece(start + match.start(), start + match.end())


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|") or CELLS in line


def _header(text: str, start: int, end: int) -> tuple[str, int]:
    """A table's first row as one line of cells, and where the rows below it start."""
    lines = list(_lines(text, start, end))
    ruled = len(lines) > 1 and RULE.match(text[lines[1].start : lines[1].end])
    body = lines[2 if ruled else 1 :]
    cells = (cell.strip() for cell in text[lines[0].start : lines[0].end].strip().strip("|").split("|"))
    return CELLS.join(cell for cell in cells if cell), body[0].start if body else end
