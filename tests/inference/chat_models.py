"""Templates, conversations and tokenizers for the tests of chat, for transformers and minillama alike."""

import json

import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from minillama.tokenizers import load_tokenizer
from minillama.tokenizers.bpe.byte_level import BYTE_TO_CHARACTER

SPECIAL = ["<|eos|>", "<|bos|>", "<|pad|>", "<|im_start|>", "<|im_end|>", "<|user|>", "[INST]", "[/INST]", "<|think|>"]
ADDED = ["<think>", "</think>"]  # in the vocabulary, not special: text like any other
NAMES = {"bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>"}

# Every line one construct that templates of models are made of.
LOOP = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TEMPLATES = {
    "plain": LOOP + PROMPT,
    "bos": "{{ bos_token }}" + LOOP + PROMPT,
    "eos after answers only": "{% for m in messages %}{{ '<|' + 'user|>' + m.content }}"
    "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}<|user|>",
    "pad": "{{ pad_token }}" + LOOP,
    "a token that is not defined": "{{ sep_token }}{{ bos_token if bos_token is defined }}" + LOOP,
    "default in the loop": "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nHelp."
    "<|im_end|>\n{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" + PROMPT,
    "default in a variable": "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
    "{% set s = messages[0].content %}{% else %}{% set rest = messages %}{% set s = 'Help.' %}{% endif %}"
    "{{ '<|im_start|>system\n' ~ s ~ '<|im_end|>\n' }}{% for m in rest %}{{ m.content }}<|im_end|>\n{% endfor %}",
    "trim": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content | trim + '<|im_end|>\n' }}"
    "{% endfor %}",
    "strip": "{% for m in messages %}<|im_start|>{{ m.content.strip() }}\n\n<|im_end|>{% endfor %}",
    "lstrip": "{% for m in messages %}<|im_start|>{{ m.content.lstrip('\n ').rstrip() }}{% endfor %}",
    "line breaks after blocks": "{% for m in messages %}\n  {% if m.role %}\n{{ m.content }}\n  {% endif %}\n"
    "{% endfor %}\n",
    "white space control": "{%- for m in messages -%}\n  <|im_start|>\n {{- m.content -}} \n <|im_end|> {%+ endfor %}",
    "namespace": "{% set ns = namespace(n=0, last='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% set ns.last = m.content %}{% endfor %}{{ ns.n }}: {{ ns.last }}<|im_end|>",
    "split": "{% for m in messages %}<|im_start|>{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endfor %}",
    "test of a content": "{% for m in messages %}<|im_start|>{% if '</think>' in m.content %}(thought){% else %}"
    "{{ m.content }}{% endif %}<|im_end|>{% endfor %}",
    "macro": "{% macro turn(m, end) %}<|im_start|>{{ m.content }}{{ end }}{% endmacro %}"
    "{% for m in messages %}{{ turn(m, '<|im_end|>\n') }}{% endfor %}",
    "break and continue": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ m.content }}"
    "{% if loop.index > 2 %}{% break %}{% endif %}<|im_end|>{% endfor %}",
    "generation": "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "tojson": "{% for m in messages %}{{ m.role | tojson }}"
    "{{ {'t': \"<é'&>\", 'n': [1, none, true]} | tojson(indent=2) }}"
    "{{ m.content }}{% endfor %}",
    "raise_exception": "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}[INST] {{ m.content }} [/INST]{% endfor %}",
    "strftime_now": "{{ strftime_now('%Y') }}{% if strftime_now is defined %} {{ strftime_now('%B') }}{% endif %}"
    + LOOP,
    "parts": "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for part in m.content %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>{% endfor %}",
    "filters of lists": ""
    "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('<|im_end|>')"
    " }}{{ (messages | last).content | upper }}{{ messages | length }}"
    "{{ messages[::-1] | map(attribute='role') | list }}",
    "default filter": "{{ tools | default('none', true) }}{{ nothing | default('-') }}{{ messages[0].name | d('?') }}"
    + LOOP,
    "conditional expression": "{% for m in messages %}"
    "{{ ('<|user|>' if m.role == 'user' else '<|im_start|>') ~ m.content }}"
    "{{ '<|im_end|>' if not loop.last }}{% endfor %}",
    "loop variables": "{% for m in messages %}{{ loop.index }}/{{ loop.length }}"
    "{{ loop.previtem.role if loop.previtem }}"
    "{{ loop.changed(m.role) }}{{ loop.cycle('a', 'b') }}{{ m.content }}{% else %}nobody{% endfor %}",
    "items": "{% for m in messages %}{% for key, value in m.items() %}{{ key }}={{ value }};"
    "{% endfor %}<|im_end|>{% endfor %}",
    "formats": "{% for m in messages %}{{ '<|im_start|>%s\n%5.1f' % (m.role, 2) }}{{ '{}: {:>3}'.format(m.role, 7) }}"
    "{{ m.content }}{% endfor %}",
    "replace and slice": "{% for m in messages %}{{ m.content.replace('a', '<b>')[:12] }}"
    "{{ m.content | replace('\n', ' ') }}"
    "<|im_end|>{% endfor %}",
    "set block and filter block": "{% set x %}<|im_start|>{{ messages[0].content }}{% endset %}"
    "{% filter upper %}{{ x }}"
    "{% endfilter %}{{ x }}",
    "raw and comment": "{# not shown #}{% raw %}{{ <|im_end|> }}{% endraw %}" + LOOP,
    "recursion": "{% for m in messages recursive %}{{ m if m is string else loop([m.content]) }}<|im_end|>{% endfor %}",
    "dict": "{% set names = dict(user='U', assistant='A', system='S') %}{% for m in messages %}{{ names[m.role] }}"
    "{{ names.get(m.role) }} {{ m.content }}{{ dict.fromkeys('a', 1) }}{% endfor %}",
    "python's spelling": "{{ messages }}{{ messages[0] | string }}",
}
SYSTEM, HELLO = {"role": "system", "content": " Be brief. "}, {"role": "user", "content": "  Hello, who are you? \n"}
ANSWER = {"role": "assistant", "content": "<think>\nHm\n</think>\n\nA small model: <b>x</b> 'é' 🙂"}
LATER = {"role": "user", "content": "\n\n12 + 30 > a[0]\t<|what"}
CONVERSATIONS = [
    [HELLO],
    [SYSTEM, HELLO],
    [HELLO, ANSWER, LATER],
    [SYSTEM, HELLO, ANSWER, LATER, ANSWER, {"role": "user", "content": ""}],
    [HELLO, ANSWER, HELLO, ANSWER],
]


def byte_level() -> tokenizers.Tokenizer:
    merges = [("o", "u"), ("Ċ", "Ċ"), (">", "Ċ"), ("e", "l"), ("el", "l"), ("Ġ", "a"), ("<", "|"), ("|", ">")]
    pieces = [*BYTE_TO_CHARACTER, *(left + right for left, right in merges)]
    model = models.BPE({piece: id_ for id_, piece in enumerate(pieces)}, merges)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentencepiece() -> tokenizers.Tokenizer:
    merges = [("o", "u"), ("▁", "a"), ("e", "l"), ("el", "l")]
    characters = ["▁", *"abcdefghijklmnopqrstuvwxyz<>|[]/_0123456789"]
    pieces = ["<unk>", *(f"<0x{n:02X}>" for n in range(256)), *characters, *(left + right for left, right in merges)]
    model = models.BPE(
        {piece: id_ for id_, piece in enumerate(pieces)}, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True
    )
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>"])
    return tokenizer


def write(folder, tokenizer, *, added=ADDED, **config) -> None:
    tokenizer.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in SPECIAL])
    tokenizer.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in added])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **NAMES, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def pair(make, folder):
    """One tokenizer in the hands of transformers and of minillama."""
    write(folder, make())
    return transformers.AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)


def special_ids(tokenizer, ids):
    return [id_ for id_ in ids if tokenizer.is_special(id_)]


def ids_of(library, messages, template, **options):
    """What transformers gives, or None where it refuses."""
    options = {"add_generation_prompt": True, **options}
    try:
        return library.apply_chat_template(messages, chat_template=template, return_dict=False, **options)
    except Exception:
        return None
