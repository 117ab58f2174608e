"""Which folders and secrets each process uses, read off the code: from what it runs, along names, to the settings.

A definition stands for all it names, with and without need, so a process may be said to use too much, never too little,
as long as settings are asked for by their names. What reaches a process by other ways is said in CARRIED.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from harness.places import ROOT
from services.contracts import jobs
from services.kit.settings import Platform

PACKAGES = ("services", "training", "retrieval")
SETTINGS = "services.kit.settings"
HOME = Platform(home="/data")  # type: ignore[arg-type]
FOLDERS = {
    **{name: {getattr(HOME, name).name} for name in vars(Platform) if name.endswith("_folder")},
    "files_url": {"files"},
    "embedding_model": {"embedders", "models"},
    "rerank_model": {"embedders", "models"},
}
"""What asks for a folder of the home: a property, or a setting that stands for one or may name one inside."""
SECRETS = {"database_url", "broker_url", "service_token", "index_api_key", "judge_api_key"}
CARRIED = {"gateway": {"run"}, "worker-train": {"run"}}
"""The slots' sockets: their addresses come with generation's routing table."""
MADE_ONLY = {("services.domain.bootstrap", "make_folders")}
"""It makes folders for a platform on one machine; in a container the image has them."""

Node = tuple[str, str]  # module and name of a definition; the name is empty for what a module does when it is run


@dataclass
class Module:
    """`names` are what imports bind: a module, or a module and a name in it."""

    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    names: dict[str, Node] = field(default_factory=dict)
    body: list[ast.stmt] = field(default_factory=list)


@cache
def modules() -> Mapping[str, Module]:
    files = {file: file.relative_to(ROOT) for package in PACKAGES for file in (ROOT / package).rglob("*.py")}
    known = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): file for file, path in files.items()}
    return {name: _read(ast.parse(file.read_text(encoding="utf-8")), set(known)) for name, file in known.items()}


def _read(tree: ast.Module, known: set[str]) -> Module:
    module = Module()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            module.names |= {(one.asname or one.name.split(".")[0]): (one.name, "") for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                module.names[one.asname or one.name] = (inner, "") if inner in known else (str(node.module), one.name)
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            module.definitions[statement.name] = statement
        else:
            for target in _targets(statement):
                module.definitions[target] = statement
            module.body.append(statement)
    return module


def _targets(statement: ast.stmt) -> Iterator[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what is in it, without annotations: to name a type is not to use it."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.AST):
                    yield from _parts(one)


@cache
def _seen_in(node: Node) -> tuple[frozenset[str], frozenset[Node]]:
    """The attributes that a definition asks for, and the definitions that it names."""
    module = modules()[node[0]]
    statements = [module.definitions[node[1]]] if node[1] else module.body
    asked: set[str] = set()
    named: set[Node] = set()
    for part in (part for statement in statements for part in _parts(statement)):
        if isinstance(part, ast.Attribute):
            asked.add(part.attr)
            if isinstance(part.value, ast.Name) and part.value.id in module.names:
                named.add((module.names[part.value.id][0], part.attr))
        elif isinstance(part, ast.Name):
            named.add(module.names.get(part.id, (node[0], part.id)))
        elif isinstance(part, ast.Constant) and part.value in modules():
            named.add((str(part.value), ""))  # a process of its own: `python -m` that module
    return frozenset(asked), frozenset(one for one in named if _exists(one))


def _exists(node: Node) -> bool:
    module = modules().get(node[0])
    return module is not None and node[0] != SETTINGS and (not node[1] or node[1] in module.definitions)


def asked_from(starts: list[Node]) -> set[str]:
    """The attributes that are asked for on any way from these definitions."""
    asked: set[str] = set()
    seen, left = set(), set(starts)
    while left:
        node = left.pop()
        seen.add(node)
        if node not in MADE_ONLY:
            found, named = _seen_in(node)
            asked |= found
            left |= named - seen
    return asked


def folders_of(name: str, service: Mapping[str, Any]) -> set[str]:
    """The folders, by their names in the home, that a service of the compose file uses."""
    asked = asked_from(starts_of(service["command"]))
    given = {word.split("/")[2] for word in service["command"] if word.startswith("/data/")}
    return set().union(*(FOLDERS[one] for one in asked & FOLDERS.keys())) | given | CARRIED.get(name, set())


def secrets_of(service: Mapping[str, Any]) -> set[str]:
    """The settings with secrets that a service of the compose file uses."""
    return asked_from(starts_of(service["command"])) & SECRETS


def starts_of(command: list[str]) -> list[Node]:
    """What a container's command runs: a module, or a worker's tasks of its queues."""
    module = command[2]
    if module != "celery":
        return [(module, "") if module in modules() and modules()[module].body else (f"{module}.__main__", "")]
    app = (command[command.index("-A") + 1], "")
    if "-I" not in command:
        return [app]
    tasks, queues = command[command.index("-I") + 1], command[command.index("-Q") + 1].split(",")
    return [app, *((tasks, name) for name in _tasks(tasks, queues))]


def _tasks(module: str, queues: list[str]) -> Iterator[str]:
    """The functions of a module that are tasks of one of the queues, and those that a worker of it runs by signal."""
    queue_of = {**dict(jobs.TASKS.values()), jobs.TICK: jobs.TICK_QUEUE}
    for name, definition in modules()[module].definitions.items():
        for decorator in getattr(definition, "decorator_list", []):
            if isinstance(decorator, ast.Call):
                task = next(one.value.id for one in decorator.keywords if isinstance(one.value, ast.Name))
                if queue_of[getattr(jobs, task)] in queues:
                    yield name
            elif ast.unparse(decorator) == "worker_ready.connect" and jobs.INDEX_QUEUE in queues:
                yield name
