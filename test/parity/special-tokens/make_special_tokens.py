"""Special tokens as transformers hands them to a chat template: make_special_tokens.py

Each case is a tokenizer_config.json and a special_tokens_map.json laid beside the tokenizer of
stories260k. Writes cases.json and versions.json.
"""

import json
import pathlib
import shutil
import tempfile

import tokenizers
import transformers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
STORIES = HERE.parents[2] / "src/catalogue/models/stories260k/tokenizer.json"
NAMES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask", "image"]
TEMPLATE = "|".join(
    "{{ %s_token if %s_token is defined else 'undefined' }}" % (n, n) for n in NAMES
)
PLAIN = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}
ADDED = {
    "content": "<pad>",
    "lstrip": False,
    "normalized": False,
    "rstrip": False,
    "single_word": False,
}
CASES = {
    "none": ({}, None),
    "texts": (
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
        None,
    ),
    "objects and null": (
        {"pad_token": dict(ADDED, __type="AddedToken"), "bos_token": None, "mask_token": "[M]"},
        None,
    ),
    "of one model": ({"image_token": "<image>", "cls_token": "[C]", "sep_token": "[S]"}, None),
    "an older map": ({"bos_token": "<s>"}, {"pad_token": ADDED, "bos_token": "</s>"}),
    "an older map beside added tokens": (
        {"bos_token": "<s>", "added_tokens_decoder": {"1": dict(ADDED, content="<s>", special=True)}},
        {"pad_token": "</s>", "bos_token": "</s>"},
    ),
}

cases = []
for name, (config, older) in CASES.items():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        shutil.copy(STORIES, root / "tokenizer.json")
        files = {"tokenizer_config.json": {**PLAIN, **config}}
        if older:
            files["special_tokens_map.json"] = older
        for path, value in files.items():
            (root / path).write_text(json.dumps(value))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        text = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
        cases.append({"name": name, "files": files, "text": text})
        print(name, text)

versions = {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__}
(HERE / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
(HERE / "versions.json").write_text(json.dumps(versions) + "\n")
