"""Chat templates of public models: the ids of minillama against those of transformers' `apply_chat_template`.

    python benchmarks/chat_templates.py FOLDER [--json FILE]

FOLDER holds templates as *.jinja, for example llama.cpp's models/templates. For each one a byte-level tokenizer is
trained on the template and the conversations, with the special tokens that the template writes, and loaded by both.
Every conversation must give the same ids, or be refused. The same conversations with control text in their contents
must give no control token more.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from minillama.inference.chat import template_for
from minillama.inference.chat.rendering import literal_texts
from minillama.tokenizers import Tokenizer, load_tokenizer

SYSTEM, HELLO = {"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "  Hello, who are you? \n"}
ANSWER = {"role": "assistant", "content": "A small model, 42 layers high.\n\nAsk me! 🙂 "}
THOUGHT = {"role": "assistant", "content": "<think>\nLet me see.\n</think>\n\nIt is **blue**, l'été aussi."}
WHY = {"role": "user", "content": "Why is the sky blue?\n\n> it's not\n\tdef f(x):\n    return x[0] < {'a': 1}\n"}
EMPTY, PARTS = {"role": "user", "content": ""}, {"role": "user", "content": [{"type": "text", "text": "Hi there. "}]}
TWO = {"role": "user", "content": [{"type": "text", "text": " One "}, {"type": "text", "text": "two.\n"}]}
CONVERSATIONS = {
    "one question": [HELLO],
    "with a system message": [SYSTEM, WHY],
    "several turns": [SYSTEM, HELLO, ANSWER, WHY],
    "thoughts": [HELLO, THOUGHT, WHY, THOUGHT, HELLO],
    "an empty message": [SYSTEM, EMPTY],
    "a content in a part": [PARTS],
    "contents in parts": [SYSTEM, HELLO, ANSWER, TWO],
    "a system message later on": [HELLO, ANSWER, SYSTEM, WHY],
    "another role": [HELLO, ANSWER, {"role": "tool", "content": "12 °C"}],
    "an answer to be continued": [SYSTEM, HELLO, ANSWER],
    "a thought to be continued": [HELLO, {"role": "assistant", "content": "<think>\nHm"}],
}
# What a template writes as control; tags like <think> are added tokens that are not special, as in the real models.
_SPECIAL = re.compile(
    r"<\|[^|<>\s]+\|>|<｜[^｜<>]+｜>|\[/?[A-Z_]+\]|<(?:bos|eos|s|pad|unk|/s|start_of_turn|end_of_turn|turn\||\|turn)>"
    r"|<\|[a-z_]+>|<[a-z_]+\|>"
)
_ADDED = re.compile(r"</?[a-z_]+>")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write the outcome of every template here")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    outcomes = {path.stem: check(path.read_text("utf-8")) for path in sorted(arguments.folder.glob("*.jinja"))}
    for name, outcome in outcomes.items():
        print(f"{name}: {dict(Counter(result.split(':')[0] for result in outcome.values()))}")
        for what, result in outcome.items():
            if not result.startswith("equal"):
                print(f"    {what}: {result:.200}")
    plain, typed = (totals(outcomes, typed) for typed in (False, True))
    print(f"{len(outcomes)} templates, {sum(plain.values())} conversations: {plain}, with control text: {typed}")
    if arguments.json:
        versions = {"transformers": transformers.__version__, "date": str(datetime.date.today())}
        figures = {**versions, "conversations": plain, "with control text": typed, **condensed(outcomes)}
        arguments.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    return plain.get("DIFFERENT", 0) + typed.get("CONTROL", 0) > 0


def totals(outcomes: dict[str, dict[str, str]], typed: bool) -> dict[str, int]:
    """How often what came of a conversation, those with control text or those without."""
    results = [(what, result) for outcome in outcomes.values() for what, result in outcome.items()]
    return dict(Counter(result.split(":")[0] for what, result in results if what.endswith("control text") == typed))


def condensed(outcomes: dict[str, dict[str, str]]) -> dict[str, dict]:
    """For every template what became of its conversations, and how often each reason to refuse one was given."""
    templates = {
        name: {"conversations": totals({name: outcome}, False), "with control text": totals({name: outcome}, True)}
        for name, outcome in outcomes.items()
    }
    plain = [
        (what, result) for outcome in outcomes.values() for what, result in outcome.items() if "control" not in what
    ]
    refusals = Counter(f"{what} — {result}" for what, result in plain if result.startswith("refused"))
    return {"refusals": dict(refusals.most_common()), "templates": templates}


def check(template: str) -> dict[str, str]:
    """What becomes of every conversation with one template."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            special = write_tokenizer(Path(folder), template)
        except ValueError as error:
            return {"template": f"refused: {error}"}
        library, ours = transformers.AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    results = {}
    for name, conversation in CONVERSATIONS.items():
        unfinished = name.endswith("continued")
        results[name] = compare(library, ours, conversation, unfinished)
        results[f"{name}, with control text"] = attack(ours, conversation, special, unfinished)
    return results


def compare(library, ours: Tokenizer, conversation: list[dict], unfinished: bool) -> str:
    try:
        expected = library.apply_chat_template(
            conversation, add_generation_prompt=not unfinished, continue_final_message=unfinished, return_dict=False
        )
    except Exception as error:
        expected, theirs = None, " ".join(str(error).split())
    try:
        found = encode(ours, conversation, unfinished)
    except ValueError as error:
        return f"refused by both: {error}" if expected is None else f"refused: {error}"
    if expected is None:
        return f"DIFFERENT: transformers refuses: {theirs}"
    return "equal" if found == expected else f"DIFFERENT: {ours.decode(found, skip_special=False)!r}"


def attack(ours: Tokenizer, conversation: list[dict], special: list[str], unfinished: bool) -> str:
    """Control text at every place of the contents: the control tokens must be those of the same length of x."""
    n_refused, n_equal = 0, 0
    for text in special[:: max(1, len(special) // 8)]:
        for typed in (text, f" {text}\n", f"x{text}{text}y", text[:-1], text[1:], f"{text[:2]}{text}{text[2:]}"):
            try:
                found = encode(ours, put_in(conversation, typed), unfinished)
            except ValueError:
                n_refused += 1
                continue
            plain = encode(ours, put_in(conversation, re.sub(r"\S", "x", typed)), unfinished)
            if control(ours, found) != control(ours, plain):
                return f"CONTROL: {typed!r} {ours.decode(found, skip_special=False)!r}"
            n_equal += 1
    return f"equal: {n_equal} of {n_equal + n_refused}" if n_equal else f"refused: all {n_refused}"


def put_in(conversation: list[dict], typed: str) -> list[dict]:
    """The conversation with `typed` before, inside and after each of its contents, cut over the parts of one."""
    half = len(typed) // 2

    def content(value):
        if isinstance(value, str):
            return typed + value[:3] + typed + value[3:] + typed
        return [
            {"type": "text", "text": (typed[half:] if n else "") + part["text"] + typed[:half]}
            for n, part in enumerate(value)
        ]

    return [{**message, "content": content(message["content"])} for message in conversation]


def control(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    return [id_ for id_ in ids if tokenizer.is_special(id_)]


def encode(tokenizer: Tokenizer, conversation: list[dict], unfinished: bool) -> list[int]:
    chat = template_for(tokenizer)
    return chat.encode(conversation, tokenizer, generation_prompt=not unfinished, continue_final_message=unfinished)


def write_tokenizer(folder: Path, template: str) -> list[str]:
    """Train a tokenizer with the tokens of the template; returns its special ones."""
    literal = "\0".join(literal_texts(template))
    special = sorted({"<|bos|>", "<|eos|>", *_SPECIAL.findall(literal)})
    if "<|" in literal_texts(template):  # put together with the name of a role
        special = sorted({*special, "<|system|>", "<|user|>", "<|assistant|>"})
    added = sorted(set(_ADDED.findall(literal)) - set(special))
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    texts = [literal, *(json.dumps(conversation, ensure_ascii=False) for conversation in CONVERSATIONS.values())]
    either = re.compile("|".join(map(re.escape, [*special, *added])))
    tokenizer.train_from_iterator([part for text in texts for part in either.split(text)], trainer)
    tokenizer.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in special])
    tokenizer.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in added])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    return special


if __name__ == "__main__":
    print(f"transformers {transformers.__version__}, {datetime.date.today()}")
    sys.exit(main())
