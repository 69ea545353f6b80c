"""Jinja templates of models: ids as transformers' `apply_chat_template` has them, refusals, and where templates are."""

import subprocess
import sys

import pytest
import transformers
from chat_models import (
    ANSWER,
    CONVERSATIONS,
    HELLO,
    LOOP,
    NAMES,
    SYSTEM,
    TEMPLATES,
    byte_level,
    ids_of,
    pair,
    sentencepiece,
    write,
)

from minillama.files.errors import CheckpointError
from minillama.inference.chat import JinjaChat, template_for
from minillama.tokenizers import gguf_metadata, load_tokenizer, save_tokenizer, tokenizer_from_gguf


@pytest.fixture(scope="module", params=[byte_level, sentencepiece], ids=lambda make: make.__name__)
def both(request, tmp_path_factory):
    return pair(request.param, tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return pair(byte_level, tmp_path_factory.mktemp("byte_level"))[1]


# --- the same ids ----------------------------------------------------------------------------


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_ids_are_those_of_apply_chat_template(both, template):
    library, ours = both
    chat = JinjaChat(template)
    refused = 0
    for messages in CONVERSATIONS:
        expected = ids_of(library, messages, template)
        if expected is None:
            refused += 1
            with pytest.raises(ValueError, match=r"chat template|tag of the chat format"):
                chat.encode(messages, ours)
        else:
            assert chat.encode(messages, ours) == expected
        expected = ids_of(library, messages, template, add_generation_prompt=False)
        if expected is not None:
            assert chat.encode(messages, ours, generation_prompt=False) == expected
    assert refused == 2 * ("Roles must alternate" in template)


@pytest.mark.parametrize("name", ["plain", "bos", "trim", "strip", "macro", "parts", "split", "generation"])
def test_an_answer_to_be_continued(both, name):
    library, ours = both
    answers = ["I am ", "I am\n\n", "  I", "", "<think>\nHm"]
    for answer in answers:
        messages = [SYSTEM, HELLO, {"role": "assistant", "content": answer}]
        options = {"continue_final_message": True, "add_generation_prompt": False}
        expected = ids_of(library, messages, TEMPLATES[name], **options)
        assert JinjaChat(TEMPLATES[name]).encode(messages, ours, continue_final_message=True) == expected


def test_what_a_template_leaves_out_cannot_be_continued(both):
    library, ours = both
    template, messages = "{{ messages[0].content }}", [HELLO, ANSWER]
    assert ids_of(library, messages, template, continue_final_message=True, add_generation_prompt=False) is None
    with pytest.raises(ValueError, match="does not show the last message"):
        JinjaChat(template).encode(messages, ours, continue_final_message=True)


def test_contents_in_parts(both):
    library, ours = both
    parts = [{"type": "text", "text": " Hel"}, {"type": "text", "text": "lo\n"}]
    messages = [SYSTEM, {"role": "user", "content": parts}, ANSWER, {"role": "user", "content": parts[:1]}]
    template = TEMPLATES["parts"]
    assert JinjaChat(template).encode(messages, ours) == ids_of(library, messages, template)
    unfinished = [{"role": "user", "content": parts}]
    expected = ids_of(library, unfinished, template, continue_final_message=True, add_generation_prompt=False)
    assert JinjaChat(template).encode(unfinished, ours, continue_final_message=True) == expected


@pytest.mark.parametrize(
    "show", ["m.content", "m.content ~ ''", "m.content | trim", "m['content'] + ''", "'%s' % m.content"]
)
def test_parts_are_not_shown_as_python_writes_them(tokenizer, show):
    """transformers puts "[{'type': 'text', …" into the prompt; nobody was trained on that."""
    chat = JinjaChat("{% for m in messages %}{{ " + show + " }}{% endfor %}")
    with pytest.raises(ValueError, match="it takes a content as one text, not as a list of parts"):
        chat.encode([{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], tokenizer)


def test_other_roles_later_system_messages_and_further_keys(both):
    library, ours = both
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 12, "b": [1.5, None, True]}}}
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.name }}\n{{ m.reasoning_content }}{{ m.content }}"
        "{% for c in m.tool_calls %}{{ c.function | tojson }}{{ c.function.arguments.items() | list }}{% endfor %}"
        "{{ m.thinking }}{% if 'tool_calls' in m %}!{% endif %}<|im_end|>{% endfor %}"
    )
    messages = [
        HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call], "reasoning": "Add."},
        {"role": "tool", "name": "add", "content": "42", "tool_calls": None},
        SYSTEM,
        {"role": "developer", "content": "é", "thinking": "\n"},
    ]
    assert JinjaChat(template).encode(messages, ours) == ids_of(library, messages, template)


NESTED: list = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "message 0 has a part of type 'image_url'",
        ),
        ([{"role": "user", "content": [{"type": "text"}]}], "message 0 has a part without a 'text'"),
        ([{"role": "user", "content": ["Hi"]}], "message 0 has a part of type 'str'"),
        ([{"role": "user", "content": 7}], "message 0 should have a role and a text"),
        ([{"role": "user"}], "message 0 has no 'content'"),
        ([{"role": "user", "content": None}], "message 0 has no 'content'"),
        ([{"content": "Hi"}], "message 0 has no 'role'"),
        ([{"role": 1, "content": "Hi"}], "message 0 has no 'role'"),
        ([{"role": "user", "content": "Hi", "when": object()}], "message 0 holds a object"),
        ([{"role": "user", "content": "Hi", "a": {1: 2}}], "message 0 holds a int"),
        ([{"role": "user", "content": "Hi", 1: 2}], "message 0 holds a int"),
        ([{"role": "user", "content": "Hi", "a": NESTED}], "message 0 is nested more than 50 deep"),
        ([], "at least one"),
        ("Hi", "expected a list of messages"),
        ([HELLO, {"role": "user", "content": "\ud800"}], "lone surrogate"),
    ],
)
def test_malformed_messages(tokenizer, messages, error):
    with pytest.raises(ValueError, match=error):
        JinjaChat(TEMPLATES["plain"]).encode(messages, tokenizer)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('Only one\n question') }}", "cannot render this conversation: Only one question"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages | nonsense }}", "No filter named 'nonsense'"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{{ messages[0].content + 1 }}", "can only concatenate str"),
        ("{{ messages.append(1) }}", "is unsafe|not safely callable"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "is unsafe"),
        ("{% set ns = namespace() %}{% set ns._x = 1 %}", "cannot store '_x'"),
        ("{% include 'other' %}", "no loader"),
        ("{{ lipsum() }}", "'lipsum' is undefined"),
        ("{% autoescape true %}{{ '<' ~ '>' }}{% endautoescape %}", "autoescape"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_refused(tokenizer, template, reason):
    with pytest.raises(ValueError, match=reason):
        JinjaChat(template).encode([HELLO], tokenizer)


# --- where an answer ends --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "ends"),
    [
        (LOOP, {"<|eos|>", "<|im_end|>"}),
        ("{% for m in messages %}<|user|>{{ m.content }}<|think|>{% endfor %}", {"<|eos|>", "<|im_end|>", "<|think|>"}),
        ("{% for m in messages %}{{ m.content }} bye <|think|>{% endfor %}", {"<|eos|>", "<|im_end|>"}),
        ("{{ raise_exception('no') }}", {"<|eos|>", "<|im_end|>"}),
    ],
)
def test_an_answer_ends_with_what_the_template_writes_after_one(tokenizer, template, ends):
    assert JinjaChat(template).stop_ids(tokenizer) == {tokenizer.special_tokens[text] for text in ends}


# --- where templates come from ---------------------------------------------------------------


def folder_with(tmp_path, files, **config):
    write(tmp_path, byte_level(), **config)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text.encode())
    return transformers.AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path)


NAMED = [{"name": "default", "template": "D" + LOOP}, {"name": "rag", "template": "R" + LOOP}]


@pytest.mark.parametrize(
    ("files", "config"),
    [
        ({}, {"chat_template": LOOP}),
        ({}, {"chat_template": NAMED}),
        ({}, {"chat_template": {"default": "D" + LOOP, "rag": "R" + LOOP}}),
        ({"chat_template.jinja": "F" + LOOP}, {}),
        ({"chat_template.jinja": "F\r\n{{ 1 }}\r" + LOOP}, {"chat_template": LOOP}),
        ({"chat_template.jinja": "F" + LOOP, "additional_chat_templates/rag.jinja": "A" + LOOP}, {}),
        ({"chat_template.jinja": "F" + LOOP, "additional_chat_templates/default.jinja": "A" + LOOP}, {}),
    ],
)
def test_the_template_that_transformers_takes(tmp_path, files, config):
    library, ours = folder_with(tmp_path, files, **config)
    assert template_for(ours).encode([HELLO], ours) == ids_of(library, [HELLO], None)
    save_tokenizer(ours, tmp_path / "again")
    again = load_tokenizer(tmp_path / "again")
    assert (again.chat_template, again.named_templates) == (ours.chat_template, ours.named_templates)
    assert again.named_tokens == ours.named_tokens == NAMES
    for name in ours.named_templates:
        assert template_for(ours, name).encode([HELLO], ours) == ids_of(library, [HELLO], name)


@pytest.mark.parametrize(
    ("files", "config"),
    [
        ({}, {"chat_template": NAMED[1:]}),
        ({"additional_chat_templates/rag.jinja": "A" + LOOP}, {"chat_template": LOOP}),
    ],
)
def test_several_templates_without_a_default(tmp_path, files, config):
    library, ours = folder_with(tmp_path, files, **config)
    assert ids_of(library, [HELLO], None) is None
    with pytest.raises(ValueError, match=r"has several, and none is the default; choose one .*: rag"):
        template_for(ours)
    assert template_for(ours, "rag").encode([HELLO], ours) == ids_of(library, [HELLO], "rag")


@pytest.mark.parametrize(
    ("names", "text", "error"),
    [
        (["chat_template.jinja"], b"\xff", "template: is not UTF-8"),
        ([f"additional_chat_templates/{n}.jinja" for n in range(65)], b"", "has 65 templates, expected 64 at most"),
    ],
)
def test_damaged_template_files(tmp_path, names, text, error):
    write(tmp_path, byte_level())
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    with pytest.raises(CheckpointError, match=error):
        load_tokenizer(tmp_path)


def test_the_template_of_a_gguf_file_is_rendered(tmp_path):
    """Its variables are the tokens of the file; a name taken from tokenizer_config.json stays there."""
    write(
        tmp_path, byte_level(), chat_template="{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}"
    )
    ours = load_tokenizer(tmp_path)
    expected = [ours.bos_id, *ours.encode("Hi"), ours.eos_id]
    assert template_for(ours).encode([{"role": "user", "content": "Hi"}], ours)[:-1] == expected
    again = tokenizer_from_gguf(gguf_metadata(ours))
    assert template_for(again).encode([{"role": "user", "content": "Hi"}], again) == expected


def test_jinja_is_imported_by_the_first_conversation_only():
    code = "import minillama, minillama.llm, sys; print('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
