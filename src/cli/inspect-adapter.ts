// What graft inspect tells of an adapter: kind, base, settings, tensors, and how large its change is.

import { createHash } from 'node:crypto'
import { sizeOf, type Tensor } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { Adapter } from '../index.ts'
import { loadAdapter } from '../node/adapters.ts'
import { readExpertNotes } from '../node/expert-notes.ts'
import { bytes, count } from './ui/format.ts'
import { table } from './ui/table.ts'
import type { Terminal } from './ui/terminal.ts'

interface TensorLine {
  readonly key: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly sizeBytes: number
  /** Frobenius norm. */
  readonly norm: number
}

export async function inspectAdapter(path: string, { all }: { readonly all: boolean }, terminal: Terminal) {
  const adapter = await loadAdapter(path)
  const notes = await readExpertNotes(path)
  const tensors = [...adapter.tensors].map(([key, tensor]) => lineOf(key, tensor))
  const { peft: _, ...config } = adapter.config
  const result = {
    type: 'adapter',
    path,
    kind: adapter.kind,
    base: adapter.baseModel ?? null,
    system: notes?.system ?? null,
    config,
    parameters: tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0),
    sizeBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    sha256: hashOf(adapter),
    modules: modulesOf(tensors),
    ...(all ? { tensors } : {}),
  }
  show(result, tensors, all, terminal)
  return result
}

function lineOf(key: string, tensor: Tensor): TensorLine {
  const values = toFloat32(tensor)
  let squares = 0
  for (const value of values) squares += value * value
  return { key, dtype: tensor.dtype, shape: tensor.shape, sizeBytes: tensor.data.byteLength, norm: Math.sqrt(squares) }
}

/** Over names, types, shapes and bytes in the order of names: the same adapter has the same hash however its file is laid out. */
function hashOf({ tensors }: Adapter): string {
  const hash = createHash('sha256')
  for (const key of [...tensors.keys()].sort()) {
    const { dtype, shape, data } = tensors.get(key)!
    hash.update(`${JSON.stringify([key, dtype, shape])}\n`)
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  }
  return hash.digest('hex')
}

/** Tensors of the same name and shape in all layers as one line: 'self_attn.q_proj.lora_A.weight', with the mean norm. */
function modulesOf(tensors: readonly TensorLine[]) {
  const groups = new Map<string, TensorLine[]>()
  for (const line of tensors) {
    const name = `${line.key.replace(/^.*\.layers\.\d+\./, '').replace(/^base_model\.model\./, '')} ${line.dtype} [${line.shape.join(', ')}]`
    groups.set(name, [...(groups.get(name) ?? []), line])
  }
  return [...groups.values()].map((lines) => {
    const [first] = lines as [TensorLine]
    const name = first.key.replace(/^.*\.layers\.\d+\./, '').replace(/^base_model\.model\./, '')
    const norms = lines.map(({ norm }) => norm)
    const meanNorm = norms.reduce((sum, norm) => sum + norm, 0) / norms.length
    return { name, dtype: first.dtype, shape: first.shape, count: lines.length, meanNorm, largestNorm: Math.max(...norms) }
  })
}

type Inspected = Awaited<ReturnType<typeof inspectAdapter>>

function show(result: Inspected, tensors: readonly TensorLine[], all: boolean, { print, style }: Terminal): void {
  const { kind, base, system, config, parameters, sizeBytes, sha256, modules } = result
  const settings = Object.entries(config)
    .filter(
      ([, value]: [string, unknown]) =>
        !(value === false || value === 0 || (typeof value === 'object' && Object.keys(value ?? {}).length === 0)),
    )
    .map(([name, value]) => [`  ${name}`, typeof value === 'string' ? value : JSON.stringify(value)])
  print(`${style.strong(result.path)}: a ${kind} adapter for ${base ?? 'a base that it does not name'}`)
  for (const line of table([...settings, ...(system === null ? [] : [['  system message', system]])])) print(line)
  print(`  ${count(parameters)} parameters in ${tensors.length} tensors, ${bytes(sizeBytes)}, sha-256 ${sha256.slice(0, 16)}…`)
  const shapeOf = (shape: readonly number[]): string => `[${shape.join(', ')}]`
  const rows = all
    ? tensors.map(({ key, dtype, shape, norm }) => [`  ${key}`, dtype, shapeOf(shape), '1', norm.toFixed(4), norm.toFixed(4)])
    : modules.map((module) => [
        `  ${module.name}`,
        module.dtype,
        shapeOf(module.shape),
        String(module.count),
        module.meanNorm.toFixed(4),
        module.largestNorm.toFixed(4),
      ])
  for (const line of table([['  tensor', 'type', 'shape', 'count', 'norm', 'largest'], ...rows], ['left', 'left', 'left', 'right', 'right', 'right'])) print(line) // prettier-ignore
}
