// The prompts that routers are measured on, read from a folder of data sets: nine classes of
// prompts with 100 of each to train on and prompts of other worlds, clinc150 and banking77 in full
// or so many of each class. The data are read where they lie; none is part of the project.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { random } from '../../../src/base/random.ts'
import type { RouteExample } from '../../../src/route/router.ts'

export interface RoutingSet {
  readonly name: string
  readonly train: readonly RouteExample[]
  /** For calibration; empty: a part of `train`. */
  readonly held: readonly RouteExample[]
  readonly test: readonly RouteExample[]
  /** Prompts of another world, which all should be refused. */
  readonly foreign: readonly RouteExample[]
}

type Row = Readonly<Record<string, string>>

/**
 * Questions and requests to assistants, reviews, puzzles: none of the nine classes, nor clinc150.
 */
const foreignSources: readonly (readonly [string, string, number, (row: Row) => string])[] = [
  ...['live_multiple', 'live_simple', 'multiple', 'simple_python'].map(
    (file) => ['bfcl', file, 250, findQuestion] as const,
  ),
  ['banking77', 'train', 300, (row) => row['text']!],
  ['gpteacher', 'roleplay', 200, (row) => row['instruction']!],
  ['sst2', 'train', 100, (row) => row['text']!],
  ['bbh', 'all', 100, (row) => row['input']!],
]

/** bfcl: turns of messages, of which the user's last one in the first turn asks. */
function findQuestion(row: Row): string {
  const [turn] = row['question'] as unknown as { role: string; content: string }[][]
  return turn!.findLast(({ role }) => role === 'user')?.content ?? ''
}

function readRows(folder: string, set: string, file: string): Row[] {
  const text = readFileSync(join(folder, set, `${file}.jsonl`), 'utf8')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Row)
}

/** Classes of prompts: name, data sets, files, and how a row becomes a prompt. */
const classes: readonly (readonly [string, readonly [string, string][], (row: Row) => string])[] = [
  ['json', [['snips_json', 'train']], (row) => row['text']!],
  ['sql', [['wikisql', 'train']], (row) => row['question']!],
  ['cypher', [['text2cypher', 'claudeopus']], (row) => row['question']!],
  ['typescript', [['mxeval_typescript', 'mbtsp']], (row) => row['prompt']!],
  [
    'security',
    [
      ['sven', 'train'],
      ['cyberseceval_instruct', 'all'],
    ],
    (row) => row['vuln'] ?? row['code']!,
  ],
  ['review', [['code_review_py', 'train']], (row) => row['code']!],
  [
    'medicine',
    [
      ['pubmedqa', 'train'],
      ['pubmedqa', 'test'],
    ],
    (row) => row['question']!,
  ],
  ['trivia', [['trec', 'train']], (row) => row['text']!],
  ['maths', [['gsm8k', 'train']], (row) => row['question']!],
]

/** Words as a set, for finding near-duplicates. */
const toKey = (text: string): string =>
  [...new Set(text.toLowerCase().match(/\p{L}+/gu) ?? [])].toSorted().join(' ')

/** Prompts without those whose words are another's. */
function removeNearDuplicates(texts: readonly string[]): string[] {
  const seen = new Map(texts.map((text) => [toKey(text), text]))
  return [...seen.values()].filter((text) => text.trim() !== '')
}

const mostCharacters = 400

type ForeignReader = (folder: string) => string[]

const readForeign = (folder: string, isWanted = (_set: string) => true): string[] =>
  foreignSources
    .filter(([set]) => isWanted(set))
    .flatMap(([set, file, count, toText]) => {
      const texts = readRows(folder, set, file).map((row) => toText(row).slice(0, mostCharacters))
      return random(5).shuffle(removeNearDuplicates(texts)).slice(0, count)
    })

/** Of the world that is refused in the test: what a router can do that has met it. */
const readClincTraining: ForeignReader = (folder) =>
  random(5)
    .shuffle(readRows(folder, 'clinc150', 'train'))
    .slice(0, 1000)
    .map((row) => row['text']!)

function readNine(folder: string, name: string, readOthers: ForeignReader): RoutingSet {
  const train: RouteExample[] = []
  const test: RouteExample[] = []
  for (const [expert, sources, toText] of classes) {
    const texts = sources.flatMap(([set, file]) =>
      readRows(folder, set, file).map((row) => toText(row).slice(0, mostCharacters)),
    )
    const order = random(1).shuffle(removeNearDuplicates(texts))
    const toExample = (text: string): RouteExample => ({ text, expert })
    train.push(...order.slice(0, 100).map(toExample))
    test.push(...order.slice(100, 156).map(toExample))
  }
  const foreign = random(2)
    .shuffle(readRows(folder, 'clinc150', 'test'))
    .slice(0, 300)
    .map((row) => ({ text: row['text']!, expert: undefined }))
  const met = new Set(foreign.map(({ text }) => toKey(text)))
  const others = readOthers(folder)
    .filter((text) => !met.has(toKey(text)))
    .map((text) => ({ text, expert: undefined }))
  return {
    name,
    train: [...train, ...others],
    held: [],
    test: random(3).shuffle(test).slice(0, 500),
    foreign,
  }
}

const toIntent = (row: Row): RouteExample => ({
  text: row['text']!,
  expert: row['intent'] === 'oos' ? undefined : row['intent']!,
})

/** So many of each class. */
function limitEach(rows: readonly RouteExample[], each: number): RouteExample[] {
  const counts = new Map<string | undefined, number>()
  return random(1)
    .shuffle(rows)
    .filter(({ expert }) => {
      const count = (counts.get(expert) ?? 0) + 1
      counts.set(expert, count)
      return count <= each
    })
}

/** `others`: prompts of other worlds that are trained on too. */
function readClinc(folder: string, each: number, others: readonly string[] = []): RoutingSet {
  const read = (...files: string[]): RouteExample[] =>
    files.flatMap((file) => readRows(folder, 'clinc150', file).map(toIntent))
  return {
    name: others.length > 0 ? 'clinc150 with others' : 'clinc150',
    train: [
      ...limitEach(read('train', 'oos_train'), each),
      ...others.map((text) => ({ text, expert: undefined })),
    ],
    held: limitEach(read('val', 'oos_val'), Math.max(1, Math.ceil(each / 5))),
    test: each === Infinity ? read('test', 'oos_test') : limitEach(read('test', 'oos_test'), 4),
    foreign: [],
  }
}

function readBanking(folder: string, each: number): RoutingSet {
  const read = (file: string): RouteExample[] => readRows(folder, 'banking77', file).map(toIntent)
  const test = read('test')
  return {
    name: 'banking77',
    train: limitEach(read('train'), each),
    held: [],
    test: each === Infinity ? test : limitEach(test, 5),
    foreign: [],
  }
}

const readers: Readonly<Record<string, (folder: string, each: number) => RoutingSet>> = {
  nine: (folder) => readNine(folder, 'nine', readForeign),
  'nine-alone': (folder) => readNine(folder, 'nine without others', () => []),
  'nine-clinc150': (folder) => readNine(folder, 'nine with clinc150', readClincTraining),
  clinc150: readClinc,
  'clinc150-others': (folder, each) =>
    readClinc(
      folder,
      each,
      readForeign(folder, (set) => set !== 'banking77'),
    ),
  banking77: readBanking,
}

/** Throws for a folder that is not there and for an unknown set. */
export function readRoutingSet(name: string, folder: string, each: number): RoutingSet {
  const read = readers[name]
  if (!read) throw new Error(`There is no set ${name}: ${Object.keys(readers).join(', ')}.`)
  if (!existsSync(folder)) throw new Error(`GRAFT_BENCH_DATA: ${folder} is no folder.`)
  return read(folder, each)
}
