// Data sets of examples as files: texts as JSONL, whose labels are under "meta"; vectors as
// safetensors. And their content hash.

import { FormatError, NotFoundError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import type { ByteFolder, ByteSink } from '../../formats/byte-source.ts'
import { createMemorySource } from '../../formats/memory-source.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import { encodeSafetensors } from '../../formats/safetensors/writer.ts'
import {
  type AdapterDataset,
  type EmbeddingDataset,
  type ExampleLabels,
  countExamples,
  createTextDataset,
  type TextDataset,
} from './adapter-dataset.ts'
import type { DataRecord } from '../data/data-format.ts'
import { createDataError, parseJsonl } from '../data/jsonl.ts'

const labelNames = ['tasks', 'domains', 'groups'] as const
const vectorsFormat = 'graft-examples'

const isRecord = (value: unknown): value is DataRecord =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A row with its labels under "meta", in addition to the row's own keys there. */
function encodeLine({ rows, quality, tasks, domains, groups }: TextDataset, i: number): string {
  const { meta, ...row } = rows[i]!
  const labels = { quality: quality[i]!, task: tasks[i], domain: domains[i], group: groups[i] }
  return `${JSON.stringify({ ...row, meta: { ...(isRecord(meta) ? meta : {}), ...labels } })}\n`
}

/** Labels as numbers, −1 for none, and their texts. */
function encodeLabels(labels: readonly (string | undefined)[]): { codes: Tensor; names: string[] } {
  const names = [...new Set(labels.filter((label) => label !== undefined))]
  const numbers = new Map(names.map((name, i) => [name, i]))
  const data = Int32Array.from(labels, (label) => (label === undefined ? -1 : numbers.get(label)!))
  return { codes: { dtype: 'i32', shape: [labels.length], data }, names }
}

function encodeVectors(dataset: EmbeddingDataset): Iterable<Uint8Array> {
  const { inputs, targets, quality, width } = dataset
  const count = countExamples(dataset)
  const labels = labelNames.map((name) => [name, encodeLabels(dataset[name])] as const)
  const tensors = new Map<string, Tensor>([
    ['inputs', f32([count, width], inputs)],
    ['targets', f32([count, width], targets)],
    ['quality', f32([count], quality)],
    ...labels.map(([name, { codes }]) => [name, codes] as const),
  ])
  const names = Object.fromEntries(
    labels.map(([name, label]) => [name, JSON.stringify(label.names)]),
  )
  return encodeSafetensors(tensors, { format: vectorsFormat, ...names })
}

/** The file's bytes in pieces: JSONL for texts, safetensors for vectors. */
export function encodeDataset(dataset: AdapterDataset): Iterable<Uint8Array> {
  if (dataset.level === 'embedding') return encodeVectors(dataset)
  const text = dataset.rows.map((_, i) => encodeLine(dataset, i)).join('')
  return [new TextEncoder().encode(text)]
}

/** Writes a data set atomically to this path: '….jsonl' for texts, '….safetensors' for vectors. */
export const saveDataset = (dataset: AdapterDataset, sink: ByteSink, path: string): Promise<void> =>
  sink.write(path, encodeDataset(dataset))

/**
 * Reads what saveDataset wrote; any JSONL of rows is a data set too. Throws NotFoundError,
 * FormatError, DataError naming every bad row.
 */
export async function loadDataset(folder: ByteFolder, path: string): Promise<AdapterDataset> {
  const source = await folder.open(path)
  if (!source) throw new NotFoundError(`${folder.name}: has no ${path}.`)
  try {
    return await readDataset(await source.read(0, source.sizeBytes), source.name)
  } finally {
    await source.close?.()
  }
}

/**
 * The data set in a file's bytes. A safetensors file begins with its header's length, whose last
 * bytes are zeros; a text never begins so.
 */
export async function readDataset(bytes: Uint8Array, name: string): Promise<AdapterDataset> {
  return bytes.length > 8 && bytes[7] === 0 ? readVectors(bytes, name) : readTexts(bytes, name)
}

const labelKeys = { quality: 'number', task: 'string', domain: 'string', group: 'string' } as const

function readTexts(bytes: Uint8Array, name: string): TextDataset {
  const { rows } = parseJsonl(new TextDecoder().decode(bytes), name)
  const problems: string[] = []
  const examples = rows.map(({ number, value }) => {
    const { meta, ...rest } = value
    const { quality, task, domain, group, ...others } = isRecord(meta) ? meta : {}
    const labels = Object.fromEntries(
      Object.entries({ quality, task, domain, group }).filter(
        ([, label]) => label !== undefined && label !== null,
      ),
    )
    for (const [key, label] of Object.entries(labels)) {
      const expected = labelKeys[key as keyof typeof labelKeys]
      if (typeof label !== expected)
        problems.push(
          `row ${number}: meta.${key} must be a ${expected}, got ${JSON.stringify(label)}`,
        )
    }
    const row =
      isRecord(meta) && Object.keys(others).length === 0
        ? rest
        : { ...rest, ...(meta === undefined ? {} : { meta: isRecord(meta) ? others : meta }) }
    return { row, ...(labels as ExampleLabels) }
  })
  if (problems.length > 0) throw createDataError(name, 'contains labels of a wrong type', problems)
  return createTextDataset(name, examples)
}

async function readVectors(bytes: Uint8Array, name: string): Promise<EmbeddingDataset> {
  const store = await openSafetensors(createMemorySource(name, bytes))
  const [count = 0, width = 0] = store.tensors.get('inputs')?.shape ?? []
  const expected = {
    inputs: `f32 ${count},${width}`,
    targets: `f32 ${count},${width}`,
    quality: `f32 ${count}`,
  }
  const needed = {
    ...expected,
    ...Object.fromEntries(labelNames.map((label) => [label, `i32 ${count}`])),
  }
  const problems = Object.entries(needed).flatMap(([tensor, form]) => {
    const info = store.tensors.get(tensor)
    const got = info ? `${info.dtype} ${info.shape.join(',')}` : 'nothing'
    return got === form ? [] : [`${tensor}: got ${got}, expected ${form}`]
  })
  if (count === 0 || width === 0) problems.push('inputs must be [examples, width], both at least 1')
  if (problems.length > 0)
    throw new FormatError(`${name}: is not a data set of vectors:\n  ${problems.join('\n  ')}`)
  const floats = async (tensor: string): Promise<Float32Array> =>
    (await store.read(tensor)).data as Float32Array
  const labels = await Promise.all(
    labelNames.map(async (label) => {
      const names = JSON.parse(String(store.metadata[label] ?? '[]')) as string[]
      const codes = (await store.read(label)).data as Int32Array
      return [label, Array.from(codes, (code) => names[code])] as const
    }),
  )
  const columns = Object.fromEntries(labels) as Record<
    (typeof labelNames)[number],
    (string | undefined)[]
  >
  const inputs = await floats('inputs')
  const targets = await floats('targets')
  const quality = await floats('quality')
  const bad = [inputs, targets, quality].some((values) => !values.every(Number.isFinite))
  if (bad) throw new FormatError(`${name}: contains NaN or infinity.`)
  return { level: 'embedding', name, width, inputs, targets, quality, ...columns }
}

/**
 * SHA-256 of everything but the name, in hexadecimal: equal for equal examples in the same order.
 */
export async function hashDataset(dataset: AdapterDataset): Promise<string> {
  const chunks = [...encodeDataset(dataset)] as Uint8Array<ArrayBuffer>[]
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', whole))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
