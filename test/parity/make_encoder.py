# A small BERT of random weights with a WordPiece tokenizer, and the vectors that sentence-transformers'
# mean pooling gives texts: test/parity/encoder/. transformers 4.x, torch, tokenizers, safetensors.
import json
import os

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

folder = os.path.join(os.path.dirname(__file__), "encoder")
os.makedirs(folder, exist_ok=True)
torch.manual_seed(0)

letters = "abcdefghijklmnopqrstuvwxyz0123456789?!.,'日本"
pieces = ["the", "play", "##ing", "song", "##s", "##s?", "count", "row", "table", "cafe"]
tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters[:36]), *pieces]
vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
tokenizer = Tokenizer(WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100))
tokenizer.normalizer = BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = BertPreTokenizer()
tokenizer.decoder = WordPieceDecoder()
tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
tokenizer.post_processor = TemplateProcessing(
    single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])]
)
tokenizer.save(os.path.join(folder, "tokenizer.json"))

config = BertConfig(
    vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=40, max_position_embeddings=32, hidden_act="gelu",
)
model = BertModel(config, add_pooling_layer=False).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))

texts = ["Playing songs?", "Count the rows, the TABLE!", "Café 日本 naïve", "a", "☃ unknown", "", "play " * 40]
rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
limit = config.max_position_embeddings - 2
cut = [ids if len(ids) <= limit else ids[: -(-limit // 2)] + ids[-(limit // 2) :] for ids in rows]
full = [[vocab["[CLS]"], *ids, vocab["[SEP]"]] for ids in cut]
vectors = []
with torch.no_grad():
    for ids in full:
        states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        vectors.append(torch.nn.functional.normalize(states.mean(0), dim=0).tolist())

save_file({name: value.contiguous() for name, value in model.state_dict().items()}, os.path.join(folder, "model.safetensors"))
kept = {k: v for k, v in config.to_dict().items() if k in (
    "model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
    "max_position_embeddings", "hidden_act", "layer_norm_eps", "type_vocab_size", "pad_token_id")}
for name, value in {
    "config.json": kept,
    "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "expected.json": {"texts": texts, "ids": full, "vectors": vectors},
}.items():
    with open(os.path.join(folder, name), "w") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.write("\n")
