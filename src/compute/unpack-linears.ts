// Graph pass: quantizedLinear becomes linear over f32. For runtimes whose product of packed weights
// is slow: on WebAssembly, MatMulNBits at one row takes 23 times as long as a product in f32.

import { type FileTensor, type Tensor } from '../base/tensor.ts'
import type { Attributes, Graph, Value } from '../graph/ir.ts'
import { dequantizeWeight } from '../graph/ops/quantized-linear.ts'
import { prune, rewrite } from '../graph/passes/rewrite.ts'
import { findBlocks, unpackRows } from './lazy-packed.ts'
import { createLazyTensor } from './lazy-tensor.ts'

export interface UnpackedGraph {
  readonly graph: Graph
  /** Those of the packed graph that are still read, and the f32 weights [out, in], made lazily. */
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
}

/** Unpacked weights by name, of graphs that share them. */
export type UnpackedWeights = Map<string, FileTensor>

/**
 * A larger weight is split into several products. While a session is created, each weight is in
 * memory twice (as passed in and as multiplied), and the head of a large vocabulary is a fifth of a
 * small model.
 */
const mostBytesOfPart = 16e6
/** Parts of a multiple of this many columns give the same bits as the whole product. */
const columnsOfPart = 64

/** Rows of a weight that one product multiplies, at most. */
function chooseRows(outFeatures: number, inFeatures: number, mostBytes: number): number {
  if (4 * outFeatures * inFeatures <= mostBytes) return outFeatures
  const rows = Math.floor(mostBytes / (4 * inFeatures * columnsOfPart)) * columnsOfPart
  return Math.max(columnsOfPart, rows)
}

/**
 * Unpacks layers whose packed parts are initializers, in the graph's order, as long as their f32
 * weights fit into `budgetBytes` together; the rest stays packed. Weights in `known` do not count,
 * and new ones are added to it. The product is exact afterwards, also where the packed one computes
 * in int8.
 */
export function unpackLinears(
  graph: Graph,
  initializers: ReadonlyMap<string, Tensor>,
  budgetBytes: number,
  known: UnpackedWeights = new Map(),
  mostBytes = mostBytesOfPart,
): UnpackedGraph {
  const unpacker = new Unpacker(initializers, { budgetBytes, mostBytes, known })
  const unpacked = rewrite(graph, '%u', (g, { operation, inputs: [x, ...parts], attributes }) => {
    if (operation !== 'quantizedLinear') return undefined
    const weights = unpacker.unpack(parts, attributes)
    if (!weights) return undefined
    const products = weights.map(({ file, shape }) =>
      g.op('linear', [x!, g.weight(file, shape)], { module: attributes['module']! }),
    )
    return g.concat(products, x!.shape.length - 1)
  })
  const { weights } = unpacker
  if (weights.size === 0) return { graph, initializers }
  const pruned = prune(unpacked)
  const read = new Set(pruned.inputs.map(({ name }) => name))
  const all: readonly (readonly [string, Tensor | FileTensor])[] = [...initializers, ...weights]
  const kept = all.filter(([name]) => read.has(name))
  return { graph: pruned, initializers: new Map(kept) }
}

/** From the file's blocks where they are known, else from codes, scales and offsets. */
function fillRows(
  parts: readonly Tensor[],
  attributes: Attributes,
  rows: Float32Array,
  firstRow: number,
): void {
  const blocks = findBlocks(parts[0]!)
  if (blocks) return unpackRows(blocks.tensors, rows, firstRow)
  const [codes, scales, offsets] = parts.map(({ data }) => data)
  const held = {
    codes: codes as Uint8Array,
    scales: scales as Float32Array,
    offsets: offsets as Float32Array | undefined,
  }
  dequantizeWeight(held, attributes, rows, firstRow)
}

interface UnpackerOptions {
  readonly budgetBytes: number
  readonly mostBytes: number
  readonly known: UnpackedWeights
}

class Unpacker {
  /** Those that were asked for, by name. */
  readonly weights: UnpackedWeights = new Map()
  readonly #initializers: ReadonlyMap<string, Tensor>
  readonly #options: UnpackerOptions
  #leftBytes: number

  constructor(initializers: ReadonlyMap<string, Tensor>, options: UnpackerOptions) {
    this.#initializers = initializers
    this.#options = options
    this.#leftBytes = options.budgetBytes
  }

  /** Its rows in one or more tensors; undefined: they do not fit, or are fed. */
  unpack(parts: readonly Value[], attributes: Attributes): readonly FileTensor[] | undefined {
    const { known } = this.#options
    const tensors = parts.map(({ name }) => this.#initializers.get(name))
    if (tensors.includes(undefined)) return undefined
    const made = this.#listRows(parts[0]!.name, attributes).map(
      ({ name, shape, firstRow }) =>
        known.get(name) ??
        createLazyTensor(name, shape, {
          fill: (rows) => fillRows(tensors as readonly Tensor[], attributes, rows, firstRow),
          load: async () => findBlocks(tensors[0]!)?.load(),
          release: () => findBlocks(tensors[0]!)?.release(),
        }),
    )
    const added = made.filter(({ file }) => !known.has(file))
    const addedBytes = added.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    if (addedBytes > this.#leftBytes) return undefined
    this.#leftBytes -= addedBytes
    for (const tensor of added) known.set(tensor.file, tensor)
    for (const tensor of made) this.weights.set(tensor.file, tensor)
    return made
  }

  #listRows(codes: string, attributes: Attributes) {
    const outFeatures = Number(attributes['outFeatures'])
    const inFeatures = Number(attributes['inFeatures'])
    const rows = chooseRows(outFeatures, inFeatures, this.#options.mostBytes)
    return Array.from({ length: Math.ceil(outFeatures / rows) }, (_, part) => {
      const firstRow = part * rows
      const count = Math.min(rows, outFeatures - firstRow)
      const name = rows === outFeatures ? `${codes}.f32` : `${codes}.f32.${firstRow}`
      return { name, shape: [count, inFeatures], firstRow }
    })
  }
}
