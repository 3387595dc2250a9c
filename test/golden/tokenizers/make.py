"""What the Rust library `tokenizers` makes of odd strings, for tokenizers whose components vary.

usage: make.py TOKENIZER_JSON OUT_JSON
TOKENIZER_JSON is that of stories260k. Each case replaces some of its components; the vocabulary stays.
"""
import json, random, sys, tokenizers

base = json.load(open(sys.argv[1]))
random.seed(7)
POOLS = ["abcxyz ABC 'st'll ", "0123456789٣²½Ⅷ", "  \t\n\r\x0b\x85\u00a0\ufeff\u2003\u200b", "éßñÅçǅ", "日本語한국어", "👩‍👩🇫🇷🙂𝔘", "!?.,;:-_()[]{}<>/\\|@#$%^&*+=~`\"'",
         "العربيةहिन्दीไทย", "\u0301\u0000\u0001\u007f", ["<s>", "</s>", "<unk>"], "▁", "we'LL I'M", "ſK"]
strings = ["", " ", "  two  spaces ", "\ufeffmark", "a\ufffdb", "Once upon a time,\nthere was a girl. </s><s>She said: \"it's 12.5\""]
for _ in range(30):
    chosen = random.sample(POOLS, 3)
    strings.append("".join(random.choice(random.choice(chosen)) for _ in range(random.randint(2, 24))))

split = lambda behavior, pattern, invert=False: {"pre_tokenizer": {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}}
meta = lambda scheme, divide: {"normalizer": None, **{key: {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": divide} for key in ("pre_tokenizer", "decoder")}}
CASES = {
    "as it is": {},
    **{f"Metaspace {scheme} {divide}": meta(scheme, divide) for scheme in ("always", "first", "never") for divide in (True, False)},
    **{f"Split {behavior}": split(behavior, {"Regex": "[aeiou]"}) for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous")},
    "Split Removed by a string": split("Removed", {"String": "."}),
    "Split Isolated inverted": split("Isolated", {"Regex": "[a-z]+"}, True),
    "Split Removed inverted": split("Removed", {"Regex": "[a-z]+"}, True),
    "Digits": {"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
    "Digits together": {"pre_tokenizer": {"type": "Digits", "individual_digits": False}},
    "Whitespace": {"pre_tokenizer": {"type": "Whitespace"}},
    "ByteLevel": {"normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                  "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}},
}
out = []
for name, components in CASES.items():
    t = tokenizers.Tokenizer.from_str(json.dumps({**base, **components}))
    random_ids = [[random.randrange(t.get_vocab_size()) for _ in range(14)] for _ in range(12)]
    enc = lambda s, special: t.encode(s, add_special_tokens=special).ids
    out.append({"name": name, "components": components, "encoded": [enc(s, False) for s in strings], "with_special": [enc(s, True) for s in strings],
                "ids": random_ids, "decoded": [t.decode(r, skip_special_tokens=False) for r in random_ids], "without_special": [t.decode(r, skip_special_tokens=True) for r in random_ids]})
json.dump({"tokenizers": tokenizers.__version__, "strings": strings, "cases": out}, open(sys.argv[2], "w"), ensure_ascii=True, separators=(",", ":"))
