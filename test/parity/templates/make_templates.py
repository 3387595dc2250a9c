"""Renders real chat templates and small snippets with transformers, as what Graft is held to.

    python test/parity/templates/make_templates.py [folder of .jinja files ...]

Templates: those of node_modules/@huggingface/ollama-utils (MIT), and of further folders, each named
by its file. No template is written here, only its SHA-256 and what it renders. The date is frozen.
Writes expected.json.gz, snippets.json and versions.json.
"""

import datetime
import gzip
import hashlib
import json
import pathlib
import re
import sys

import jinja2
import transformers
from transformers import PreTrainedTokenizerFast
from tokenizers import Tokenizer, models
from transformers.utils import chat_template_utils
from snippets import SNIPPETS, VARIABLES

HERE = pathlib.Path(__file__).parent
PACKAGE = HERE.parents[2] / "node_modules/@huggingface/ollama-utils"
NOW = datetime.datetime(2024, 7, 6, 9, 5, 3)


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Frozen
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>"
)

ENTRY = re.compile(r'model: "([^"]+)",\s*gguf:\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')', re.S)


def read_literal(text):
    """A JavaScript string literal."""
    if text[0] == "'":
        text = '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"').replace('\\\\"', '\\"') + '"'
    return json.loads(text)


def list_templates(folders):
    source = (PACKAGE / "src/chat-template-automap.ts").read_text()
    seen = set()
    for model, literal in ENTRY.findall(source):
        template = read_literal(literal)
        name, number = model.removeprefix("library/"), 2
        while name in seen:
            name, number = f"{model.removeprefix('library/')} ({number})", number + 1
        seen.add(name)
        yield name, template
    for folder in folders:
        for path in sorted(pathlib.Path(folder).glob("*.jinja")):
            yield path.name, path.read_text()


def render(template, case, tools):
    settings = {
        "tools": tools if case.get("tools") else None,
        "chat_template": template,
        "add_generation_prompt": case.get("open", False),
        **case.get("variables", {}),
    }
    try:
        if case["messages"]:
            return {
                "text": tokenizer.apply_chat_template(case["messages"], tokenize=False, **settings)
            }
        # apply_chat_template looks at the first message, so none is rendered one level below it
        settings |= tokenizer.special_tokens_map
        return {"text": chat_template_utils.render_jinja_template([[]], **settings)[0][0]}
    except Exception as error:  # a refusal of the template is a result
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    given = json.loads((HERE / "conversations.json").read_text())
    texts, places, templates = [], {}, []
    for name, template in list_templates(sys.argv[1:]):
        results = []
        for case in given["conversations"]:
            shown = json.dumps(render(template, case, given["tools"]), ensure_ascii=False)
            if shown not in places:
                places[shown] = len(texts)
                texts.append(json.loads(shown))
            results.append(places[shown])
        digest = hashlib.sha256(template.encode()).hexdigest()
        templates.append({"name": name, "sha256": digest, "results": results})
    data = json.dumps({"templates": templates, "texts": texts}, ensure_ascii=False)
    (HERE / "expected.json.gz").write_bytes(gzip.compress(data.encode(), 9, mtime=0))
    cases = []
    for snippet in SNIPPETS:
        case = {"messages": [], "variables": VARIABLES, "open": False}
        cases.append({"template": snippet, **render(snippet, case, None)})
    snippets = {"variables": VARIABLES, "cases": cases}
    (HERE / "snippets.json").write_text(json.dumps(snippets, ensure_ascii=False, indent=1) + "\n")
    package = json.loads((PACKAGE / "package.json").read_text())
    versions = {
        "transformers": transformers.__version__,
        "jinja2": jinja2.__version__,
        "python": sys.version.split()[0],
        "@huggingface/ollama-utils": package["version"],
    }
    (HERE / "versions.json").write_text(json.dumps(versions, indent=2) + "\n")
    print(len(templates), "templates,", len(cases), "snippets")


main()
