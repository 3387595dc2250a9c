// The prompts that routers are measured on, read from a folder of data sets: nine classes of prompts
// with 100 of each to train on, clinc150 and banking77 in full or so many of each class. The data are
// read where they lie; none is part of the project.

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

function readNine(folder: string): RoutingSet {
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
  return { name: 'nine', train, held: [], test: random(3).shuffle(test).slice(0, 500), foreign }
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

function readClinc(folder: string, each: number): RoutingSet {
  const read = (...files: string[]): RouteExample[] =>
    files.flatMap((file) => readRows(folder, 'clinc150', file).map(toIntent))
  return {
    name: 'clinc150',
    train: limitEach(read('train', 'oos_train'), each),
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
  nine: readNine,
  clinc150: readClinc,
  banking77: readBanking,
}

/** Throws for a folder that is not there and for an unknown set. */
export function readRoutingSet(name: string, folder: string, each: number): RoutingSet {
  const read = readers[name]
  if (!read) throw new Error(`There is no set ${name}: ${Object.keys(readers).join(', ')}.`)
  if (!existsSync(folder)) throw new Error(`GRAFT_BENCH_DATA: ${folder} is no folder.`)
  return read(folder, each)
}
