"""GGUF files of the family beside llama.cpp: its logits, and its greedy continuation, token by token.

    python benchmarks/family.py --python PYTHON [--tokens 48]

PYTHON is an interpreter that has llama-cpp-python (minillama bench says how it is built). Every member of the family
that a GGUF file can hold is made by transformers with random weights, written as GGUF by minillama in float32, and run
by both. Where the two continuations part, llama.cpp's two best logits must be nearer to each other than the two
programs are anywhere.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "checkpoints"))
from test_family import FAMILY, SHAPE, oracle

from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.gguf import read_gguf
from minillama.inference.runner import runner_for
from minillama.kv_cache import KVCache

# In llama.cpp's process: one file a line comes in, the logits of its greedy continuation go out as a file.
_PEER = """
import sys, numpy as np
from llama_cpp import Llama
for line in sys.stdin:
    path, n_prompt, n_tokens, seed, out = line.split()
    llm = Llama(path, n_ctx=128, logits_all=True, verbose=False, n_threads=1, flash_attn=False)
    rng = np.random.default_rng(int(seed))
    ids = rng.integers(0, llm.n_vocab(), int(n_prompt)).tolist()
    llm.eval(ids)
    for _ in range(int(n_tokens)):
        ids.append(int(np.argmax(llm.scores[llm.n_tokens - 1])))
        llm.eval(ids[-1:])
    np.savez(out, ids=ids, logits=llm.scores[: llm.n_tokens])
    print("done", flush=True)
"""


def logits_one_by_one(path: Path, ids: list[int]) -> np.ndarray:
    checkpoint = read_gguf(path)
    runner = runner_for(checkpoint.params, checkpoint.config)
    cache = KVCache(checkpoint.config)
    return np.concatenate([runner.extend(np.array([[token]]), cache) for token in ids])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--prompt", type=int, default=40)
    options = parser.parse_args()
    import torch

    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        peer = subprocess.Popen([options.python, "-c", _PEER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert peer.stdin is not None
        assert peer.stdout is not None
        for number, (kind, member) in enumerate(FAMILY.items()):
            if member.gguf is None:
                continue
            home = Path(folder) / str(number)
            oracle(member, number % 2 == 0, torch.float32).save_pretrained(home)
            path, out = home / "model.gguf", home / "out.npz"
            convert_checkpoint(home, path)
            peer.stdin.write(f"{path} {options.prompt} {options.tokens} {number} {out}\n")
            peer.stdin.flush()
            if not peer.stdout.readline():
                sys.exit(f"{kind}: llama.cpp ended")
            theirs = np.load(out)
            ids = theirs["ids"].tolist()
            ours = logits_one_by_one(path, ids)
            error = np.abs(ours - theirs["logits"][:, : SHAPE["vocab_size"]]).max()
            greedy = ours[options.prompt - 1 : -1].argmax(axis=1)
            parted = [i for i, token in enumerate(greedy) if token != ids[options.prompt + i]]
            gaps = [float(np.diff(np.sort(theirs["logits"][options.prompt - 1 + i])[-2:])[0]) for i in parted]
            wrong = [gap for gap in gaps if gap > 2 * error]
            relative = float(error / np.abs(ours).max())
            bad += bool(wrong) or relative > 1e-2
            row = {"member": kind, "architecture": member.gguf, "error": f"{relative:.1e}"}
            print(json.dumps({**row, "tokens": len(greedy), "parted": len(parted), "wrong": len(wrong)}), flush=True)
        peer.stdin.close()
    print("0 wrong" if not bad else f"{bad} members wrong")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
