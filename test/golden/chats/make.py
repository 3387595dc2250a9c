"""Chats as transformers renders them, for templates that use what chat templates of published models use.

usage: make.py OUT_JSON
"""
import json, sys, transformers
from transformers.utils.chat_template_utils import _normalize_chat_messages, render_jinja_template

TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Wetter für <Ort> & \"Zeit\"", "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 1.5}}, "required": []}}}]
MESSAGES = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": " Be brief. \n"}, {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nfour\n</think>\n\n4"}, {"role": "user", "content": "und 3+3 — ü?"}],
    [{"role": "user", "content": "w"}, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}, {"role": "tool", "content": "{\"t\": -3}"}],
]
TEMPLATES = {
    "blocks": "{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content'] | trim %}\n    {%- set rest = messages[1:] %}\n{%- else %}\n    {%- set system = 'default' %}\n    {%- set rest = messages %}\n{%- endif %}\n{{ bos_token }}{{ '[' + system + ']' }}\n{% for message in rest %}\n    {% if message.content is undefined %}\n{{ loop.index0 }}:none\n    {% elif message.role in ['user', 'tool'] %}\n{{ loop.index }}:{{ message.role | upper }}:{{ message.content }}\n    {% else %}\n{{ message.content.split('</think>')[-1].lstrip('\\n') }}{{ eos_token }}\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}\n>{% endif %}",
    "tools": "{% if tools is not none %}{{ tools | tojson }}|{{ tools | tojson(indent=4) }}|{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% endif %}{% for m in messages %}{% if m.tool_calls is defined and m.tool_calls %}{% for call in m.tool_calls %}{% set call = call.function %}{\"name\": \"{{ call.name }}\", \"arguments\": {{ call.arguments | tojson }}}{% endfor %}{% else %}{{ m.content | tojson }}{% endif %}{% endfor %}",
    "namespace": "{%- set ns = namespace(last=-1, seen=[]) -%}\n{%- for m in messages[::-1] -%}\n{%- set index = (messages | length - 1) - loop.index0 -%}\n{%- if ns.last < 0 and m.role == 'user' and not (m.content is string and m.content.startswith('<tool')) -%}{%- set ns.last = index -%}{%- endif -%}\n{%- endfor -%}\n{{ ns.last }} {{ range(3) | list }} {{ range(5, 1, -2) | list }} {{ messages | map(attribute='role') | join(',') }} {{ (messages | selectattr('role', 'equalto', 'user') | list) | length }}{% macro show(m, n=2) %}<{{ m.role }}{{ n }}>{% endmacro %}{% for m in messages %}{{ show(m) }}{% if loop.last %}!{% endif %}{% endfor %}{{ 'x' if enable_thinking is defined and enable_thinking is false else 'y' }}",
    "loops": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% if m.role == 'tool' %}{% break %}{% endif %}{% if m.role == 'assistant' %}{% generation %}{{ m.content or '' }}{% endgeneration %}{% else %}{{ m['content'] + '\\n' }}{% endif %}{% endfor %}",
}
cases = []
for name, template in TEMPLATES.items():
    for messages in MESSAGES:
        for tools in (None, TOOLS):
            extra = {"enable_thinking": False} if tools else {}
            text = render_jinja_template([_normalize_chat_messages(json.loads(json.dumps(messages)))], tools=tools, chat_template=template, add_generation_prompt=tools is None, bos_token="<s>", eos_token="</s>", **extra)[0][0]
            cases.append({"name": name, "template": template, "messages": messages, "tools": tools, "add_generation_prompt": tools is None, "variables": extra, "text": text})
json.dump({"transformers": transformers.__version__, "cases": cases}, open(sys.argv[1], "w"), ensure_ascii=True, indent=0)
