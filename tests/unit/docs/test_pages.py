"""What README, docs and code name is there: settings, files, links, commands with their options."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.places import ROOT
from services.cli import app
from tests.settings import all_settings
from tests.support.compose import EXAMPLE
from tests.support.pages import Page, pages, sources

PAGES = pages()
KEYS = {key for key, _, _ in all_settings()}
TABLES = {key.split(".")[0] for key in KEYS if "." in key}
IN_ENV = set(re.findall(r"^#?(\w+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))
NOT_SETTINGS = {"TANDEM_CONFIG", "TANDEM_API_KEY", "TANDEM_SERVICE", "TANDEM_SUPERVISED"}
"""Variables that are read past the settings' classes, or by the image."""
VARIABLES = {variable for _, variable, _ in all_settings()} | IN_ENV | NOT_SETTINGS
CONFIGURED = [
    *(ROOT / "deploy/env").glob("*.example"),
    *(ROOT / "deploy").glob("compose.*.yml"),
    ROOT / "deploy/Dockerfile",
]
TOP_FOLDERS = {"services", "training", "retrieval", "harness", "tests", "benchmarks", "docs", "deploy", "samples"}
COMMAND = re.compile(r"(?:^|[\s`(])(?:\.venv/bin/)?tandem ((?:[a-z][a-z-]*)[^`\n#]*)")


def ids(page: Page) -> str:
    return page.name


def test_every_variable_that_is_named_is_one() -> None:
    for path, name in in_files(r"\bTANDEM_[A-Z_]+", CONFIGURED):
        if name.endswith("_"):  # `TANDEM_SOURCES_...` is all of a table
            assert any(variable.startswith(name) for variable in VARIABLES), (path, name)
        else:
            assert name in VARIABLES, (path, name)


def test_every_key_that_is_named_with_its_table_is_one() -> None:
    for path, (table, key) in in_files(r"`\[(\w+)\] (\w+) ?=", []):
        assert f"{table}.{key}" in KEYS, path


def in_files(pattern: str, others: list[Path]) -> Iterator[tuple[str, Any]]:
    """Where pages, code and other files have the pattern, and what it found."""
    for path in [*(page.path for page in PAGES), *sources(), *others]:
        for found in re.findall(pattern, path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), found


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=ids)
def test_every_key_in_a_code_span_is_one(page: Page) -> None:
    for span in page.spans:
        if re.fullmatch(r"[a-z_]+\.[a-z_0-9]+", span) and span.split(".")[0] in TABLES:
            assert span in KEYS or is_module(span) or (ROOT / "deploy/lock" / span).is_file(), span
        if found := re.fullmatch(r"\[([a-z_]{2,})\]", span):
            assert found[1] in TABLES, span
    for name in re.findall(r"\b(?:setting|settings) `([a-z_.]+)`", page.text):
        assert name in KEYS or name in {key.split(".")[-1] for key in KEYS}, name


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_settings_file_that_is_shown_is_one(page: Page) -> None:
    for language, code in page.blocks:
        if language == "toml":
            shown = tomllib.loads(code)
            named = {f"{key}.{inner}" for key, value in shown.items() if key in TABLES for inner in value}
            assert named | (shown.keys() - TABLES) <= KEYS


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_link_leads_somewhere(page: Page) -> None:
    by_path = {other.path: other for other in PAGES}
    for link in page.links():
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), link
        assert not anchor or anchor in by_path[path].anchors(), link


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_file_that_is_named_is_there(page: Page) -> None:
    for span in page.spans:
        name = span.split("::")[0].split("#")[0]
        if name.split("/")[0] in TOP_FOLDERS and "/" in name and " " not in name:
            pattern = re.sub(r"<\w+>|\{[^}]*\}", "*", name).rstrip("/")
            assert any(ROOT.glob(pattern)) or (ROOT / f"{name}.example").is_file(), span
        for module in re.findall(
            r"\b(?:python3?|-m) -?m? ?((?:services|benchmarks|training|retrieval)(?:\.\w+)+)", span
        ):
            assert is_module(module) or module == "benchmarks.NAME", span


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_target_of_make_is_one(page: Page) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = [*page.spans, *(line.strip() for _, block in page.blocks for line in block.splitlines())]
    named = {word for line in code for word in re.findall(r"^make ([\w-]+)", line)}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_route_that_is_named_is_one(page: Page) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "services/gateway").rglob("*.py"))
    routes = {f"{method.upper()} {path}" for method, path in re.findall(r'@\w+\.(get|post|delete)\("([^"]+)"', code)}
    there = {re.sub(r"\{\w+(:\w+)?\}", "{}", route) for route in routes}
    for span in page.spans:
        if found := re.match(r"(GET|POST|DELETE) (/[^?\s]+)", span):
            assert re.sub(r"\{\w+\}", "{}", found[0]) in there, span


def test_the_page_of_benchmarks_names_those_that_no_target_runs() -> None:
    page = next(page for page in PAGES if page.name == "docs/benchmarks.md")
    runnable = {path.stem for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text()}
    run = set(re.findall(r'"benchmarks\.(\w+)"', (ROOT / "benchmarks/__main__.py").read_text(encoding="utf-8")))
    left_out = re.search(r"all but ((?:`\w+`(?:, | and )?)+)", page.text.replace("\n", " "))
    assert left_out
    assert set(re.findall(r"`(\w+)`", left_out[1])) == runnable - run - {"__main__"}


def test_every_command_can_answer_in_json_and_be_told_its_home() -> None:
    for name, command in every_command(typer.main.get_command(app)):
        assert {"--home", "--json"} <= {option for parameter in command.params for option in parameter.opts}, name


GROUPS = ("source", "keys", "workspaces")
"""Commands that have commands of their own."""


def commands_in(text: str) -> Iterator[str]:
    for found in COMMAND.findall(text):
        yield found.replace("\\|", " ").replace("|", " ")


def shown_commands(page: Page) -> list[str]:
    blocks = [line for _, code in page.blocks for line in code.splitlines()]
    return [command for text in (*page.spans, *blocks) for command in commands_in(text)]


def check_command(text: str) -> None:
    """Follow the words to a command of the program, and look every option up that is given to it."""
    words = shlex.split(re.sub(r"[\[\]]", " ", text), comments=True)
    command: Any = typer.main.get_command(app)
    while words and (inner := getattr(command, "commands", None)):
        word = words.pop(0)
        assert word in inner, f"tandem {text}: there is no {word}"
        command = inner[word]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    assert not unknown, f"tandem {text}: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_command_that_is_shown_exists_with_its_options(page: Page) -> None:
    for command in shown_commands(page):
        check_command(command)


def test_every_command_that_an_error_or_a_comment_names_exists() -> None:
    for _, span in in_files(r"`(tandem [^`\n]+)`", []):
        for command in commands_in(re.sub(r"\{[^}]*\}", "X", span)):
            check_command(command)


def test_the_page_of_the_command_has_every_command_and_option() -> None:
    page = next(page for page in PAGES if page.name == "docs/command.md")
    shown: dict[str, set[str]] = {}
    for text in shown_commands(page):
        words = re.sub(r"[\[\]]", " ", text).split()
        name = " ".join(words[:2]) if words[0] in GROUPS else words[0]
        shown.setdefault(name, set()).update(word for word in words if word.startswith("--"))
    for name, command in every_command(typer.main.get_command(app)):
        options = {
            parameter.secondary_opts[0] if parameter.secondary_opts and parameter.default else parameter.opts[0]
            for parameter in command.params
        }
        missing = {option for option in options if option.startswith("--")} - shown.get(name, set())
        assert missing <= {"--home", "--json", "--help"}, name


def every_command(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
    for word, one in (inner or {}).items():
        yield from every_command(one, f"{name} {word}".strip())
