"""A process forked from one that has run kernels: the same answers, and nobody waits for ever.

Each test is a script of its own, because what it forks must have used the kernels, and threads, as it says.
"""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

BEGINNING = """
import multiprocessing, os, sys, threading, time
import minillama

llm = minillama.load("stories3M")
answer = lambda prompt, **options: llm.generate(prompt, max_tokens=6, temperature=0, **options).text
PROMPTS = ["Once", "The dog"]
"""


def run(script):
    """What the script prints, line by line; it must end by itself."""
    done = subprocess.run([sys.executable, "-c", BEGINNING + script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_children_answer_as_their_parent():
    """Alone, in a batch, over many positions at once, and once more forked, on one thread; the parent keeps its own."""
    lines = run("""
import numba
from minillama.compute.jit import kernel_threads

before = kernel_threads()
def work(prompt):
    rows = llm.generate_batch([prompt, prompt], max_tokens=6, temperature=0)
    return answer(prompt), rows[1].text, llm.logits([1] * 300).shape

expected = [work(prompt) for prompt in PROMPTS]
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map_async(work, PROMPTS).get(60) == expected)
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild:
        os.waitpid(grandchild, 0)
    print(minillama.load("stories3M").generate("Once", max_tokens=6, temperature=0).text == expected[0][0], flush=True)
    os._exit(0 if kernel_threads() == 1 or numba.threading_layer() != "omp" else 3)
print(os.waitpid(child, 0)[1], [work(prompt) for prompt in PROMPTS] == expected)
print("parent", kernel_threads() == before)
""")
    assert lines[0] == "True"
    assert sorted(lines[1:3]) == ["True", "True"]
    assert lines[3:] == ["0 True", "parent True"]


def test_a_fork_while_another_thread_generates():
    """Its lock is not the child's; the session that it was using is in use, in the child for ever."""
    lines = run("""
expected = answer("Once")
session, ended = llm.session(), threading.Event()

def generate():
    while not ended.is_set():
        llm.generate("The dog", max_tokens=None, temperature=0, session=session)

thread = threading.Thread(target=generate)
thread.start()
time.sleep(0.2)

def work():
    try:
        used = answer("Once", session=session) == expected
    except minillama.SessionInUseError:
        used = True
    return used and answer("Once") == expected

for _ in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 3)
    print(os.waitpid(child, 0)[1])
ended.set()
thread.join()
print(answer("Once") == expected)
""")
    assert lines == ["0", "0", "0", "0", "True"]


def test_a_fork_while_another_thread_answers_for_the_first_time():
    """What it imports and compiles is done before the process is copied."""
    lines = run("""
thread = threading.Thread(target=lambda: answer("Once"))
thread.start()
for pause in (0.005, 0.02, 0.1):
    time.sleep(pause)
    child = os.fork()
    if child == 0:
        print(answer("Once"), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
thread.join()
print(answer("Once"))
""")
    assert len(lines) == 4
    assert len(set(lines)) == 1
