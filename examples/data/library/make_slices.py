"""Makes the slices of the library's experts from folders of upstream data as JSONL, one folder for each source.

    python3 make_slices.py <folder of data> <passed.json> [name ...]

<passed.json>: MBTSP's tasks with the first solution that passes its tests in the sandbox, which only `coder` needs:
[{"id", "head", "solution", "mm": the first example's call, "mm3": its value, "test"}].
"""

import json, os, random, re, shutil, sys

S, D = sys.argv[1] + '/', os.path.dirname(os.path.abspath(__file__)) + '/'
L = lambda p: [json.loads(l) for l in open(S + p)]
dump = lambda o: json.dumps(o, ensure_ascii=False)


def uniq(rows, key=lambda r: r['prompt']):
    seen = set()
    out = []
    for r in rows:
        k = key(r).lower().strip()
        if k not in seen:
            seen.add(k)
            out.append(r)
    return out


def write(name, train, test, held):
    d = D + name
    os.makedirs(d, exist_ok=True)
    train = uniq(train)
    keys = {r['prompt'].lower().strip() for r in train}
    test = [r for r in uniq(test) if r['prompt'].lower().strip() not in keys][:held]
    for f, rows in (('train', train), ('test', test)):
        with open(f'{d}/{f}.jsonl', 'w') as o:
            for r in rows:
                o.write(dump(r) + '\n')


R = lambda: random.Random(0)


def take(rows, n, rng=None):
    rows = list(rows)
    (rng or R()).shuffle(rows)
    return rows[:n]


def json_format():
    f = lambda x: {'prompt': x['text'].strip(), 'completion': dump(x['json'])}
    short = lambda x: len(x['text']) + len(dump(x['json'])) < 200
    write(
        'json-format',
        [f(x) for x in take(filter(short, L('snips_json/train.jsonl')), 1500)],
        [f(x) for x in take(filter(short, L('snips_json/test.jsonl')), 200)],
        100,
    )


def cols(sql):
    m = re.match(r"SELECT\s+(?:\w+\((\w+)\)|(\w+))\s+FROM t(?:\s+WHERE\s+(.*?))?;?$", sql)
    if not m:
        return None
    c = [m.group(1) or m.group(2)]
    rest = re.sub(r"'(?:[^']|'')*'", "'x'", m.group(3) or '')
    c += re.findall(r'(\w+)\s*[=<>]', rest)
    return list(dict.fromkeys(x.lower() for x in c)) if len(set(c[1:])) == len(c[1:]) else None


def sql():
    rng = R()
    tr = take(L('wikisql/train.jsonl'), 6000, rng)
    te = take(L('wikisql/test.jsonl'), 1500, rng)
    pool = [c for x in tr for c in (cols(x['sql']) or [])]

    def f(x):
        c = cols(x['sql'])
        if not c or len(x['question']) > 110 or len(x['sql']) > 130 or max(map(len, c)) > 18:
            return None
        d = []
        while len(d) < 3:
            p = rng.choice(pool)
            if len(p) <= 14 and p not in c and p not in d and not any(p in a or a in p for a in c):
                d.append(p)
        a = c + d
        rng.shuffle(a)
        return {
            'prompt': f"t({', '.join(a)})\n{x['question'].strip()}",
            'completion': x['sql'].rstrip(';').strip(),
        }

    ok = lambda rows, n: [r for r in map(f, rows) if r][:n]
    write('sql', ok(tr, 1500), ok(te, 200), 100)


def classification():
    rng = R()
    clinc = lambda p, n: [
        {'prompt': 'intent: ' + x['text'], 'completion': x['intent']}
        for x in take([x for x in L('clinc150/' + p) if x['domain'] == 'banking'], n, rng)
    ]
    names = {
        'ABBR': 'abbreviation',
        'DESC': 'description',
        'ENTY': 'entity',
        'HUM': 'human',
        'LOC': 'location',
        'NUM': 'number',
    }
    trec = lambda p, n: [
        {
            'prompt': 'question type (' + ', '.join(names.values()) + '): ' + x['text'],
            'completion': names[x['label']],
        }
        for x in take(L('trec/' + p), n, rng)
    ]
    sst = lambda p, n: [
        {'prompt': 'sentiment (positive, negative): ' + x['text'], 'completion': x['label']}
        for x in take([x for x in L('sst2/' + p) if len(x['text']) < 140], n, rng)
    ]
    tr = clinc('train.jsonl', 600) + trec('train.jsonl', 500) + sst('train.jsonl', 500)
    te = clinc('test.jsonl', 70) + trec('test.jsonl', 70) + sst('test.jsonl', 60)
    rng.shuffle(tr)
    rng.shuffle(te)
    write('classification', tr, te, 120)


def cypher():
    rows = [
        x
        for x in L('text2cypher/gpt4turbo.jsonl') + L('text2cypher/claudeopus.jsonl')
        if x['database'] == 'recommendations'
        and x['returns_results'] == 'True'
        and len(x['question']) < 90
        and len(re.sub(r'\s+', ' ', x['cypher'])) < 112
    ]
    rows = uniq(
        [
            {'prompt': x['question'].strip(), 'completion': re.sub(r'\s+', ' ', x['cypher']).strip()}
            for x in rows
        ]
    )
    rows = take(rows, 2000)
    write('cypher', rows[80:], rows[:80], 80)


def sig(fn):
    p = fn['parameters']
    req = set(p.get('required', []))
    out = []
    for n, s in p['properties'].items():
        t = {'dict': 'object', 'float': 'number', 'tuple': 'array', 'any': 'string'}.get(s['type'], s['type'])
        if 'enum' in s:
            t = ' | '.join(dump(e) for e in s['enum'])
        elif t == 'array':
            t = (
                {'dict': 'object', 'float': 'number'}.get(
                    (s.get('items') or {}).get('type', 'string'), (s.get('items') or {}).get('type', 'string')
                )
            ) + '[]'
        out.append(f"{n}{'' if n in req else '?'}: {t}")
    return f"{fn['name']}({', '.join(out)})"


def tools():
    rows = []
    for p in ('simple_python', 'live_simple', 'multiple', 'live_multiple'):
        for x in L(f'bfcl/{p}.jsonl'):
            if len(x['question']) != 1 or len(x['question'][0]) != 1 or len(x['answer']) != 1:
                continue
            a = x['answer'][0]
            ((name, args),) = a.items()
            call = {k: v[0] for k, v in args.items() if v and '' not in v}

            def plain(v):
                if isinstance(v, dict):
                    return (
                        {k: plain(w[0]) for k, w in v.items() if isinstance(w, list) and w and '' not in w}
                        if all(isinstance(w, list) for w in v.values())
                        else v
                    )
                if isinstance(v, list):
                    return [plain(w) for w in v]
                return v

            call = {k: plain(v) for k, v in call.items()}
            try:
                s = '\n'.join(sig(f) for f in x['function'])
            except Exception:
                continue
            q = x['question'][0][0]['content'].strip()
            r = {
                'prompt': s + '\n' + q,
                'completion': dump({'name': name, 'arguments': call}),
                'accepts': x['answer'],
            }
            if len(r['prompt']) < 430 and len(r['completion']) < 220:
                rows.append(r)
    rows = take(uniq(rows), 5000)
    # rows about one function stay on one side
    fnof = lambda r: json.loads(r['completion'])['name']
    names = sorted({fnof(r) for r in rows})
    R().shuffle(names)
    te = []
    held = set()
    for n in names:
        mine = [r for r in rows if fnof(r) == n][:3]
        if len(te) < 150:
            te += mine
            held.add(n)
    tr = [{k: r[k] for k in ('prompt', 'completion')} for r in rows if fnof(r) not in held]
    te = [{k: r[k] for k in ('prompt', 'completion', 'accepts')} for r in te][:150]
    write('tools', tr, te, 80)


def style():
    t = open(S + 'tinyshakespeare/input.txt').read()
    sp = [s.strip() for s in t.split('\n\n')]
    rows = []
    for i in range(1, len(sp)):
        a, b = sp[i - 1], sp[i]
        if 20 < len(a) < 160 and 60 < len(b) < 240 and ':\n' in a and ':\n' in b:
            rows.append((i, {'prompt': 'As in a play by Shakespeare, go on:\n' + a, 'completion': b}))
    tr = [r for i, r in rows if i < len(sp) * 0.85]
    te = [r for i, r in rows if i >= len(sp) * 0.85]
    g = [
        {
            'prompt': x['instruction'].strip() + (('\n' + x['input'].strip()) if x['input'].strip() else ''),
            'completion': x['response'].strip(),
        }
        for x in L('gpteacher/roleplay.jsonl')
    ]
    g = take(uniq([r for r in g if len(r['prompt']) < 220 and 60 < len(r['completion']) < 320]), 1000)
    a = take(tr, 600) + g[60:360]
    b = take(te, 90) + g[:60]
    R().shuffle(a)
    R().shuffle(b)
    write('style', a, b, 80)


def security():
    rng = R()
    keep = [
        'CWE-338',
        'CWE-120',
        'CWE-78',
        'CWE-807',
        'CWE-680',
        'CWE-798',
        'CWE-502',
        'CWE-95',
        'CWE-89',
        'CWE-94',
        'CWE-327',
        'CWE-328',
        'CWE-676',
        'CWE-611',
    ]
    rows = [
        {'prompt': x['language'] + '\n' + x['line'].strip()[:200], 'completion': x['cwe']}
        for x in L('cyberseceval_instruct/all.jsonl')
        if x['cwe'] in keep and 8 < len(x['line'].strip())
    ]
    sv = []
    for p in ('train', 'val'):
        for x in L(f'sven/{p}.jsonl'):
            if len(x['vuln']) < 420:
                sv.append(
                    {
                        'prompt': ('python' if x['file'].endswith('.py') else 'c')
                        + '\n'
                        + x['vuln'].replace('\r', '').strip(),
                        'completion': 'CWE-' + str(int(x['cwe'][4:])),
                    }
                )
    rows = take(uniq(rows), 3000, rng)
    sv = take(uniq(sv), 400, rng)
    a = rows[140:] + sv[40:]
    b = rows[:140] + sv[:40]
    rng.shuffle(a)
    rng.shuffle(b)
    write('security', a, b, 100)


def researcher():
    f = lambda x: {
        'prompt': x['question'].strip() + '\n' + x['long_answer'].strip()[:400],
        'completion': x['answer'],
    }
    write(
        'researcher',
        [f(x) for x in take(L('pubmedqa/train.jsonl'), 500)],
        [f(x) for x in take(L('pubmedqa/test.jsonl'), 200)],
        100,
    )


def reviewer():
    rng = R()

    def f(x):
        c = re.sub(r'!\[.*?\]\(.*?\)|<!--.*?-->|https?://\S+', '', x['comment'], flags=re.S).strip()[:240]
        code = '\n'.join(l for l in x['code'].split('\n') if l[:1] in '+-')[:160]
        return {
            'prompt': 'category (refactoring, discussion, functional, documentation):\n' + code + '\n' + c,
            'completion': x['category'],
        }

    ok = lambda x: x['category'] != 'false positive' and len(x['comment'].strip()) > 10
    a = [f(x) for x in take(filter(ok, L('code_review_py/train.jsonl')), 850, rng)]
    b = [f(x) for x in take(filter(ok, L('code_review_py/test.jsonl')), 140, rng)]
    q = [
        {
            'prompt': 'needs a comment (yes, no):\n' + x['patch'].strip(),
            'completion': 'yes' if x['y'] else 'no',
        }
        for x in L('codereviewer_small/quality_cls.jsonl')
        if len(x['patch']) < 420
    ]
    q = take(q, 120, rng)
    a += q[30:]
    b += q[:30]
    rng.shuffle(a)
    rng.shuffle(b)
    write('reviewer', a, b, 100)


def architect():
    rng = R()
    N = [
        'web',
        'auth',
        'cart',
        'orders',
        'billing',
        'search',
        'mail',
        'stock',
        'users',
        'cache',
        'queue',
        'db',
        'files',
        'reports',
        'gateway',
        'chat',
        'maps',
        'audit',
    ]
    need = [
        ('results may be a minute old and are asked for very often', 'cache'),
        ('the same page is read a thousand times for each change', 'cache'),
        ('readers far outnumber writers and a copy may lag a little', 'replica'),
        ('one database answers all reads and is at its limit', 'replica'),
        ('the data outgrows the disk of one machine', 'shard'),
        ('writes of many tenants are too many for one machine', 'shard'),
        ('work may be done later and must not be lost', 'queue'),
        ('mails are sent after the answer, and a crash must not lose them', 'queue'),
        ('images are fetched from all over the world', 'cdn'),
        ('static files load slowly on other continents', 'cdn'),
        ('one caller sends far too many requests', 'rate limiter'),
        ('a client retries in a loop and drowns the others', 'rate limiter'),
        ('requests must be spread over several equal machines', 'load balancer'),
        ('two instances run, and only one gets requests', 'load balancer'),
        ('a failing dependency makes callers wait', 'circuit breaker'),
        ('calls to a dead service pile up', 'circuit breaker'),
    ]

    def order():
        n = rng.randint(3, 4)
        s = rng.sample(N, n)
        pairs = [f'{a} needs {b}' for a, b in zip(s, s[1:])]
        rng.shuffle(pairs)
        return {'prompt': 'start order: ' + '; '.join(pairs), 'completion': ', '.join(reversed(s))}

    def size():
        per = rng.choice([50, 100, 200, 250, 500])
        k = rng.randint(2, 9)
        spare = rng.randint(0, 2)
        load = per * k
        return {
            'prompt': f'instances: {load} requests/s, {per} each, {spare} spare',
            'completion': str(k + spare),
        }

    def part():
        w, p = rng.choice(need)
        return {'prompt': f'component: {rng.choice(N)} service, {w}', 'completion': p}

    def down():
        n = 4
        s = rng.sample(N, n)
        edges = [(s[0], s[1]), (s[1], s[2])]
        other = (s[3], rng.choice(s[1:3]))
        edges.append(other)
        f = rng.choice(s[1:3])
        need = {}
        [need.setdefault(a, []).append(b) for a, b in edges]

        def hit(a):
            return a == f or any(hit(b) for b in need.get(a, []))

        e = [f'{a} needs {b}' for a, b in edges]
        rng.shuffle(e)
        return {
            'prompt': f'{f} fails; down: ' + '; '.join(e),
            'completion': ', '.join(sorted(a for a in s if hit(a))),
        }

    make = lambda n: [rng.choice([order, size, part, down])() for _ in range(n)]
    write('architect', make(1400), make(420)[:400], 100)


def coder():
    tasks = {x['task_id']: x for x in L('mxeval_typescript/mbtsp.jsonl')}
    rows = []
    for x in json.load(open(sys.argv[2])):
        p = tasks[x['id']]['prompt']
        m = re.search(r'\* ([^\n]*\b[Ww]rite a[^\n]*)', p)
        if not m:
            continue
        about = re.sub(r'^Write a (typescript )?function (to |that )?', '', m.group(1).strip(), flags=re.I)
        head = x['head']
        test = (
            '\n'.join(l for l in x['test'].split('\n') if l.strip())
            .replace(', "Exception --- test case 0 failed to pass"', '')
            .replace(', "Exception --- test case 1 failed to pass"', '')
            .replace(', "Exception --- test case 2 failed to pass"', '')
        )
        ex = (
            f"{x['mm']} -> {x['mm3']}"
            if x.get('mm') and len(x['mm']) < 60 and x.get('mm3') and len(x['mm3']) < 30
            else ''
        )
        r = {'prompt': f"// {about}{chr(10)+'// '+ex if ex else ''}\n{head}", 'id': x['id'], 'test': test}
        if x.get('solution'):
            r['completion'] = (
                head + '\n  ' + re.sub(r'\n\s*\n', '\n', x['solution'].replace('\t', '  ').strip())
            )
        rows.append(r)
    rows = take(rows, 2000)
    ok = [r for r in rows if 'completion' in r]
    te = ok[:100]
    tr = [
        {k: r[k] for k in ('prompt', 'completion')}
        for r in ok[100:]
        if len(r['completion']) + len(r['prompt']) < 620
    ]
    write('coder', tr, [{k: r[k] for k in ('prompt', 'completion', 'test')} for r in te], 50)


NAMES = (
    'json-format sql classification cypher tools style coder security researcher reviewer architect'.split()
)
for n in sys.argv[3:] or NAMES:
    globals()[n.replace('-', '_')]()
