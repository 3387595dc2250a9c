// The security analyst's data: code with and without a weakness, which is known because it was
// inserted.

import type { Random } from '../../../base/random.ts'
import { drawInteger, isExpectedNumber, isExpectedChoice, addLineNumbers, pick } from './answers.ts'
import type { RoleData, TaskGenerator } from './role-data.ts'

const labels = [
  'sql-injection',
  'command-injection',
  'path-traversal',
  'cross-site-scripting',
  'none',
]

interface Weakness {
  readonly label: string
  /** The dangerous line and its safe form, about a field of the request. */
  readonly unsafe: (field: string) => string
  readonly safe: (field: string) => string
}

const weaknesses: readonly Weakness[] = [
  {
    label: 'sql-injection',
    unsafe: (field) =>
      `const rows = await db.query("SELECT * FROM items WHERE ${field} = '" + ${field} + "'")`,
    safe: (field) =>
      `const rows = await db.query('SELECT * FROM items WHERE ${field} = ?', [${field}])`,
  },
  {
    label: 'command-injection',
    unsafe: (field) => `const out = execSync('convert ' + ${field} + ' out.png')`,
    safe: (field) => `const out = execFileSync('convert', [${field}, 'out.png'])`,
  },
  {
    label: 'path-traversal',
    unsafe: (field) => `const text = readFileSync('/srv/files/' + ${field})`,
    safe: (field) => `const text = readFileSync(join('/srv/files', basename(${field})))`,
  },
  {
    label: 'cross-site-scripting',
    unsafe: (field) => `response.send('<p>' + ${field} + '</p>')`,
    safe: (field) => `response.send('<p>' + escapeHtml(${field}) + '</p>')`,
  },
]

const fields = [
  'name',
  'title',
  'city',
  'color',
  'owner',
  'label',
  'country',
  'author',
  'brand',
  'topic',
]
const fillers = [
  'const started = Date.now()',
  "log.info('request arrived')",
  'const page = 1',
  'const limit = 20',
  'metrics.count++',
  'const user = session.user',
  'const locale = session.locale',
  "response.setHeader('Cache-Control', 'no-store')",
]

/** A handler in lines; which of them is dangerous, from 1, or 0. */
function drawHandler(random: Random): { lines: string[]; weakness: Weakness; dangerous: number } {
  const weakness = pick(random, weaknesses)
  const field = pick(random, fields)
  const isUnsafe = random.uniform() < 0.7
  const before = random.shuffle(fillers).slice(0, drawInteger(random, 1, 3))
  const after = pick(random, fillers)
  const lines = [
    `const ${field} = request.query.${field}`,
    ...before,
    (isUnsafe ? weakness.unsafe : weakness.safe)(field),
    after,
  ]
  return { lines, weakness, dangerous: isUnsafe ? lines.length - 1 : 0 }
}

const weakness: TaskGenerator = {
  name: 'weakness',
  generate(random) {
    const { lines, weakness: found, dangerous } = drawHandler(random)
    const label = dangerous > 0 ? found.label : 'none'
    return {
      prompt: `${lines.join('\n')}\nWhich weakness does this code have? Answer with one of ${labels.join(', ')}.`,
      completion: label,
      facts: { label },
    }
  },
  check: ({ label }, answer) => isExpectedChoice(answer, label, labels),
}

const line: TaskGenerator = {
  name: 'line',
  generate(random) {
    const { lines, dangerous } = drawHandler(random)
    return {
      prompt: `${addLineNumbers(lines)}\nOn which line does input from outside do harm? Answer with its number, or 0 where there is none.`,
      completion: String(dangerous),
      facts: { line: dangerous },
    }
  },
  check: ({ line: expected }, answer) => isExpectedNumber(answer, expected),
}

const secret: TaskGenerator = {
  name: 'secret',
  generate(random) {
    const settings = random.shuffle([
      'port = 8080',
      "region = 'north'",
      'retries = 3',
      'timeout_ms = 500',
      "theme = 'plain'",
      'verbose = true',
    ])
    const lines = settings.slice(0, drawInteger(random, 3, 5))
    const isThere = random.uniform() < 0.75
    const place = random.integer(lines.length + 1)
    const name = pick(random, ['api_key', 'password', 'access_token', 'private_key'])
    const value = isThere
      ? `'${random.uint32().toString(16).padStart(8, '0')}${random.uint32().toString(16)}'`
      : `read_env('${name.toUpperCase()}')`
    lines.splice(place, 0, `${name} = ${value}`)
    return {
      prompt: `${addLineNumbers(lines)}\nWhich line holds a secret that must not be in code? Answer with its number, or 0 where there is none.`,
      completion: String(isThere ? place + 1 : 0),
      facts: { line: isThere ? place + 1 : 0 },
    }
  },
  check: ({ line: expected }, answer) => isExpectedNumber(answer, expected),
}

export const security: RoleData = {
  name: 'security',
  domain: 'security',
  topics: [
    { name: 'vulnerability', quality: [0.8, 1] },
    { name: 'hardening', quality: [0.7, 0.98] },
    { name: 'incident', quality: [0.45, 0.85] },
    { name: 'policy', quality: [0.6, 0.9] },
  ],
  tasks: [weakness, line, secret],
}
