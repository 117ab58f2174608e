"""How well the lexical check behind `supported` tells right passages from wrong ones, on the sample's training answers.

    python -m benchmarks.support

For each sentence: its score on the passage that answers, on one random passage, and the best on 30 passages of other
documents. The threshold in use is `retrieval.grounding.SUPPORT_THRESHOLD`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from benchmarks.running import BRINDLE, read_jsonl, report
from retrieval.chunking import ChunkingSettings, chunk
from retrieval.grounding import SUPPORT_THRESHOLD, sentences, support
from retrieval.loading import load
from retrieval.model import Chunk, FileRef

THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
OTHERS = 30


def main() -> None:
    chunks = sample_chunks()
    scores = list(scored(chunks, random.Random(1)))
    print(f"{len(scores)} sentences; share at or above each threshold (in use: {SUPPORT_THRESHOLD})")
    print(f"{'threshold':>10}{'right passage':>16}{'random passage':>16}{f'best of {OTHERS} others':>20}")
    for threshold in THRESHOLDS:
        shares = [sum(row[side] >= threshold for row in scores) / len(scores) for side in range(3)]
        print(f"{threshold:>10}{shares[0]:>16.3f}{shares[1]:>16.3f}{shares[2]:>20.3f}")
        if threshold == SUPPORT_THRESHOLD:
            report("support", {"sentences": len(scores), "right": shares[0], "random": shares[1], "best": shares[2]})


def sample_chunks() -> dict[str, list[Chunk]]:
    """Chunks of every sample document, by filename; sizes in words."""
    settings = ChunkingSettings(chunk_size=120)
    found = {}
    for path in sorted((BRINDLE / "documents").iterdir()):
        document = load(path.read_bytes(), path.name)
        found[path.name] = chunk(document, FileRef("sample", "sample", path.name, 1), settings)
    return found


def scored(chunks: dict[str, list[Chunk]], rng: random.Random) -> Iterator[tuple[float, float, float]]:
    """The three scores of each sentence of each grounded answer."""
    every = [one for some in chunks.values() for one in some]
    for row in read_jsonl(BRINDLE / "train.jsonl"):
        name, answer = row["metadata"]["document"], row["messages"][-1]["content"]
        if name is None:
            continue
        parts = [answer[start:end] for start, end in sentences(answer)]
        right = max(chunks[name], key=lambda one: sum(score(part, one) for part in parts))
        foreign = [one for one in every if one.source.file_id != name]
        for part in parts:
            yield score(part, right), score(part, rng.choice(every)), best(part, rng.sample(foreign, OTHERS))


def best(part: str, chunks: Sequence[Chunk]) -> float:
    return max(score(part, one) for one in chunks)


def score(part: str, one: Chunk) -> float:
    return support(part, "\n".join([one.title, *one.headings, one.text]))


if __name__ == "__main__":
    main()
