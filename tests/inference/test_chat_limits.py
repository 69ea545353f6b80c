"""A template is a program from a stranger: it ends in one error, soon, and takes little memory."""

import datetime
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minillama.inference.chat import limits
from minillama.inference.chat.rendering import TemplateRefusal, render

DOUBLE = "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = STEP %}{% endfor %}{{ ns.x END }}"


def double(start: str, step: str, end: str = "") -> str:
    return DOUBLE.replace("START", start).replace("STEP", step).replace("END", end)


ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "loops of calls": "{% for i in range(99999) %}{% for j in range(99999) %}{{ m(i) }}{% endfor %}{% endfor %}",
    "loops in a variable": "{% set x %}{% for i in range(99999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
    "{% endset %}",
    "macros": "{% macro f(n) %}{% if n %}{% set a = f(n - 1) %}{% set a = f(n - 1) %}{% endif %}{% endmacro %}"
    "{{ f(99) }}",
    "filters": "{% for i in range(99999) if range(9999) | select('gt', 9999) | list %}{% endfor %}",
}
LONG = {
    "text": "{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}",
    "text of the template": "{% for i in range(99999) %}" + "x" * 999 + "{% endfor %}",
    "text in a macro": "{% macro m() %}{% for i in range(99999) %}{{ 'x' * 999 }}{% endfor %}{% endmacro %}"
    "{% set y = m() %}",
    "text in a variable": "{% set y %}{% for i in range(99999) %}" + "x" * 999 + "{% endfor %}{% endset %}",
    "times": "{{ 'x' * 10 ** 10 }}",
    "list times": "{{ ([1] * 10 ** 10) | length }}",
    "plus": double("'x'", "ns.x + ns.x"),
    "tilde": double("'x'", "ns.x ~ ns.x"),
    "list plus": double("[1]", "ns.x + ns.x", "| length"),
    "lists of lists": double("[1]", "[ns.x, ns.x]"),
    "lists of lists as JSON": double("[1]", "[ns.x, ns.x]", "| tojson | length"),
    "lists of lists as text": double("[1]", "[ns.x, ns.x]", "| string | length"),
    "lists of lists trimmed": double("[1]", "[ns.x, ns.x]", "| trim | length"),
    "lists of lists in a view": double("[1]", "[ns.x, ns.x]", "| length }}{{ {'a': ns.x}.items()"),
    "text of a view": "{{ {'x' * 4000000: 1, 'y' * 4000000: 1}.keys() | string | length }}",
    "lists of lists formatted": double("[1]", "[ns.x, ns.x]", "| length }}{{ '%s' % [ns.x]"),
    "replace": "{{ ('a' * 9999) | replace('a', 'b' * 9999) }}",
    "replace, the method": "{{ ('a' * 9999).replace('a', 'b' * 9999) }}",
    "join": "{{ range(9999) | join('x' * 9999) }}",
    "join of a generator": "{{ range(9999) | map('string') | join('x' * 9999) }}",
    "join, the method": "{{ ('x' * 9999).join(range(9999) | map('string')) }}",
    "indent": "{{ ('\n' * 9999) | indent(9999) }}",
    "tojson": "{{ range(99999) | list | tojson(indent=9999) }}",
    "wordwrap": "{{ ('ab ' * 9999) | wordwrap(1, wrapstring='x' * 9999) }}",
    "translate": "{{ ('a' * 9999).translate({97: 'x' * 9999}) }}",
    "expandtabs": "{{ ('\t' * 9999).expandtabs(9999) }}",
    "formats": "{{ ('%s' * 9999) % (('x' * 9999,) * 9999) }}",
    "texts in a list": "{% set ns = namespace(l=[], b='x' * 4000000) %}{% for i in range(999) %}"
    "{% set ns.l = ns.l + [ns.b ~ i] %}{% endfor %}{{ ns.l | length }}",
}
WIDE = {
    "center": "{{ 'x' | center(10 ** 9) }}",
    "ljust": "{{ 'x'.ljust(10 ** 9) }}",
    "zfill": "{{ 'x'.zfill(10 ** 9) }}",
    "batch": "{{ [1] | batch(10 ** 9, 0) | list | length }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10 ** 9, 1) }}",
    "format": "{{ '{:1000000000}'.format(1) }}",
    "format from an argument": "{{ '{:{w}}'.format(1, w='1' ~ '0' * 9) }}",
    "strftime": "{{ strftime_now('%1000000000d') }}",
    "power": "{{ 9 ** 9 ** 9 ** 9 }}",
    "numbers": double("9", "ns.x * ns.x"),
}


def refusal(template: str) -> str:
    with pytest.raises(TemplateRefusal) as caught:
        render(template, {"messages": []}, datetime.datetime.now())
    return str(caught.value)


@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_ends(monkeypatch, template):
    monkeypatch.setattr(limits, "MAX_SECONDS", 0.1)
    template = "{% macro m(x) %}{% endmacro %}" + template
    begin = time.thread_time()
    assert "is stopped: it runs for more than" in refusal(template)
    assert time.thread_time() - begin < 3


@pytest.mark.parametrize("template", LONG.values(), ids=LONG)
def test_a_template_writes_no_endless_text(template):
    assert "is stopped: it " in refusal(template)
    assert "characters" in refusal(template)


@pytest.mark.parametrize("template", WIDE.values(), ids=WIDE)
def test_a_template_asks_for_no_endless_width(template):
    assert "is stopped: it " in refusal(template)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of one process alone is what Linux tells in /proc")
def test_memory_stays_small():
    """All of the templates above in a process of their own, with everything that it imports."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_chat_limits as t\n"
        "for template in [*t.LONG.values(), *t.WIDE.values()]: t.refusal(template)\n"
        # Not ru_maxrss: a child begins with its parent's.
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, text=True)
    assert int(done.stdout) < 1 << 20, done.stderr


@pytest.mark.parametrize(
    "template",
    [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ " + "(" * 999 + ")" * 999 + " }}",
        "{{ " + "[" * 99999 + " }}",
    ],
)
def test_a_template_is_not_nested_for_ever(template):
    assert "nested too deeply, or calls itself for ever" in refusal(template)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ 10000000 | tojson }} {{ nothing | default(100000000) }}", "10000000 100000000"),
        (
            "{{ 'on 20240101 {} %s'.format(1) }}|{{ '%-5s|%05d 1234567' % ('a', 7) }}",
            "on 20240101 1 %s|a    |00007 1234567",
        ),
        ("{{ 2 ** 100 }} {{ 3 * 4.5 }} {{ 7 % 4 }}", "1267650600228229401496703205376 13.5 3"),
        (
            "{{ 'a,b'.split(',') | join('-') }}{{ '-'.join(['c', 'd']) }}{{ [[1], [2]] | sum(start=[]) }}",
            "a-bc-d[1, 2]",
        ),
        ("{% for i in range(9) %}{{ i if i is odd }}{% endfor %}{{ ['x'] * 2 + [1] }}", "1357['x', 'x', 1]"),
        ("{{ nothing ~ none ~ 1 ~ '<' | e }}", "None1&lt;"),
    ],
)
def test_what_is_small_is_as_in_jinja(template, text):
    assert render(template, {}, datetime.datetime.now()) == text
