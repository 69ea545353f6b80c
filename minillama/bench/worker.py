"""One engine in a process of its own: a request is a line of JSON on stdin, its answer a line on stdout.

    python worker.py '{"engine": "llama.cpp", "path": "model.gguf", "threads": 1, "positions": 600}'

Two engines in one process disturb each other: each brings threads that wait for work by keeping
a core busy. peers.py starts these processes and asks them in turn. Nothing of minillama is
imported at the top, so that another interpreter, one that has llama-cpp-python, can run this file.

An engine is a class with `about` (a dict that goes into the first answer), `begin()`, `feed(ids)`
for the prompt and `step(id)` for one more token; `begin_many(ids, n)` continues n sequences with the same
prompt, `step_many()` draws a token of each at temperature 1 and feeds it. Or with `answer(request)` if it
measures something else. `step` only computes the logits: nothing is sampled in any engine.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

# A tiny model answers in a millisecond: repeat until there is something to measure.
_LEAST_SECONDS = 0.25
_MOST_REPEATS = 40


class Minillama:
    """This package as a user gets it from `minillama.load`."""

    def __init__(self, settings):
        import minillama

        self.llm = minillama.load(settings["path"], tokenizer=settings.get("tokenizer"), threads=settings["threads"])
        cache = self.llm.session().cache
        position = 2 * cache.k.shape[0] * cache.k.shape[2] * cache.k.shape[4] * cache.k.itemsize
        self.about = {
            "version": minillama.__version__,
            "weight_bytes_per_token": self.llm.bytes_per_token,
            "kv_bytes_per_position": position,
        }

    def begin(self):
        self.session = self.llm.session()

    def feed(self, ids):
        self.session.feed(ids)

    def step(self, token):
        self.session.step(token)

    def begin_many(self, ids, n):
        from minillama.inference.batch import Batch
        from minillama.inference.sampling import Sampling

        self.batch = Batch(self.llm.runner, Sampling(temperature=1, top_p=1), max_tokens=None, max_rows=n)
        self.batch.add([ids] * n, range(n))

    def step_many(self):
        self.batch.step()


class Transformers:
    """Hugging Face transformers; it unpacks a GGUF file to float32 by itself."""

    def __init__(self, settings):
        import torch
        import transformers
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(settings["threads"])
        torch.set_grad_enabled(False)
        folder, name = os.path.split(settings["path"])
        given = (settings["path"], {}) if os.path.isdir(settings["path"]) else (folder or ".", {"gguf_file": name})
        model = AutoModelForCausalLM.from_pretrained(given[0], **given[1])
        self.torch, self.model = torch, model.to(getattr(torch, settings["dtype"])).eval()
        self.about = {"version": f"{transformers.__version__}, PyTorch {torch.__version__}"}

    def begin(self):
        self.past = None

    def feed(self, ids):
        tokens = self.torch.tensor([ids])
        out = self.model(tokens, past_key_values=self.past, use_cache=True, logits_to_keep=1)
        self.past = out.past_key_values

    def step(self, token):
        self.feed([token])

    def begin_many(self, ids, n):
        self.past, self.now = None, self.torch.tensor([ids] * n)

    def step_many(self):
        out = self.model(self.now, past_key_values=self.past, use_cache=True, logits_to_keep=1)
        self.past = out.past_key_values
        self.now = self.torch.multinomial(out.logits[:, -1].softmax(-1), 1)


class LlamaCpp:
    """llama.cpp through llama-cpp-python."""

    def __init__(self, settings):
        llama_cpp = importlib.import_module("llama_cpp")
        threads = settings["threads"]
        self.model = llama_cpp.Llama(
            settings["path"],
            n_ctx=settings["positions"],
            n_batch=512,
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=settings["flash_attention"],
            verbose=False,
        )
        system = llama_cpp.llama_print_system_info().decode(errors="replace")
        self.about = {"version": f"llama-cpp-python {llama_cpp.__version__}", "system": system}
        self.many: Any = None

    def begin(self):
        self.model.reset()

    def feed(self, ids):
        self.model.eval(ids)

    def step(self, token):
        self.model.eval([token])

    def begin_many(self, ids, n):
        if self.many is None or self.many.n != n:
            self.many = _ManyOfLlamaCpp(self.model, n)
        self.many.begin(ids)

    def step_many(self):
        self.many.step()


class _ManyOfLlamaCpp:
    """Sequences of one context of llama.cpp, through its C functions: a batch a step, its own sampler for each."""

    _POSITIONS = 128  # of each sequence

    def __init__(self, model, n):
        self.api, self.n = importlib.import_module("llama_cpp"), n
        params = model.context_params
        params.n_ctx, params.n_seq_max, params.kv_unified = n * self._POSITIONS, n, False
        self.context = self.api.llama_init_from_model(model._model.model, params)
        self.samplers = []
        for i in range(n):
            chain = self.api.llama_sampler_chain_init(self.api.llama_sampler_chain_default_params())
            self.api.llama_sampler_chain_add(chain, self.api.llama_sampler_init_temp(1.0))
            self.api.llama_sampler_chain_add(chain, self.api.llama_sampler_init_dist(i))
            self.samplers.append(chain)
        self.batch = self.api.llama_batch_init(512, 0, 1)

    def begin(self, ids):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)
        self.position, self.heads = len(ids), [0] * self.n
        for i in range(self.n):  # the prompts one by one, as they may be of any lengths
            self._run([(token, position, i) for position, token in enumerate(ids)], [len(ids) - 1])
            self.heads[i] = self.api.llama_sampler_sample(self.samplers[i], self.context, len(ids) - 1)

    def step(self):
        self._run([(token, self.position, i) for i, token in enumerate(self.heads)], range(self.n))
        self.heads = [
            self.api.llama_sampler_sample(sampler, self.context, i) for i, sampler in enumerate(self.samplers)
        ]
        self.position += 1

    def _run(self, tokens, wanted):
        self.batch.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i] = token, position
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
            self.batch.logits[i] = i in wanted
        if self.api.llama_decode(self.context, self.batch):
            raise RuntimeError("llama_decode failed")


class Machine:
    """What the memory and the arithmetic units give: the roofs that a model stays under."""

    def __init__(self, settings):
        import numpy as np

        from minillama.compute.threads import set_threads

        set_threads(settings["threads"])
        self.threads, self.sum = settings["threads"], _parallel_sum()
        self.array = np.ones(settings["array_bytes"] // 8, np.int64)
        self.square = np.ones((1024, 1024), np.float32)
        self.about = {}

    def answer(self, request):
        import numpy as np

        n = self.square.shape[0]
        sums = np.zeros(self.threads, np.int64)
        read = _best_of(12, lambda: self.sum(self.array, sums))
        product = _best_of(5, lambda: self.square @ self.square)
        return {"bytes_per_second": self.array.nbytes / read, "flops_per_second": 2 * n**3 / product}


def _parallel_sum():
    """A kernel that reads an array once, a part on each thread, as fast as the memory gives it."""
    import numpy as np
    from numba import prange

    from minillama.compute.jit import kernel

    def parts(array, sums):
        n = sums.size
        for part in prange(n):
            own = array[part * array.size // n : (part + 1) * array.size // n]
            total = np.int64(0)
            for i in range(own.size):
                total += own[i]
            sums[part] = total

    return kernel(parts, parallel=True)


def _best_of(n, function):
    times = []
    for _ in range(n + 1):  # the first one compiles, or touches what it reads
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


class Commands:
    """Starts programs and measures them from outside.

    A process of its own, because a child begins with the peak memory of the process that started
    it, and this one is small.
    """

    def __init__(self, settings):
        self.about = {}

    def answer(self, request):
        begin = time.perf_counter()
        child = subprocess.Popen(request["command"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout as text:
            text.read(1)
            first_byte = time.perf_counter() - begin
            text.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{' '.join(request['command'])} ended with {child.returncode}")
        unit = 1 if sys.platform == "darwin" else 1024
        return {"first_byte": first_byte, "seconds": seconds, "peak_bytes": unit * usage.ru_maxrss}


ENGINES: dict[str, Any] = {
    "minillama": Minillama,
    "llama.cpp": LlamaCpp,
    "transformers": Transformers,
    "machine": Machine,
    "commands": Commands,
}


def timed(engine, request):
    """Seconds of the prompt `ids` and of `decode` steps after it, and how often both were done.

    One step between the two is not timed: caches grow in it.
    """
    ids, n_steps = request["ids"], request["decode"]
    if request.get("sequences"):
        return _timed_many(engine, ids, n_steps, request["sequences"])
    prompt = decode = 0.0
    repeats = 0
    while repeats == 0 or (repeats < _MOST_REPEATS and prompt + decode < _LEAST_SECONDS):
        engine.begin()
        begin = time.perf_counter()
        engine.feed(ids)
        prompt += time.perf_counter() - begin
        if n_steps:
            engine.step(ids[0])
            begin = time.perf_counter()
            for i in range(n_steps):
                engine.step(ids[i % len(ids)])
            decode += time.perf_counter() - begin
        repeats += 1
    return {"prompt_seconds": prompt, "decode_seconds": decode, "repeats": repeats}


def _timed_many(engine, ids, n_steps, n):
    """Seconds of `n_steps` tokens of each of n sequences; what comes before them is not timed, as in `timed`."""
    seconds, repeats = 0.0, 0
    while repeats == 0 or (repeats < _MOST_REPEATS and seconds < _LEAST_SECONDS):
        engine.begin_many(ids, n)
        for _ in range(2):
            engine.step_many()
        begin = time.perf_counter()
        for _ in range(n_steps):
            engine.step_many()
        seconds += time.perf_counter() - begin
        repeats += 1
    return {"decode_seconds": seconds, "repeats": repeats}


def main():
    """Make the engine, say so, and answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not come between the answers

    def reply(content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    settings = json.loads(sys.argv[1])
    try:
        engine = ENGINES[settings["engine"]](settings)
    except ImportError as error:
        reply({"missing": error.name or str(error), "error": str(error)})
        return
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})
        return
    reply({"ready": engine.about})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply(engine.answer(request) if hasattr(engine, "answer") else timed(engine, request))
        except Exception as error:
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main()
