"""What pandas, pyarrow and datasets read from the odd files of the corpus, or that they refuse.

usage: python make_files.py INPUTS_DIR OUT_JSON
INPUTS_DIR is what write-inputs.ts wrote. needs: datasets, pandas, pyarrow (versions are written to OUT_JSON)

JSON and Parquet go through datasets.load_dataset; CSV through pandas.read_csv, which datasets calls, with every cell as text.
A result is a hash of the rows: keys sorted, keys without a value left out, numbers with 12 digits; or "error".
"""
import contextlib, datetime, decimal, gzip, hashlib, io, json, math, os, sys, tempfile, datasets, pandas, pyarrow
inputs, out = sys.argv[1], sys.argv[2]
datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)
def number(x):
    if isinstance(x, int): return str(x)
    if math.isfinite(x) and x == int(x) and abs(x) < 1e15: return str(int(x))
    digits, power = f"{x:.11e}".split("e") if math.isfinite(x) else (str(x), "0")
    return f"{digits}e{int(power)}"
def plain(x):
    """The value with numbers as texts and keys without a value left out."""
    if isinstance(x, bool) or x is None or isinstance(x, str): return x
    if isinstance(x, (int, float)): return "#" + number(x)
    if isinstance(x, decimal.Decimal): return "#" + number(float(x))
    if isinstance(x, datetime.datetime): return x.isoformat(timespec="milliseconds") + "Z"
    if isinstance(x, (list, tuple)): return [plain(i) for i in x]
    if isinstance(x, dict): return {k: plain(x[k]) for k in sorted(x) if x[k] is not None}
    raise TypeError(type(x).__name__)
def read_table(path, separator):
    frame = pandas.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    frame.columns = ["__index_level_0__" if c.startswith("Unnamed: ") else c for c in frame.columns]
    return frame.to_dict("records")
def read(path):
    bare = path[:-3] if path.endswith(".gz") else path
    if bare.endswith(".csv"): return read_table(path, ",")
    if bare.endswith(".tsv"): return read_table(path, "\t")
    kind = "parquet" if bare.endswith(".parquet") else "json"
    with tempfile.TemporaryDirectory() as cache:
        return list(datasets.load_dataset(kind, data_files=path, cache_dir=cache, split="train"))
results, details = [], []
for file in json.load(open(f"{inputs}/files.json")):
    if file["name"].endswith(".zst"):
        results.append(None); details.append(None); continue
    try:
        rows = [plain(row) for row in read(os.path.join(inputs, "files", file["name"]))]
        if not rows: raise ValueError("no rows")
        text = json.dumps(rows, separators=(",", ":"), ensure_ascii=True)
        results.append(hashlib.sha256(text.encode()).hexdigest()[:12]); details.append(rows)
    except Exception as error:
        results.append("error"); details.append(f"{type(error).__name__}: {error}"[:200])
json.dump({"versions": {"datasets": datasets.__version__, "pandas": pandas.__version__, "pyarrow": pyarrow.__version__}, "results": results}, open(out, "w"))
json.dump(details, open(f"{inputs}/files-details.json", "w"))
print(len(results), "files;", sum(r == "error" for r in results), "errors;", sum(r is None for r in results), "without an opinion")
