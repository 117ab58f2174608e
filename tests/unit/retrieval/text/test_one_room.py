"""Patterns of words and lists of small words stand in `retrieval.text`, and nowhere else in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from harness.places import ROOT
from retrieval.text.courtesies import POLITE
from retrieval.text.negations import DENIALS, NEGATIONS
from retrieval.text.pronouns import POINTING
from retrieval.text.stop_words import QUESTION_STOP_WORDS, STOP_WORDS

ROOM = ROOT / "retrieval" / "text"
MODULES = [
    path.relative_to(ROOT).as_posix()
    for package in ("retrieval", "training", "services")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_relative_to(ROOM)
]
DELIBERATE = {"training/data/sensitive.py": "the forms of addresses and telephone numbers, which are no words"}
SMALL = STOP_WORDS | QUESTION_STOP_WORDS | POINTING | NEGATIONS | DENIALS | POLITE
LEAST = 3
LEAST_IN_ONE = 5
MOSTLY = 0.8
"""Of a list that is written as one string, and with so many different ones: a message has fewer."""


def texts(tree: ast.AST) -> Iterator[str]:
    """The strings of a module, its docstrings aside."""
    spoken = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
            yield node.value


def word_patterns(source: str) -> list[str]:
    return [text for text in texts(ast.parse(source)) if re.search(r"\\[wW]", text)]


def word_lists(source: str) -> list[list[str]]:
    """Literals of several small words, strings of hardly anything else, and alternations in patterns."""
    tree, found = ast.parse(source), list[list[str]]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            values = (one.value for one in node.elts if isinstance(one, ast.Constant))
            found.append([value.strip() for value in values if isinstance(value, str)])
    for text in texts(tree):
        words = text.split() if text == text.strip() else []  # else a part of a message
        small = len(SMALL & set(words))
        if small >= max(LEAST_IN_ONE, MOSTLY * len(words)) and all(map(str.isalpha, words)):
            found.append(words)
        found += [part.split("|") for part in re.findall(r"\w+(?:\|\w+)+", text)]
    return [words for words in found if len(SMALL & set(words)) >= LEAST]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_outside_has_no_word_pattern_and_no_list_of_small_words(module: str) -> None:
    source = (ROOT / module).read_text(encoding="utf-8")
    assert module in DELIBERATE or word_patterns(source) == []
    assert word_lists(source) == []


def test_each_exception_is_needed() -> None:
    assert all(word_patterns((ROOT / module).read_text(encoding="utf-8")) for module in DELIBERATE)


@pytest.mark.parametrize(
    "source",
    [
        'X = re.compile(r"[^\\W_]+")',
        'X = re.findall(r"\\w+", text)',
        'X = frozenset({"the", "of", "bike", "and"})',
        'X = frozenset("no not never none nor bike".split())',
        'X = ("no", "not", "never")',
        'X = re.compile("(?:hello|thanks|please)")',
    ],
)
def test_what_belongs_into_the_room_is_found(source: str) -> None:
    assert word_patterns(source) or word_lists(source)


def test_a_sentence_is_no_list() -> None:
    assert word_lists('X = "Answer the question from the numbered passages only, as you are asked to."') == []
