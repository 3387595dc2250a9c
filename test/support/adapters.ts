// What the tests of adapters share: small real bases with their weights, PEFT's reference files,
// and a runner on ONNX Runtime.

import { readFile } from 'node:fs/promises'
import * as onnxRuntime from 'onnxruntime-node'
import { f32, i64, type F32Tensor, type Tensor } from '../../src/base/tensor.ts'
import { createOnnxRuntimeBackend } from '../../src/compute/onnxruntime.ts'
import type { ByteFolder, ByteSink } from '../../src/formats/byte-source.ts'
import { toFloat32 } from '../../src/formats/convert.ts'
import { createMemorySource } from '../../src/formats/memory-source.ts'
import { openSafetensors } from '../../src/formats/safetensors/reader.ts'
import { ACTIVE, findActivationStart, computeActiveFeed } from '../../src/adapters/activation.ts'
import { toAdapterFeeds, listVirtualIds, type Adapter } from '../../src/adapters/adapter.ts'
import { buildModelGraph } from '../../src/graph/build-model.ts'
import { collectModelFeeds } from '../../src/graph/feeds.ts'
import { toGradientName, withGradients } from '../../src/graph/passes/gradient.ts'
import type { Graph, GraphInput } from '../../src/graph/ir.ts'
import { composeBlocks, type ModelGraph } from '../../src/graph/model-graph.ts'
import { getArchitecture } from '../../src/graph/models/architecture-table.ts'
import { rewrite } from '../../src/graph/passes/rewrite.ts'

export const parity = new URL('../../test/parity/', import.meta.url)
const stories = new URL('../../src/catalogue/models/stories260k/', import.meta.url)

export const backend = createOnnxRuntimeBackend(
  onnxRuntime as unknown as Parameters<typeof createOnnxRuntimeBackend>[0],
  { threads: 1 },
)

export interface Base {
  readonly model: ModelGraph
  readonly weights: ReadonlyMap<string, F32Tensor>
  weightOf(name: string): F32Tensor
}

/**
 * Files of a directory as the readers see them; paths in `changed` are replaced, or gone where
 * undefined.
 */
export function folderAt(
  directory: URL,
  changed: Readonly<Record<string, Uint8Array | undefined>> = {},
): ByteFolder {
  return {
    name: directory.pathname,
    async open(path) {
      const bytes =
        path in changed
          ? changed[path]
          : await readFile(new URL(path, directory)).catch(() => undefined)
      return bytes && createMemorySource(path, bytes)
    },
  }
}

/** A sink that keeps files in memory. */
export function memorySink(): ByteSink & ByteFolder & { readonly files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>()
  return {
    name: 'memory',
    files,
    async write(path, chunks) {
      const parts: Uint8Array[] = []
      // arrays go on changing after they were written
      for await (const chunk of chunks) parts.push(chunk.slice())
      files.set(
        path,
        new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer()),
      )
    },
    async open(path) {
      const bytes = files.get(path)
      return bytes && createMemorySource(path, bytes)
    },
  }
}

export async function readTensors(file: URL): Promise<Map<string, Tensor>> {
  const store = await openSafetensors(createMemorySource(file.pathname, await readFile(file)))
  const tensors = new Map<string, Tensor>()
  for (const name of store.tensors.keys()) tensors.set(name, await store.read(name))
  return tensors
}

/** What kinds need to be made at all. */
export const sampleOptions: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'trainable-tokens': { trainableTokens: [5, 301] },
}

export const storiesBase = (): Promise<Base> => baseAt(stories)
export const qwen2Base = (): Promise<Base> => architectureBase('qwen2')
/** A small random base of test/parity/architectures. */
export const architectureBase = (name: string): Promise<Base> =>
  baseAt(new URL(`architectures/${name}/`, parity))

/** A small random base of test/parity/architectures_recent. */
export const recentBase = (name: string): Promise<Base> =>
  baseAt(new URL(`architectures_recent/${name}/`, parity))

async function baseAt(directory: URL): Promise<Base> {
  const json = JSON.parse(await readFile(new URL('config.json', directory), 'utf8')) as Record<
    string,
    unknown
  >
  const weights = new Map<string, F32Tensor>()
  for (const [name, tensor] of await readTensors(new URL('model.safetensors', directory)))
    weights.set(name, f32(tensor.shape, toFloat32(tensor)))
  return {
    model: buildModelGraph(getArchitecture(json).readConfig(json)),
    weights,
    weightOf: (name) => weights.get(name)!,
  }
}

/** ids of a reference file as rows. */
export function rowsOf({ shape, data }: Tensor): number[][] {
  const values = Array.from(data as BigInt64Array, Number)
  return Array.from({ length: shape[0]! }, (_, n) =>
    values.slice(n * shape[1]!, (n + 1) * shape[1]!),
  )
}

/**
 * Feeds for logits at every position, and for the mean loss over scored tokens: position t is asked
 * for label t + 1.
 */
export function feedsFor(
  { model, weights }: Base,
  ids: number[][],
  labels?: number[][],
): Map<string, Tensor> {
  const tokens = ids[0]!.length
  const feeds = new Map<string, Tensor>([...weights, ...collectModelFeeds(model.config, { ids })])
  const scored = (labels ?? ids).flatMap((row, n) =>
    row.flatMap((label, t) => (t > 0 && label >= 0 ? [[n * tokens + t - 1, label]] : [])),
  )
  const rows = labels
    ? scored.map(([row]) => row!)
    : ids.flatMap((row, n) => row.map((_, t) => n * tokens + t))
  feeds.set('rows', i64([rows.length], rows))
  feeds.set(
    'labels',
    i64(
      [scored.length],
      scored.map(([, label]) => label!),
    ),
  )
  feeds.set('share', f32([], [1 / scored.length]))
  return feeds
}

/** Which tokens an activated adapter acts on; nothing for others. */
export function activeFeeds(
  { config: { invocationTokens } }: Pick<Adapter, 'config'>,
  ids: number[][],
): [string, Tensor][] {
  if (!invocationTokens) return []
  return [
    [
      ACTIVE,
      computeActiveFeed(
        ids.map((row) => findActivationStart(row, invocationTokens)),
        ids[0]!.length,
      ),
    ],
  ]
}

/**
 * Feeds for a model with an adapter attached: its tensors, and its virtual tokens before each row,
 * which are never scored. Without labels, logits of the last `asked` positions of each row; of
 * every token unless said.
 */
export function feedsWith(
  base: Base,
  adapted: ModelGraph,
  adapter: Adapter,
  {
    ids,
    labels,
    asked = ids[0]!.length,
  }: { readonly ids: number[][]; readonly labels?: number[][]; readonly asked?: number },
): Map<string, Tensor> {
  const virtual = listVirtualIds(adapter)
  const before = (rows: number[][], first: readonly number[]): number[][] =>
    rows.map((row) => [...first, ...row])
  const unscored = virtual.map(() => -100)
  const feeds = feedsFor(
    { ...base, model: adapted },
    before(ids, virtual),
    labels && before(labels, unscored),
  )
  if (!labels) {
    const tokens = ids[0]!.length + virtual.length
    const rows = ids.flatMap((_, n) =>
      Array.from({ length: asked }, (__, t) => (n + 1) * tokens - asked + t),
    )
    feeds.set('rows', i64([rows.length], rows))
  }
  return new Map([...feeds, ...toAdapterFeeds(adapter), ...activeFeeds(adapter, ids)])
}

/**
 * Gives every layer a mask of its own when its blocks are chained: `<block
 * prefix>dropout:<module>`.
 */
export function withOwnMasks({ config, blocks }: ModelGraph): ModelGraph {
  const own = (input: GraphInput): GraphInput =>
    input.name.startsWith('dropout:') ? { ...input, role: 'adapter' } : input
  return {
    config,
    blocks: blocks.map((block) => ({
      ...block,
      graph: { ...block.graph, inputs: block.graph.inputs.map(own) },
    })),
  }
}

/** The composed graph with a scalar output `loss`: cross-entropy times `share`, summed. */
export function withLoss(model: ModelGraph): Graph {
  const graph = composeBlocks(model.blocks)
  return rewrite(
    graph,
    '%loss',
    () => undefined,
    (g, valueOf) => {
      const losses = g.op('crossEntropy', [
        valueOf(graph.outputs.get('logits')!),
        g.input('labels', 'i64', ['M']),
      ])
      g.output('loss', g.reduceSum(g.multiply(losses, g.input('share', 'f32', [])), [0]))
    },
  )
}

export const adapterInputs = (model: ModelGraph): string[] =>
  composeBlocks(model.blocks)
    .inputs.filter(({ role }) => role === 'adapter')
    .map(({ name }) => name)
    .filter((name) => !name.includes('dropout:'))

/** The graph of the loss and its gradients, of every adapter tensor unless said. */
export const gradientGraph = (
  model: ModelGraph,
  withRespectTo: readonly string[] = adapterInputs(model),
): Graph => withGradients(withLoss(model), { of: ['loss'], withRespectTo, keep: ['loss'] })

/** The same feeds in double precision, in which the reference interpreter then computes. */
export const inDouble = (feeds: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map(
    [...feeds].map(([name, tensor]) =>
      tensor.dtype === 'f32'
        ? [
            name,
            {
              dtype: 'f64',
              shape: tensor.shape,
              data: Float64Array.from(tensor.data as Float32Array),
            },
          ]
        : [name, tensor],
    ),
  )

export const gradientOf = (
  outputs: ReadonlyMap<string, Tensor>,
  name: string,
): Float32Array | Float64Array =>
  outputs.get(toGradientName(name))!.data as Float32Array | Float64Array

/** Logits of a composed model, [N·T, V]. */
export async function logitsOf(
  model: ModelGraph,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Float32Array> {
  const program = await backend.compile(composeBlocks(model.blocks))
  const outputs = await program.run(feeds)
  await program.dispose()
  return outputs.get('logits')!.data as Float32Array
}

export function furthest(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Infinity
  let most = 0
  for (let i = 0; i < got.length; i++) most = Math.max(most, Math.abs(got[i]! - expected[i]!))
  return most
}

/** ‖got − expected‖ / ‖expected‖ */
export function relativeDistance(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) return Infinity
  let difference = 0
  let size = 0
  for (let i = 0; i < got.length; i++) {
    difference += (got[i]! - expected[i]!) ** 2
    size += expected[i]! ** 2
  }
  return Math.sqrt(difference / size)
}
