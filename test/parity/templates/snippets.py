"""Small templates, each for one thing that Jinja or Python's types do."""

VARIABLES = {
    "text": "  Hello World\n",
    "word": "straße",
    "code": "\n\n    return 1\n",
    "list": [3, 1, 2],
    "words": ["b", "A", "c"],
    "dict": {"b": 1, "a": [1, 2], "items": "x", "n": None},
    "rows": [
        {"role": "user", "n": 2, "meta": {"k": "x"}},
        {"role": "tool", "n": 1},
        {"role": "user", "n": 3, "meta": {"k": "y"}},
    ],
    "number": 7,
    "half": 2.5,
    "whole": 1.0,
    "small": 0.00001,
    "big": 12345678901234567890,
    "emoji": "🦊a👍🏽",
    "nothing": None,
    "yes": True,
    "html": "<b>&'\"",
}

SNIPPETS = r"""
{{ text.strip() }}|{{ text.lstrip() }}|{{ text.rstrip() }}
{{ code.lstrip('\n') }}|{{ code.rstrip('\n') }}|{{ code.strip('\n r') }}
{{ 'xxaxx'.strip('x') }}{{ 'xxaxx'.lstrip('x') }}{{ 'abcba'.rstrip('ab') }}{{ 'a'.strip(none) }}
{{ text | trim }}|{{ 'xxaxx' | trim('x') }}|{{ number | trim }}
{{ 'a</think>b</think>c'.split('</think>') }}{{ 'a b  c'.split() }}{{ 'a b  c'.split(' ') }}
{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.split(none, 1) }}{{ ' a b c '.rsplit(none, 1) }}
{{ 'a,b,c'.split(',', maxsplit=1) }}{{ ''.split() }}{{ ''.split(',') }}
{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'abc'.partition('-') }}
{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}
{{ 'aXbX'.replace('X', '-') }}{{ 'aXbX'.replace('X', '-', 1) }}{{ 'ab'.replace('', '-') }}
{{ 'abc'.find('c') }}{{ 'abc'.find('z') }}{{ 'abcabc'.rfind('b') }}{{ 'abc'.index('b') }}
{{ 'abc'.index('z') }}
{{ 'banana'.count('an') }}{{ list.count(1) }}{{ list.index(2) }}
{{ 'abc'.startswith('ab') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('c') }}{{ 'abc'.startswith('b', 1) }}
{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('c') }}{{ 'abc'.removesuffix('') }}
{{ 'hello wORLD'.title() }}{{ 'hELLO'.capitalize() }}{{ 'Ab'.swapcase() }}{{ "it's".title() }}
{{ 'ab'.ljust(4, '.') }}{{ 'ab'.rjust(4) }}{{ 'ab'.center(5, '*') }}{{ 'a'.center(4, '*') }}{{ '-5'.zfill(4) }}
{{ '12'.isdigit() }}{{ 'a1'.isalnum() }}{{ 'ab'.isalpha() }}{{ ''.isdigit() }}{{ 'AB'.isupper() }}{{ 'ab1'.islower() }}{{ ' '.isspace() }}
{{ ', '.join(words) }}{{ words | join('-') }}{{ words | join }}{{ 'abc' | join(',') }}
{{ ', '.join(list) }}
{{ '{} and {}'.format('a', 1) }}{{ '{1}{0}'.format('a', 'b') }}{{ '{x:>4}|{y:.2f}|{z:03d}'.format(x='a', y=1.5, z=7) }}
{{ '%s is %d' % ('a', 3) }}{{ '%s' % word }}{{ '%05.1f|%-4s|' | format(2.25, 'a') }}
{{ word.upper() }}{{ 'ÄÖ'.lower() }}{{ word | upper }}{{ word | capitalize }}{{ 'hello-big world' | title }}
{{ emoji | length }}{{ emoji[0] }}{{ emoji[::-1] }}{{ emoji[1:] }}{{ emoji | reverse }}
{{ text[2:7] }}{{ text[-4:] }}{{ text[::2] }}{{ list[::-1] }}{{ list[1:] }}{{ list[:-1] }}{{ list[5:] }}
{{ list[-1] }}{{ list[9] }}|{{ list[9] is defined }}{{ list.0 }}
{{ list }}{{ words }}{{ dict }}{{ (1,) }}{{ (1, 'a') }}{{ [] }}{{ {} }}{{ () }}
{{ nothing }}{{ yes }}{{ false }}{{ none }}{{ True }}{{ None }}
{{ number }}{{ half }}{{ whole }}{{ small }}{{ big }}{{ 1e16 }}{{ 1e15 }}{{ 0.1 + 0.2 }}{{ 1e-4 }}{{ 123456789.125 }}
{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 / 2 }}{{ 4 / 2 }}{{ 2 ** 3 }}{{ 2 ** -1 }}{{ 7.5 // 2 }}{{ 2 ** 70 }}
{{ 1 + 1.0 }}{{ 3 * 'ab' }}{{ [1] * 2 }}{{ [1] + [2] }}{{ 'a' 'b' }}{{ true + 1 }}{{ -number }}{{ -2 ** 2 }}
{{ 'a' + 1 }}
{{ 'a' + nothing }}
{{ 'a' + words }}
{{ nothing + 'a' }}
{{ 'a' ~ 1 ~ none ~ true ~ missing ~ [1] }}{{ 1 + 2 ~ 3 }}{{ 1 ~ 2 + 3 }}
{{ 1 == 1.0 }}{{ 1 == true }}{{ '1' == 1 }}{{ [] == [] }}{{ [1, 2] == [1, 2] }}{{ {'a': 1} == {'a': 1} }}{{ (1,) == [1] }}{{ none == false }}{{ missing == missing2 }}{{ '' == none }}
{{ 1 < 2 < 3 }}{{ 3 > 2 > 2 }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ 'B' < 'a' }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ 'a' in 'abc' }}{{ 1 in list }}{{ 'a' in dict }}{{ [1] in [[1]] }}{{ 'x' not in dict }}{{ 'a' in missing }}{{ 'user' in rows | map(attribute='role') }}
{{ 'a' in none }}
{{ 1 in 'abc' }}
{{ missing }}|{{ missing is defined }}{{ missing is none }}{{ not missing }}{{ missing | length }}{{ missing | string }}{{ missing | list }}
{{ missing.x }}
{{ missing() }}
{{ missing + 'a' }}
{{ 'a' + missing }}
{{ nothing.x }}|{{ nothing.x is defined }}{{ dict.zzz }}{{ number.x }}
{{ nothing.x.y }}
{{ nothing[0] }}|{{ nothing['a'] }}
{{ nothing[1:] }}
{% for x in nothing %}{{ x }}{% endfor %}
{{ nothing | length }}
{{ dict.items is callable }}{{ dict['items'] }}{{ dict.get('a') }}{{ dict.get('q') }}{{ dict.get('q', 'd') }}{{ dict.get('n') }}
{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}{% for k in dict %}{{ k }}{% endfor %}{% for k, v in dict | items %}{{ k }}{% endfor %}
{{ dict.keys() | list }}{{ dict.values() | list }}{{ dict.keys() }}{{ dict.items() | list }}{{ dict.items() | first }}
{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1, 'A': 2} | dictsort(true) }}{{ {'b': 1, 'a': 2} | dictsort(by='value', reverse=true) }}
{{ dict.update({'a': 1}) }}
{{ list.append(4) }}
{{ list.pop() }}
{{ rows[0].pop('n') }}
{{ list | sort }}{{ words | sort }}{{ words | sort(case_sensitive=true) }}{{ words | sort(reverse=true) }}{{ rows | sort(attribute='n') | map(attribute='n') | list }}
{{ list | first }}{{ list | last }}{{ [] | first }}|{{ 'abc' | last }}{{ list | max }}{{ list | min }}{{ list | sum }}{{ rows | sum(attribute='n') }}
{{ list | reverse | list }}{{ 'abc' | list }}{{ words | map('upper') | list }}{{ words | map('replace', 'A', 'z') | join }}
{{ rows | selectattr('role', 'equalto', 'user') | list | length }}{{ rows | selectattr('role', '==', 'user') | map(attribute='n') | join(',') }}{{ rows | rejectattr('role', 'in', ['tool']) | list | length }}
{{ rows | selectattr('meta') | list | length }}{{ rows | selectattr('meta', 'defined') | list | length }}{{ rows | map(attribute='meta.k') | list | length }}{{ rows | map(attribute='meta.k', default='-') | join }}
{{ list | select('odd') | list }}{{ list | reject('gt', 1) | list }}{{ list | select('divisibleby', 3) | list }}{{ [0, 1, ''] | select | list }}
{% if rows | selectattr('role', 'equalto', 'nobody') %}true{% else %}false{% endif %}
{{ (rows | selectattr('role', 'equalto', 'tool') | first).n }}{{ (rows | map(attribute='n') | list)[1] }}
{{ rows | map(attribute='n') | length }}
{{ rows | groupby('role') | map(attribute='grouper') | list }}{% for g, items in rows | groupby('role') %}{{ g }}{{ items | length }}{% endfor %}
{{ [1, 2, 1, 'a', 'A'] | unique | list }}{{ [1, 2, 3] | batch(2) | list }}{{ [1, 2, 3] | batch(2, 0) | list }}
{{ '3' | int + 1 }}{{ 'x' | int }}{{ 'x' | int(5) }}{{ '2.7' | int }}{{ 2.7 | int }}{{ '1e3' | float }}{{ 'x' | float }}{{ true | int }}{{ none | int }}{{ -2.7 | int }}
{{ 2.5 | round }}{{ 3.5 | round }}{{ 2.567 | round(2) }}{{ 7 | round }}{{ 2.1 | round(method='ceil') }}{{ -3 | abs }}
{{ missing | default('d') }}{{ '' | default('d') }}{{ '' | default('d', true) }}{{ none | default('d') }}{{ none | default('d', boolean=true) }}{{ missing | d }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb\n' | indent(width=1, blank=true) }}|{{ 'a\nb' | indent('> ') }}
{{ html | e }}{{ html | escape }}{{ 'long text of words here' | truncate(10) }}{{ 'long text' | wordcount }}{{ 'x' | center(5) }}|
{{ dict | tojson }}{{ word | tojson }}{{ html | tojson }}{{ emoji | tojson }}{{ none | tojson }}{{ whole | tojson }}{{ big | tojson }}{{ small | tojson }}{{ true | tojson }}
{{ dict | tojson(indent=2) }}{{ [] | tojson(indent=2) }}{{ {'a': {}} | tojson(indent=1) }}{{ [1, [2]] | tojson(indent='-') }}{{ [1] | tojson(indent=0) }}
{{ dict | tojson(sort_keys=true) }}{{ word | tojson(ensure_ascii=true) }}{{ emoji | tojson(ensure_ascii=true) }}{{ dict | tojson(separators=(',', ':')) }}{{ {1: 2, none: 3, true: 4} | tojson }}{{ (1, 2) | tojson }}
{{ missing | tojson }}
{{ '\u2028\x7f\t\\' | tojson }}{{ "a'b" }}{{ ["a'b", 'c"d', "e'f\"g", 'n\n', '\u00a0', 'é🦊'] }}
{{ dict | string }}{{ list | string | length }}{{ 1.5 | string }}{{ none | string }}{{ true | string }}
{{ dict | length }}{{ dict | list }}{{ dict | join(',') }}{{ dict | first }}
{{ list | nofilter }}
{{ list is nofilter }}
{{ number is odd }}{{ number is even }}{{ number is divisibleby 7 }}{{ number is divisibleby(2) }}{{ number is not odd }}{{ number is eq 7 }}{{ number is gt(3) }}{{ 'a' is in 'abc' }}{{ number is in list }}{{ number is sameas 7 }}
{{ true is number }}{{ true is integer }}{{ 1.0 is float }}{{ 1 is float }}{{ 'a' is string }}{{ dict is mapping }}{{ list is mapping }}{{ list is sequence }}{{ 'a' is sequence }}{{ dict is sequence }}{{ 1 is sequence }}{{ list is iterable }}{{ none is iterable }}{{ missing is iterable }}{{ dict is iterable }}
{{ 'ab' is lower }}{{ 'AB' is upper }}{{ '' is lower }}{{ true is boolean }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ none is none }}{{ raise_exception is callable }}{{ 'x' is callable }}
{{ 'a' if true }}{{ 'a' if false }}|{{ 'a' if false else 'b' }}{{ 'a' if false else 'b' if false else 'c' }}{{ ('a' if false) is defined }}
{{ not true and false }}{{ not (true and false) }}{{ 1 and 2 }}{{ 0 or 'x' }}{{ '' or [] }}{{ not 1 == 2 }}{{ 1 or missing.x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}{% for i in list %}{% set x = i %}{% endfor %}{{ x }}
{% for i in [1, 2, 3] %}{% if seen is defined %}seen{% endif %}{% set seen = i %}{{ seen }}{% endfor %}
{% set ns = namespace(a=1, b='x') %}{% for i in list %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.zzz }}|{{ ns.zzz is defined }}
{% set d = dict %}{% set d.x = 1 %}{{ d }}
{% set ns = namespace({'a': 1}) %}{{ ns.a }}{{ ns['a'] }}{% set ns._x = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (a, b) = (b, a) %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}
{% set a, b = [1] %}{{ a }}
{% set x %}a{{ 1 }}b{% endset %}{{ x }}{% set y | upper | trim %} abc {% endset %}{{ y }}{% set z %}{% set inner = 1 %}{% endset %}{{ inner }}
{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }};{% endfor %}
{% for i in list %}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{% endfor %}
{% for i in list if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% else %}none{% endfor %}{% for i in [] %}x{% else %}none{% endfor %}{% for i in list if i > 9 %}x{% else %}none{% endfor %}
{% for i in [1, 2, 3, 4] %}{{ i }}{% if i == 2 %}{% break %}{% endif %},{% endfor %}|{% for i in [1, 2, 3] %}{{ i }}{% if i == 2 %}{% continue %}{% endif %},{% endfor %}
{% for i in [1, 2] %}{% continue %}{% else %}else{% endfor %}|{% for i in [1, 2] %}a{% break %}{% else %}else{% endfor %}
{% for i in list %}{% for j in [1, 2] %}{{ loop.index }}{{ j }}{% endfor %}{{ loop.index }};{% endfor %}
{% for i in [{'n': 1, 'c': [{'n': 2, 'c': []}]}] recursive %}{{ i.n }}@{{ loop.depth }}{{ loop(i.c) }}{% endfor %}
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}{% for x in 1, 2 %}{{ x }}{% endfor %}{% for c in 'añ🦊' %}{{ c }}.{% endfor %}
{% for i in range(3) %}{{ i }}{% endfor %}{{ range(1, 6, 2) | list }}{{ range(3, 0, -1) | list }}{{ range(3) }}{{ range(5)[-1] }}{{ range(0) | length }}
{{ range(1000000) | length }}
{% macro m(a, b=2, c=a) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m() }}{{ m.name }}{{ m.arguments }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, z=3) }}
{% macro m() %}<{{ caller('x') }}>{% endmacro %}{% call(v) m() %}in{{ v }}{% endcall %}
{% macro m() %}{{ x }}{{ i }}{% endmacro %}{% set x = 5 %}{% for i in [1] %}{{ m() }}{% endfor %}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n }}*{{ fact(n - 1) }}{% endif %}{% endmacro %}{{ fact(4) }}
{% macro m() %}  a {% endmacro %}{{ m() | trim }}{{ (m() | trim) == 'a' }}{{ m() is string }}{{ m()[2] }}
{% set x = 1 %}{% with x = 2, y = 3 %}{{ x }}{{ y }}{% endwith %}{{ x }}{{ y }}
{% filter upper %}abc{{ 1 }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}|
{% generation %}x{% set g = 1 %}{% endgeneration %}{{ g }}|{%- generation -%} y {%- endgeneration -%} z
{% raw %}{{ not }} {% if %}{% endraw %}|{%- raw -%} {{ x }} {%- endraw -%} z
a{# comment #}b{#- comment -#} c {# {{ 1 }} #}
{{ 'a\'b' }}{{ "a\"b" }}{{ 'a\\b' }}{{ 'a\d' }}{{ '\x41\u0042' }}{{ 'tab\there' }}
{{ '{{ x }}' }}{{ '%}' }}{{ {'a': {'b': 1}} }}{{ {'a': {'b': 1}}.a.b }}{{ [1, 2,] }}{{ {'a': 1,} }}
{{ 1_000 }}{{ 1.5e3 }}{{ 0x10 }}{{ (1) }}{{ ((1)) }}{{ 1, 2 }}{{ -1 }}{{ +1 }}{{ 1 - -1 }}{{ 3 -1 }}
{{ dict['a'][0] }}{{ dict.a.0 }}{{ dict.a[0] }}{{ rows[0]['meta']['k'] }}{{ rows[-1].n }}{{ dict['q'] }}
{{ 1 if dict.a is defined and dict.a | length > 1 else 2 }}{{ dict.a | length == 2 }}{{ not dict.a | length }}
{{ strftime_now('%d %b %Y') }}{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j') }}
{{ raise_exception('no ' ~ 'way') }}
{{ messages }}{{ tools }}{{ documents }}{{ add_generation_prompt }}{{ bos_token }}{{ eos_token }}{{ tools is none }}{{ tools is defined }}
{% if x %}{% elif number == 7 %}seven{% else %}other{% endif %}{% if not x %}no{% endif %}{% if number == 7 and not missing %}y{% endif %}
{% set j = joiner(', ') %}{% for i in list %}{{ j() }}{{ i }}{% endfor %}{{ dict(a=1) }}
{% set x = [] %}{% for i in list %}{% set x = x + [i] %}{% endfor %}{{ x }}
{{ list | tojson | length }}{{ rows | tojson }}{{ text | tojson }}{{ ('a' ~ 'b') | upper }}{{ 'a' ~ 'b' | upper }}
{{ words is defined and words[0] == 'b' }}{{ words | length > 2 }}{{ words | first | upper }}{{ words[0] | upper ~ '!' }}
{% if %}x{% endif %}
{% for %}x{% endfor %}
{% unknown %}
{{ 1 +
{{ text | indent(first=true) }}{{ number | float }}{{ number | string ~ '!' }}{{ (number | string) + '!' }}{{ number + '!' }}
{{ words | map('length') | sum }}{{ rows | map(attribute='role') | unique | list }}{{ [[1, 'a'], [2, 'b']] | map(attribute=0) | list }}{{ [[1, 2], [3]] | sum(start=[]) }}
{{ 'a' * 0 }}{{ 'ab' * 2 }}{{ [none] }}{{ [true, 1.0, 'x', none, {}] }}{{ {'k': (1, 2)} }}{{ [missing] }}
""".strip("\n")

# One template a line, but for those of several lines, which stand between blank marks.
MULTILINE = [
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a  {%+ if true %}  b{% endif +%}\n c\n  {{ 1 }}\n  {{- 2 }}\n{{ 3 -}}\n\nx",
    "\t{# tab #}\n\t{% set x = 1 %}  \t\n text {% set y = 2 %}\nend\n\n",
    "{%- for m in rows %}\n    {{- '<' + m.role + '>' }}\n    {%- if not loop.last %}\n        {{- '\\n' }}\n    {%- endif %}\n{%- endfor %}\n",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\n",
    "{% generation %}\n  a\n{% endgeneration %}\nb",
    "{{ 'line\nbreak' }}\n\n",
    "{% if true %}a{% endif %}  \n{% if true %}\n\n b{% endif %}",
    "{#\n many\n lines\n#}\nx\n  {#- a -#}\n  y",
    "{% raw %}\n a\n  {% endraw %}\nb",
    "{{ 1 }}\n{{ 2 }}\n  {% set a = 3 %}{{ a }}",
]
SNIPPETS = [line for line in SNIPPETS.split("\n") if "{" in line] + MULTILINE
