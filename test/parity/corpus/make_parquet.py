"""Writes Parquet tables of many kinds for the corpus of odd files.

usage: python make_parquet.py OUT_JSON_GZ
needs: pyarrow. OUT_JSON_GZ holds { name: base64 of the file }.
"""
import base64, datetime, decimal, gzip, io, json, sys, pyarrow as pa, pyarrow.parquet as pq
def chat(a, b, **more): return {"messages": [{"role": "user", "content": a}, {"role": "assistant", "content": b}], **more}
pairs = [{"prompt": "Lily:", "completion": " saw 😀."}, {"prompt": "Tom, \"x\":\n", "completion": " \u0000saw."}, {"prompt": "", "completion": "NA"}]
texts = {"text": ["alpha", "beta\r\n", "", "007", "1e5", "true", "null", "zażółć"]}
call = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"order": 2512292042121000001, "ratio": 1.0}}}]
tables = {
    "pairs": (pa.Table.from_pylist(pairs), {}),
    "texts": (pa.table(texts), {}),
    "chats": (pa.Table.from_pylist([chat("a", "b"), chat("c", "d", weight=0.5)]), {}),
    "calls": (pa.Table.from_pylist([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": call}, {"role": "tool", "content": "x"}, {"role": "assistant", "content": "b"}]}]), {}),
    "large strings": (pa.table({"text": pa.array(["alpha", "beta"], pa.large_string())}), {}),
    "dictionary": (pa.table({"text": pa.array(["alpha", "beta", "alpha"]).dictionary_encode()}), {}),
    "no dictionary": (pa.table({"text": ["alpha", "beta", "alpha"]}), dict(use_dictionary=False)),
    "delta": (pa.table({"text": ["alpha", "beta"], "weight": [1.0, 0.5]}), dict(use_dictionary=False, column_encoding={"text": "DELTA_BYTE_ARRAY", "weight": "BYTE_STREAM_SPLIT"})),
    "delta length": (pa.table({"text": ["alpha", "beta"], "id": [1, 7]}), dict(use_dictionary=False, column_encoding={"text": "DELTA_LENGTH_BYTE_ARRAY", "id": "DELTA_BINARY_PACKED"})),
    "page version 2": (pa.Table.from_pylist(pairs), dict(data_page_version="2.0")),
    "row groups": (pa.table({"text": [f"text {i}" for i in range(25)]}), dict(row_group_size=4)),
    "nulls": (pa.Table.from_pylist([{"prompt": "a", "completion": None}, {"prompt": None, "completion": "b"}], pa.schema([("prompt", pa.string()), ("completion", pa.string())])), {}),
    "null column": (pa.table({"text": ["a", "b"], "meta": pa.nulls(2)}), {}),
    "lists": (pa.table({"text": ["a", "b"], "metadata": pa.array([[1, 2], []], pa.list_(pa.int64()))}), {}),
    "nested lists": (pa.table({"text": ["a", "b"], "metadata": [[["x"], []], [[None, "y"]]]}), {}),
    "numbers": (pa.table({"text": ["a", "b"], "id": pa.array([9007199254740993, -1]), "weight": pa.array([1, 0.25], pa.float32()), "meta": pa.array([1, 2], pa.int16())}), {}),
    "booleans": (pa.Table.from_pylist([{"prompt": "a", "completion": "b", "label": True}, {"prompt": "c", "completion": "d", "label": False}]), {}),
    "unsigned": (pa.table({"text": ["a"], "id": pa.array([18446744073709551615], pa.uint64())}), {}),
    "times": (pa.table({"text": ["a"], "timestamp": pa.array([datetime.datetime(2024, 5, 6, 7, 8, 9)], pa.timestamp("ms"))}), {}),
    "decimal": (pa.table({"text": ["a"], "meta": pa.array([decimal.Decimal("1.25")])}), {}),
    "map": (pa.table({"text": ["a"], "metadata": pa.array([[("k", "v")]], pa.map_(pa.string(), pa.string()))}), {}),
    "index": (pa.table({"text": ["a", "b"], "__index_level_0__": [3, 9]}), {}),
    "no rows": (pa.table({"text": pa.array([], pa.string())}), {}),
    "no columns": (pa.table({}), {}),
    **{c: (pa.Table.from_pylist(pairs), dict(compression=c)) for c in ("none", "gzip", "zstd", "brotli", "lz4")},
}
files = {}
for name, (table, options) in tables.items():
    sink = io.BytesIO()
    pq.write_table(table, sink, **{"compression": "snappy", **options})
    files[name] = base64.b64encode(sink.getvalue()).decode()
data = json.dumps({"pyarrow": pa.__version__, "files": files}).encode()
with open(sys.argv[1], "wb") as out: out.write(gzip.compress(data, 9, mtime=0))
print(len(files), "tables")
