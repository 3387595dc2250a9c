"""What TRL makes of the odd rows of the corpus: token ids and labels, or that it refuses the row.

usage: python make_rows.py INPUTS_DIR OUT_JSON
INPUTS_DIR is what write-inputs.ts wrote. needs: torch, transformers, trl (versions are written to OUT_JSON)

Rows go through the trainer of their format (SFT, DPO, KTO) as objects, without Arrow, which fills keys of other rows in.
TRL knows neither OpenAI's older functions, Anthropic's tools and parts, system messages beside the messages, the names that ShareGPT has
for roles, nor weights of rows and messages; such rows are first written in its form (`translate`), and marked with "=".
Alpaca's rows are no format of TRL. With a history or a system message they are first written as LLaMA-Factory's converter writes them (its
data/converter.py: instruction and input joined by a line break, all answers learned), and go through the trainer for chats. Others are the prompt of
Stanford's train.py, whose labels are the output and the end of text.
A result is a hash of [[ids, weights], ...], up to the last label, or "error".
"""
import copy, hashlib, json, os, sys, torch, transformers, trl
from datasets import IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer
inputs, out = sys.argv[1], sys.argv[2]
torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{inputs}/tokenizer.json", eos_token="<|im_end|>", pad_token="<|pad|>")
tokenizer.chat_template = open(f"{inputs}/template.jinja").read()
model = lambda: LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1))
stream = lambda rows: IterableDataset.from_generator(lambda: iter(copy.deepcopy(rows)))
U, A, B = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}
common = dict(output_dir="/tmp/trl", report_to=[], use_cpu=True, max_length=None, max_steps=1)
sft = SFTTrainer(model(), args=SFTConfig(assistant_only_loss=True, **common), train_dataset=stream([{"messages": [U, A]}]), processing_class=tokenizer)
sft_pairs = SFTTrainer(model(), args=SFTConfig(assistant_only_loss=True, **common), train_dataset=stream([{"prompt": [U], "completion": [A]}]), processing_class=tokenizer)
dpo = DPOTrainer(model(), ref_model=model(), args=DPOConfig(**common), train_dataset=stream([{"prompt": [U], "chosen": [A], "rejected": [B]}]), processing_class=tokenizer)
kto = KTOTrainer(model(), ref_model=model(), args=KTOConfig(**common), train_dataset=stream([{"prompt": [U], "completion": [A], "label": True}] * 2), processing_class=tokenizer)
NAMES = {"human": "user", "gpt": "assistant", "model": "assistant", "function": "tool", "observation": "tool", "function_response": "tool"}
def read_json(text):
    try: return json.loads(text)
    except ValueError: return text
def calls_of(value):
    value = json.loads(value)
    return [{"type": "function", "function": call} for call in (value if isinstance(value, list) else [value])]
def translate_message(m):
    m = dict(m)
    if "from" in m and "role" not in m:
        name, value = m.pop("from"), m.pop("value")
        if name == "function_call": return [{"role": "assistant", "content": "", "tool_calls": calls_of(value)}]
        return [{**m, "role": NAMES.get(name, name), "content": value}]
    m["role"] = {"developer": "system", "function": "tool"}.get(m["role"], m["role"])
    if m.get("function_call") is not None:
        called = m.pop("function_call")
        m["tool_calls"] = [{"type": "function", "function": {**called, "arguments": read_json(called["arguments"])}}]
    if not isinstance(m.get("content"), list): return [m]
    kinds = {"text": [], "tool_use": [], "tool_result": []}
    for part in m["content"]: kinds[part["type"]].append(part)
    if kinds["tool_use"] or kinds["tool_result"]:
        results = [{"role": "tool", "tool_call_id": p["tool_use_id"], "content": p["content"]} for p in kinds["tool_result"]]
        calls = [{"id": p["id"], "type": "function", "function": {"name": p["name"], "arguments": p["input"]}} for p in kinds["tool_use"]]
        own = {**m, "content": "".join(p["text"] for p in kinds["text"]), **({"tool_calls": calls} if calls else {})}
        return results + ([own] if calls or kinds["text"] else [])
    return [m]
def weight_of(row):
    weights = {row[k] for k in ("weight", "quality") if row.get(k) is not None}
    if len(weights) > 1: raise ValueError("two weights")
    weight = weights.pop() if weights else 1
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight <= 1: raise ValueError("no weight")
    return weight
def translate(row, format):
    """The row in TRL's form, and its weight."""
    row = copy.deepcopy(row)
    if "conversations" in row: row["messages"] = row.pop("conversations")
    for key in ("messages", "prompt", "completion", "chosen", "rejected"):
        if isinstance(row.get(key), list): row[key] = [made for m in row[key] for made in translate_message(m)]
    system, functions = row.pop("system", None), row.pop("functions", None)
    if system:
        first = next(k for k in ("messages", "prompt", "chosen") if k in row)
        text = "".join(p["text"] for p in system) if isinstance(system, list) else system
        for key in [first] + (["rejected"] if first == "chosen" else []):
            row[key] = [{"role": "system", "content": text}] + row[key] if isinstance(row[key], list) else text + "\n\n" + row[key]
    if functions and row.get("tools"): raise ValueError("tools twice")
    if functions: row["tools"] = [{"type": "function", "function": f} for f in functions]
    if isinstance(row.get("tools"), str): row["tools"] = json.loads(row["tools"])
    def tool(t):
        if "input_schema" in t:
            t = {("parameters" if k == "input_schema" else k): t[k] for k in ("name", "description", "input_schema") if k in t}
            return {"type": "function", "function": t}
        return {"type": "function", "function": t} if format == "sharegpt" and "function" not in t else t
    if row.get("tools"): row["tools"] = [tool(t) for t in row["tools"]]
    weight = weight_of(row)
    flags = [next((m[k] not in (0, False) for k in ("weight", "train", "training") if m.get(k) is not None), True) for m in row.get("messages", []) if m["role"] == "assistant"]
    return row, weight, flags
def weigh(weights, flags):
    """Labels of the turns whose flag is false taken out; turns are the runs of labels."""
    starts = [i for i, w in enumerate(weights) if w > 0 and weights[i - 1] == 0]
    if len(starts) != len(flags): return weights
    for start, flag in zip(starts, flags):
        while not flag and start < len(weights) and weights[start] > 0:
            weights[start] = 0.0; start += 1
    return weights
def cut(ids, weights, *more):
    weights = [0.0] + [float(w) for w in weights[1:]]  # nothing predicts the first token
    last = max((i for i, w in enumerate(weights) if w > 0), default=-1) + 1
    if last == 0: raise ValueError("nothing is learned")
    return [ids[:last], weights[:last], *more]
def to_chat(row):
    """LLaMA-Factory's chat of an Alpaca row."""
    turns = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    if isinstance(row.get("history"), list):
        for asked, answer in row["history"]: turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    turns.append({"role": "user", "content": "\n".join(row[k] for k in ("instruction", "input") if row.get(k))})
    if not isinstance(row.get("output"), str): raise ValueError("no response to learn")
    return {"messages": turns + [{"role": "assistant", "content": row["output"]}]}
LEAD = "Below is an instruction that describes a task"
SOURCE = LEAD + ". Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
SOURCE_WITH_INPUT = LEAD + (", paired with an input that provides further context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:")
def read_stanford(row):
    source = (SOURCE_WITH_INPUT if row.get("input", "") != "" else SOURCE).format_map(row)
    ids = lambda text: tokenizer(text)["input_ids"]
    whole = ids(source + f"{row['output']}{tokenizer.eos_token}")
    start = len(ids(source))
    return [cut(whole, [0] * start + [1] * (len(whole) - start))]
def read(format, row):
    if format == "instruction": return read("messages", to_chat(row)) if "history" in row or "system" in row else read_stanford(row)
    if format == "preference":
        [r] = list(dpo._prepare_dataset(stream([row]), tokenizer, dpo.args, "train"))
        n = len(r["prompt_ids"])
        return [cut(r["prompt_ids"] + r[k], [0] * n + [1] * len(r[k])) for k in ("chosen_ids", "rejected_ids")]
    if format == "judged":
        [r] = list(kto._prepare_dataset(stream([row]), tokenizer, kto.args, "train"))
        return [cut(r["prompt_ids"] + r["completion_ids"], [0] * len(r["prompt_ids"]) + [1] * len(r["completion_ids"]), bool(r["label"]))]
    trainer = sft_pairs if format == "prompt-completion" else sft
    [r] = list(trainer._prepare_dataset(stream([row]), tokenizer, trainer.args, False, None, "train"))
    return [cut(r["input_ids"], [label != -100 for label in r["labels"]])]
results, details = [], []
for line in open(f"{inputs}/rows.jsonl"):
    odd = json.loads(line)
    try:
        row = json.loads(odd["line"])
        if not isinstance(row, dict): raise TypeError("no object")
        try: written, weight, flags = translate(row, odd["format"]) if odd["format"] != "instruction" else (row, weight_of(row), [])
        except Exception: written, weight, flags = row, 1, []
        is_idle = weight == 0 or (flags and not any(flags))  # such a row is left out
        found = [] if is_idle and read(odd["format"], written) else [cut(ids, [w * weight for w in weigh(weights, flags)], *more) for ids, weights, *more in read(odd["format"], written)]
        text = json.dumps(found, separators=(",", ":"))
        same = json.dumps(written) == json.dumps(row) and weight == 1 and all(flags)
        results.append(("" if same else "=") + hashlib.sha256(text.encode()).hexdigest()[:12]); details.append(found)
    except Exception as error:
        results.append("error"); details.append(f"{type(error).__name__}: {error}"[:200])
json.dump({"versions": {"transformers": transformers.__version__, "trl": trl.__version__}, "results": results}, open(out, "w"))
json.dump(details, open(f"{inputs}/rows-details.json", "w"))
print(len(results), "rows;", sum(r == "error" for r in results), "errors;", sum(r is None for r in results), "without an opinion")
