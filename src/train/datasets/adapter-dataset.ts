// Examples for an adapter: texts for a language model, or vectors for a standalone one, each with a
// quality, a task, a domain and a group. They are stored in columns, as plain values. Data sets are
// immutable; each function returns a new one.

import { DataError, OptionError, ShapeError } from '../../base/errors.ts'
import { createOpaqueField, describeType } from '../../base/opaque-field.ts'
import { type Fields, findOptionProblems, isRecord, number, string } from '../../base/schema.ts'
import { joinFloats } from '../../base/concat.ts'
import type { DataRecord } from '../data/data-format.ts'
import { createDataError, type RawDataset } from '../data/jsonl.ts'

/** Labels of the examples; one entry for each example. */
export interface DatasetLabels {
  /** The weight of each example in training, 0 to 1. [N] */
  readonly quality: Float32Array
  readonly tasks: readonly (string | undefined)[]
  readonly domains: readonly (string | undefined)[]
  /** Examples of one group are always on the same side of a split. */
  readonly groups: readonly (string | undefined)[]
}

/** Rows as `train` takes them. */
export interface TextDataset extends DatasetLabels {
  readonly level: 'text'
  readonly name: string
  readonly rows: readonly DataRecord[]
}

/** Vectors, and the vectors that a standalone adapter should make of them. */
export interface EmbeddingDataset extends DatasetLabels {
  readonly level: 'embedding'
  readonly name: string
  readonly width: number // D
  readonly inputs: Float32Array // [N, D]
  readonly targets: Float32Array // [N, D]
}

export type AdapterDataset = TextDataset | EmbeddingDataset

export interface ExampleLabels {
  /** Default: 1. */
  readonly quality?: number
  readonly task?: string
  readonly domain?: string
  readonly group?: string
}
export interface TextExample extends ExampleLabels {
  /** A row in any format that `train` reads. */
  readonly row: DataRecord
}
export interface EmbeddingExample extends ExampleLabels {
  readonly input: ArrayLike<number> // [D]
  readonly target: ArrayLike<number> // [D]
}

/** Fields that label an example. */
const labelTable = {
  quality: number({ default: 1, from: 0, to: 1, about: 'how much the example counts in training' }),
  task: string(),
  domain: string(),
  group: string({ about: 'examples of one group never stand on both sides of a split' }),
}

const isVector = (value: unknown): boolean =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value)
const vector = createOpaqueField<ArrayLike<number>>('a list of numbers', isVector)

const textExampleTable = {
  ...labelTable,
  row: createOpaqueField<DataRecord>('a row as train reads it', isRecord),
}
const embeddingExampleTable = { ...labelTable, input: vector, target: vector }

/** Throws OptionError that names the function if the value is not a data set of the right level. */
export function requireDataset(
  what: string,
  value: unknown,
  level?: AdapterDataset['level'],
): asserts value is AdapterDataset {
  const found = isRecord(value) ? value['level'] : undefined
  const makers = { text: 'createTextDataset', embedding: 'createEmbeddingDataset' }
  const levels = level ? [level] : (['text', 'embedding'] as const)
  if (levels.some((one) => one === found)) return
  const expected = levels.map((one) => makers[one]).join(' or ')
  const forms = { text: 'a data set of texts', embedding: 'a data set of vectors' }
  const got = forms[found as keyof typeof forms] ?? describeType(value)
  throw new OptionError(`${what}: got ${got}, expected a data set of ${expected}.`)
}

export const countExamples = ({ quality }: DatasetLabels): number => quality.length

function toLabels(examples: readonly ExampleLabels[]): DatasetLabels {
  return {
    quality: Float32Array.from(examples, ({ quality = 1 }) => quality),
    tasks: examples.map(({ task }) => task),
    domains: examples.map(({ domain }) => domain),
    groups: examples.map(({ group }) => group),
  }
}

function checkExamples(
  name: string,
  examples: readonly ExampleLabels[],
  table: Fields,
  required: readonly string[],
  problemOf: (index: number) => string | undefined,
): void {
  if (!Array.isArray(examples))
    throw new DataError(`${name}: got ${describeType(examples)}, expected a list of examples.`)
  const problems = examples.flatMap((example: unknown, i) => {
    const found = isRecord(example)
      ? findExampleProblems(example, table, required)
      : [`got ${describeType(example)}, expected an object`]
    const own = found.every((problem) => problem.startsWith('quality')) ? problemOf(i) : undefined
    if (own !== undefined) found.push(own)
    return found.length > 0 ? [`example ${i + 1}: ${found.join('; ')}`] : []
  })
  if (problems.length > 0)
    throw createDataError(name, 'contains examples that cannot be used', problems)
  if (examples.length === 0) throw new DataError(`${name}: contains no examples.`)
}

function findExampleProblems(
  example: Readonly<Record<string, unknown>>,
  table: Fields,
  required: readonly string[],
): string[] {
  const missing = required.filter((part) => example[part] === undefined)
  const adviceOn = (part: string): string => (part === 'target' ? withoutTarget : '')
  return [
    ...findOptionProblems(example, table),
    ...missing.map(
      (part) => `${part}: got nothing, expected ${table[part]!.expected}${adviceOn(part)}`,
    ),
  ]
}

/** A quality is the weight of a target; without a target there is no direction to learn. */
const withoutTarget =
  ', the vector that input should give; if there is only a rating of an output, learn with MicroLora.adapt(x, { quality })'

/**
 * A data set of texts. Throws one DataError that names every example with a wrong quality, and one
 * if there is none.
 */
export function createTextDataset(name: string, examples: readonly TextExample[]): TextDataset {
  checkExamples(name, examples, textExampleTable, ['row'], () => undefined)
  return { level: 'text', name, rows: examples.map(({ row }) => row), ...toLabels(examples) }
}

const hasOnlyFinite = (values: ArrayLike<number>): boolean =>
  Array.prototype.every.call(values, Number.isFinite)

/**
 * A data set of vectors, copied. Throws one DataError that names every example of another width,
 * with NaN or infinity, or with a wrong quality.
 */
export function createEmbeddingDataset(
  name: string,
  width: number,
  examples: readonly EmbeddingExample[],
): EmbeddingDataset {
  checkExamples(name, examples, embeddingExampleTable, ['input', 'target'], (i) => {
    const { input, target } = examples[i]!
    if (input.length !== width || target.length !== width)
      return `got an input of ${input.length} and a target of ${target.length} numbers, expected ${width} each`
    return hasOnlyFinite(input) && hasOnlyFinite(target) ? undefined : 'contains NaN or infinity'
  })
  const inputs = new Float32Array(examples.length * width)
  const targets = new Float32Array(examples.length * width)
  examples.forEach(({ input, target }, i) => {
    inputs.set(input, i * width)
    targets.set(target, i * width)
  })
  return { level: 'embedding', name, width, inputs, targets, ...toLabels(examples) }
}

/** The examples of these numbers, in this order. */
export function selectExamples<Data extends AdapterDataset>(
  dataset: Data,
  indices: readonly number[],
): Data
export function selectExamples(
  dataset: AdapterDataset,
  indices: readonly number[],
): AdapterDataset {
  const labels: DatasetLabels = {
    quality: Float32Array.from(indices, (i) => dataset.quality[i]!),
    tasks: indices.map((i) => dataset.tasks[i]),
    domains: indices.map((i) => dataset.domains[i]),
    groups: indices.map((i) => dataset.groups[i]),
  }
  if (dataset.level === 'text')
    return { ...dataset, ...labels, rows: indices.map((i) => dataset.rows[i]!) }
  const { width } = dataset
  const inputs = new Float32Array(indices.length * width)
  const targets = new Float32Array(indices.length * width)
  indices.forEach((from, to) => {
    inputs.set(dataset.inputs.subarray(from * width, (from + 1) * width), to * width)
    targets.set(dataset.targets.subarray(from * width, (from + 1) * width), to * width)
  })
  return { ...dataset, ...labels, inputs, targets }
}

/** All examples one after the other. Throws ShapeError if levels or widths differ. */
export function joinDatasets<Data extends AdapterDataset>(
  name: string,
  parts: readonly Data[],
): Data
export function joinDatasets(name: string, parts: readonly AdapterDataset[]): AdapterDataset {
  const forms = new Set(
    parts.map((part) => (part.level === 'text' ? 'text' : `embedding of width ${part.width}`)),
  )
  if (forms.size !== 1)
    throw new ShapeError(
      `${name}: data sets to join must be of one form, got ${[...forms].join(', ') || 'none'}.`,
    )
  const labels: DatasetLabels = {
    quality: joinFloats(parts.map(({ quality }) => quality)),
    tasks: parts.flatMap(({ tasks }) => tasks),
    domains: parts.flatMap(({ domains }) => domains),
    groups: parts.flatMap(({ groups }) => groups),
  }
  const first = parts[0]!
  if (first.level === 'text')
    return {
      ...first,
      name,
      ...labels,
      rows: parts.flatMap((part) => (part.level === 'text' ? part.rows : [])),
    }
  const vectors = parts.filter((part) => part.level === 'embedding')
  return {
    ...first,
    name,
    ...labels,
    inputs: joinFloats(vectors.map(({ inputs }) => inputs)),
    targets: joinFloats(vectors.map(({ targets }) => targets)),
  }
}

/**
 * What `train({ data })` takes: rows with their quality as weight. Examples of quality 0 are left
 * out. `hashSequences`, where given, goes into the metadata of the adapter that is trained. Throws
 * DataError if nothing is left.
 */
export function toTrainingData(dataset: TextDataset, contentHash?: string): RawDataset {
  requireDataset('toTrainingData', dataset, 'text')
  const { name, rows, quality } = dataset as TextDataset
  const kept = rows.flatMap((value, i) =>
    quality[i]! > 0 ? [{ number: i + 1, value, weight: quality[i]! }] : [],
  )
  if (kept.length === 0) throw new DataError(`${name}: has no example with a quality above 0.`)
  return { name, rows: kept, ...(contentHash === undefined ? {} : { contentHash }) }
}
