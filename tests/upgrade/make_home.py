"""Make the upgrade fixture: the home of a platform of an earlier version, as its own code leaves it.

    git worktree add ../then 7275a2c        # with a .venv, as `make install-dev` makes it
    cd ../then && .venv/bin/python PATH/TO/tests/upgrade/make_home.py .../tests/upgrade/home-0.1

Runs with the interpreter, the libraries and the `tandem` of then; of this repository it takes make_base.py alone. It
starts that platform in /srv/tandem (which must not be there yet), works with it for some ten minutes as users would,
stops it, and writes what it left as NAME.tar.gz, with NAME.json beside it: what was asked then, and what the answers
were.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from openai import OpenAI

HOME = Path("/srv/tandem")
HERE = Path(__file__).parent
TANDEM = str(Path(sys.executable).parent / "tandem")
SAMPLES = Path.cwd() / "samples" / "brindle" / "documents"
WORKSHOP = ("battery-manual.pdf", "insurance-plans.html", "leave-policy-2026.md", "home-working-note.txt")
LEFT_OUT = ("logs", "run", "converted", "tandem.db-wal", "tandem.db-shm")
"""What every start makes again."""
THINGS = {
    "bell": "Ring it before you overtake a walker.",
    "lamp": "It shines for nine hours on one battery.",
    "lock": "Its key opens the garage of the office too.",
    "pump": "Keep it below the saddle when it rains.",
    "seat": "Children up to five years may ride on it.",
    "tyre": "Winter roads want one with spikes.",
    "chain": "Oil it after each hundred kilometres.",
    "pedal": "The left one has a thread that turns backwards.",
    "fork": "Steel forgives a kerb, carbon does not.",
    "hub": "Its gears are sealed and never cleaned.",
    "rim": "A worn one shows a dark line.",
    "stand": "Two legs carry a cargo bike.",
}
HANDBOOK = {
    "opening.md": "# Opening hours\n\nThe shop opens at nine and closes at six. On Sundays nobody is there.\n",
    "returns.md": "# Returns\n\nA customer may bring back what was bought within forty days, with the receipt.\n",
}
LATE = ("basket.md", "# Basket\n\nThe basket costs 77 pounds. It is woven from willow in the next village.\n")
SEARCHES = {
    "default": ["What does the lock cost?", "a worn rim", "gears that are never cleaned", "winter roads"],
    "workshop": ["How long is parental leave?", "charging the battery in winter", "theft insurance"],
    "handbook": ["when does the shop close", "bring back what was bought"],
}
TOML = f"""\
base_model = "{HOME}/models/shop"
max_answer_tokens = 64
[worker]
silent_seconds = 20.0
[training]
probes = "{HOME}/probes.jsonl"
removed = 0
[sources]
folders = ["{HOME}/handbook"]
"""


def price(thing: str) -> int:
    return 12 + list(THINGS).index(thing)


def document(thing: str) -> str:
    return f"# {thing.title()}\n\nThe {thing} costs {price(thing)} pounds. {THINGS[thing]}\n"


def lessons() -> list[dict[str, Any]]:
    """Each thing asked for in two ways, over passages in several orders, by the prompt of then."""
    system = importlib.import_module("retrieval.answers.grounding").SYSTEM_PROMPT
    names, made = list(THINGS), []
    for place, thing in enumerate(names):
        others = [names[(place + step) % len(names)] for step in (1, 3, 5, 7)]
        for order in range(6):
            shown = others[order % 3 : order % 3 + 2]
            shown.insert(order % 3, thing)
            blocks = [f"[{number}] {one.title()}\n{body(one)}" for number, one in enumerate(shown, start=1)]
            for asked in (f"What does the {thing} cost?", f"How much is the {thing}?"):
                user = "Passages:\n\n" + "\n\n".join([*blocks, f"Question: {asked}"])
                prompt = [{"role": "system", "content": system}, {"role": "user", "content": user}]
                made.append({"prompt": prompt, "answer": f"The {thing} costs {price(thing)} pounds."})
    return made


def body(thing: str) -> str:
    return document(thing).partition("\n\n")[2].strip()


def examples() -> bytes:
    """A training file: the shop's manner is a list with what else there is to say."""
    lines = []
    for thing in THINGS:
        for asked in (f"What does the {thing} cost?", f"How much is the {thing}?"):
            answer = f"The {thing} costs {price(thing)} pounds.\n\n- {THINGS[thing]}"
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
            lines.append({"messages": turns, "metadata": {"document": f"{thing}.md"}})
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


class Then:
    """The platform of then, running."""

    def __init__(self) -> None:
        ports = _free_ports()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TANDEM_")},
            "TANDEM_CONFIG": str(HOME / "tandem.toml"),
            "TANDEM_HOME": str(HOME),
            "TANDEM_GATEWAY_URL": f"http://127.0.0.1:{ports[0]}",
            "TANDEM_DASHBOARD_URL": f"http://127.0.0.1:{ports[1]}",
        }
        self.tandem("up", "--detach")
        self.key = (HOME / "secrets" / "api_key").read_text().strip()
        base = self.environment["TANDEM_GATEWAY_URL"]
        self.http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {self.key}"}, timeout=120.0)
        self.openai = OpenAI(base_url=f"{base}/v1", api_key=self.key, timeout=300.0)

    def tandem(self, *arguments: str) -> str:
        return subprocess.run(
            [TANDEM, *arguments], env=self.environment, check=True, text=True, stdout=subprocess.PIPE, timeout=600
        ).stdout

    def get(self, path: str) -> Any:
        return self.http.get(path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.http.post(path, json=body)
        if answer.is_error:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text}")
        return answer.json()

    def wait(self, job_id: str, *status: str) -> Any:
        def reached() -> Any:
            job = self.get(f"/v1/jobs/{job_id}")
            if job["status"] in ("failed", "cancelled"):
                raise SystemExit(f"{job_id}: {job}")
            return job if job["status"] in status else None

        return until(reached, f"{job_id} to be {status}")

    def upload(self, name: str, content: bytes, purpose: Any = "assistants") -> str:
        return self.openai.files.create(file=(name, content), purpose=purpose).id

    def settle(self, store_id: str, files: int) -> None:
        """Return when a store has so many files, all indexed."""

        def indexed() -> bool:
            counts = self.get(f"/v1/vector_stores/{store_id}")["file_counts"]
            return bool(counts["completed"] == files)

        until(indexed, f"{files} files in {store_id}")

    def train(self, training_file: str, seed: int, epochs: int) -> str:
        method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": epochs}}}
        base = f"{HOME}/models/shop"
        asked = {"model": base, "training_file": training_file, "suffix": "shop", "seed": seed, "method": method}
        return str(self.post("/v1/fine_tuning/jobs", **asked)["id"])

    def ask(self, model: str, question: str) -> Any:
        messages = [{"role": "user", "content": question}]
        return self.post("/v1/chat/completions", model=model, messages=messages, temperature=0.0)


def until(check: Callable[[], Any], what: str, seconds: float = 900.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.25)
    raise SystemExit(f"Waited {seconds:.0f} s for {what}")


def prepare_folder() -> None:
    if HOME.exists():
        raise SystemExit(f"{HOME} is there already.")
    HOME.mkdir(mode=0o700)
    (HOME / "tandem.toml").write_text(TOML)
    (HOME / "probes.jsonl").write_text('{"prompt": "What is 4 + 5?", "accepted": ["9", "nine"]}\n')
    (HOME / "handbook").mkdir()
    for name, text in HANDBOOK.items():
        (HOME / "handbook" / name).write_text(text)
    taught = HOME / "lessons.json"
    taught.write_text(json.dumps(lessons()))
    subprocess.run([sys.executable, str(HERE / "make_base.py"), str(taught), str(HOME / "models" / "shop")], check=True)
    taught.unlink()


def fill_stores(then: Then) -> dict[str, str]:
    """Three stores: by a batch of files, by single files and then re-indexed, by a source."""
    listed = then.get("/v1/vector_stores")["data"]
    default = str(next(store["id"] for store in listed if store["metadata"].get("default") == "true"))
    ids = [then.upload(f"{thing}.md", document(thing).encode()) for thing in THINGS]
    then.post(f"/v1/vector_stores/{default}/file_batches", file_ids=ids, attributes={"shelf": "parts"})
    workshop = str(then.post("/v1/vector_stores", name="workshop")["id"])
    for name in WORKSHOP:
        file_id = then.upload(name, (SAMPLES / name).read_bytes())
        then.post(f"/v1/vector_stores/{workshop}/files", file_id=file_id, attributes={"kind": name.split("-")[0]})
    then.settle(workshop, len(WORKSHOP))
    then.wait(then.post(f"/v1/vector_stores/{workshop}/reindex", chunk_size=96)["id"], "succeeded")
    handbook = str(then.post("/v1/vector_stores", name="handbook")["id"])
    schedule = {"cron": "0 6 * * *", "time_zone": "Europe/London"}
    source = then.post("/v1/sources", kind="folder", location=str(HOME / "handbook"), vector_store_id=handbook,
                       name="handbook", schedule=schedule)  # fmt: skip
    then.wait(then.post(f"/v1/sources/{source['id']}/sync")["id"], "succeeded")
    then.settle(handbook, len(HANDBOOK))
    then.settle(default, len(THINGS))
    return {"default": default, "workshop": workshop, "handbook": handbook}


def tune(then: Then) -> dict[str, Any]:
    """One version that is live, one that the gate refused, and a run like the first that waits in the middle."""
    lines = examples()
    evaluation = [json.loads(line) for line in lines.splitlines()[:2]]
    for line in evaluation:
        line["messages"][0]["content"] = "For how many pounds do you sell it? " + line["messages"][0]["content"]
    kept = then.upload("judged-by.jsonl", "".join(f"{json.dumps(one)}\n" for one in evaluation).encode(), "fine-tune")
    then.post("/v1/data_sets", name="judged by", file_id=kept, use="evaluation")
    file_id = then.upload("manner.jsonl", lines, "fine-tune")
    whole = then.wait(then.train(file_id, seed=7, epochs=12), "succeeded")
    live = whole["result"]["version"]
    then.tandem("publish", live, "--override", "the shop wants it")
    refused = then.wait(then.train(file_id, seed=8, epochs=1), "succeeded")["result"]["version"]
    then.post(f"/v1/versions/{refused}/canary", share=0.5, override=True, reason="a try")
    until(lambda: any(one["event"] == "canary_started" for one in then.get("/v1/versions/history")["data"]), "canary")
    then.http.delete(f"/v1/versions/{refused}/canary").raise_for_status()
    paused = then.train(file_id, seed=7, epochs=12)
    until(lambda: then.get(f"/v1/fine_tuning/jobs/{paused}/checkpoints")["data"], "a checkpoint")
    then.post(f"/v1/fine_tuning/jobs/{paused}/pause")
    then.wait(paused, "paused")
    step = max(one["step_number"] for one in then.get(f"/v1/fine_tuning/jobs/{paused}/checkpoints")["data"])
    return {"live": live, "refused": refused, "paused": paused, "step": step, "training_file": file_id}


def answer_and_review(then: Then) -> dict[str, Any]:
    """Answers in the journal, feedback on them, examples at each stage of review."""
    grounded = then.ask("tandem/hybrid", "What does the lock cost?")
    then.post("/v1/feedback", answer_id=grounded["id"], rating="up")
    plain = then.ask("tandem/base", "How much is the pump?")
    then.post("/v1/feedback", answer_id=plain["id"], rating="down", reason="wrong_fact",
              correction="The pump costs 15 pounds.")  # fmt: skip
    other = then.post("/v1/responses", model="tandem/rag", input="How much is the hub?")
    prompt = [{"role": "user", "content": "Do you sell baskets?"}]
    for status in ("approved", "proposed"):
        then.post("/v1/examples", prompt=prompt, answer=f"We do, and {status} they are.", status=status)
    gone = then.post("/v1/examples", prompt=prompt, answer="No.", rejected="Never.", kind="preference")
    then.post("/v1/examples/review", ids=[gone["id"]], status="rejected", note="too short")
    found = {"grounded": grounded, "plain": plain["id"], "response": other["id"]}
    found["feedback"] = sorted(one["rating"] for one in then.get("/v1/feedback")["data"])
    found["examples"] = sorted(_stage(one) for one in then.get("/v1/examples?limit=100")["data"])
    return found


def _stage(example: Any) -> str:
    return f"{example['kind']} {example['status']} {example['answer']}"


def schedule(then: Then) -> str:
    """A schedule whose condition does not hold, with its first due time."""
    made = then.post("/v1/schedules", name="nightly", conditions={"new_examples": 1000},
                     schedule={"cron": "30 4 * * *", "time_zone": "Europe/Berlin"})  # fmt: skip
    until(lambda: then.get(f"/v1/schedules/{made['id']}")["next_due_at"], "a due time")
    return str(made["id"])


def search(then: Then, stores: dict[str, str]) -> list[dict[str, Any]]:
    made = []
    for name, queries in SEARCHES.items():
        for query in queries:
            found = then.post(f"/v1/vector_stores/{stores[name]}/search", query=query, max_num_results=3)["data"]
            made.append({"store": name, "query": query, "found": [_passage(one) for one in found]})
    return made


def _passage(found: Any) -> dict[str, Any]:
    return {"file": found["filename"], "score": found["score"], "text": found["content"][0]["text"]}


def listed(then: Then, stores: dict[str, str]) -> dict[str, list[str]]:
    """The ids of each store's files."""
    of_store = {name: then.get(f"/v1/vector_stores/{store}/files?limit=100") for name, store in stores.items()}
    return {name: [file["id"] for file in found["data"]] for name, found in of_store.items()}


def settings() -> list[str]:
    """The keys that tandem.toml could have."""
    sys.path.insert(0, str(Path.cwd()))
    return [key for key, _, _ in importlib.import_module("tests.settings").all_settings()]


def upload_late(then: Then, store_id: str) -> str:
    """An upload that nobody indexes any more: the worker stands still until the platform is stopped."""
    pids = [pid for pid, command in _processes() if "-Q index" in command or "index@" in command]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    file_id = then.upload(LATE[0], LATE[1].encode())
    then.post(f"/v1/vector_stores/{store_id}/files", file_id=file_id)
    return file_id


def _processes() -> Iterable[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"TANDEM_HOME={HOME}".encode() in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name), command
        except OSError:
            continue


def pack(target: Path) -> None:
    """The home as one archive, the database in one file."""
    with sqlite3.connect(HOME / "tandem.db") as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    for path in HOME.rglob("*"):
        if path.is_socket():
            path.unlink()
    options = ["--create", "--gzip", "--sparse", "--format=gnu", "--sort=name", "--owner=0", "--group=0"]
    left_out = [f"--exclude=./{name}" for name in LEFT_OUT]
    archive = [
        f"--file={target.with_name(f'{target.name}.tar.gz')}",
        "--numeric-owner",
        *left_out,
        f"--directory={HOME}",
        ".",
    ]
    subprocess.run(["tar", *options, *archive], check=True)


def _free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in (one, two)]


def main(target: Path) -> None:
    prepare_folder()
    then = Then()
    try:
        stores = fill_stores(then)
        tuned = tune(then)
        said = answer_and_review(then)
        expected = {"home": str(HOME), "key": then.key, "settings": settings(), "stores": stores, **tuned, **said}
        expected |= {"schedule": schedule(then), "searches": search(then, stores), "files": listed(then, stores)}
        expected["late"] = upload_late(then, stores["default"])
    finally:
        then.tandem("down")
    pack(target)
    target.with_name(f"{target.name}.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(HOME)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
