// Reads ONNX Runtime's profiles: which part of a step each node of a program belongs to, and how long
// its kernel runs. Independent of how the profiles were made.

import type { OnnxNode } from '../../../src/formats/onnx.ts'

/** What a step is made of inside ONNX Runtime. */
export const nodeParts = [
  'base products',
  'LoRA',
  'attention',
  'norms, activations',
  'head',
] as const
export type NodePart = (typeof nodeParts)[number]
export type PartTimes = Readonly<Record<NodePart, number>>

/** An entry of a profile, as far as it is read here. Microseconds. */
export interface ProfileEvent {
  readonly name: string
  readonly cat: string
  readonly ts: number
  readonly dur: number
  readonly args: {
    readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[]
  }
}

/** One run of a program: new tokens of its rows, and the time of each node by its name. */
export interface ProfiledRun {
  readonly rows: number
  readonly tokens: number
  readonly microseconds: number
  readonly nodes: ReadonlyMap<string, number>
}

const kernelEnd = '_kernel_time'

const getFirstShape = ({ args }: ProfileEvent): readonly number[] =>
  Object.values(args.input_type_shape?.[0] ?? {})[0] ?? []

export function readRuns(events: readonly ProfileEvent[]): ProfiledRun[] {
  const kernels = events.filter(({ cat, name }) => cat === 'Node' && name.endsWith(kernelEnd))
  return events
    .filter(({ name }) => name === 'model_run')
    .map(({ ts, dur }) => {
      const own = kernels.filter((event) => event.ts >= ts && event.ts < ts + dur)
      // The first norm reads [N, T, D].
      const norm = own.find(({ name }) => name.startsWith('SimplifiedLayerNormalization_'))
      const [rows = 0, tokens = 0] = norm ? getFirstShape(norm) : []
      const nodes = new Map(
        own.map((event) => [event.name.slice(0, -kernelEnd.length), event.dur] as const),
      )
      return { rows, tokens, microseconds: dur, nodes }
    })
}

const isOfAdapter = (name: string): boolean =>
  /\.[AB]$/.test(name) || name.startsWith('group.') || name === 'rank.chunk'

/** Nodes that lead from an adapter's tensors to an addition, and those that only they read. */
function collectDetours(nodes: readonly OnnxNode[]): Set<OnnxNode> {
  const detours = new Set<OnnxNode>()
  const made = new Set<string>()
  for (const node of nodes) {
    if (!node.inputs.some((name) => isOfAdapter(name) || made.has(name))) continue
    detours.add(node)
    if (node.type !== 'Add') for (const name of node.outputs) made.add(name)
  }
  const moves = new Set(['Gather', 'GatherND', 'Reshape', 'Concat'])
  for (const node of nodes.toReversed()) {
    const readers = nodes.filter(({ inputs }) => inputs.some((name) => node.outputs.includes(name)))
    if (moves.has(node.type) && readers.length > 0 && readers.every((one) => detours.has(one)))
      detours.add(node)
  }
  return detours
}

/** The part of each node, by the name that ONNX Runtime gives it. A layer has four products. */
export function assignParts(nodes: readonly OnnxNode[]): Map<string, NodePart> {
  const detours = collectDetours(nodes)
  let products = 0
  const choose = (node: OnnxNode): NodePart => {
    if (node.type === 'MatMulNBits') {
      products++
      return node.outputs[0] === 'out:logits' ? 'head' : 'base products'
    }
    if (detours.has(node)) return 'LoRA'
    return products % 4 === 1 ? 'attention' : 'norms, activations'
  }
  return new Map(nodes.map((node, index) => [`${node.type}_${index}`, choose(node)]))
}

type NodeParts = ReadonlyMap<string, NodePart>

/** The program that a profile is of: most names of nodes agree. Equal nodes are merged in a run. */
export function findProgram(
  { nodes }: ProfiledRun,
  programs: readonly NodeParts[],
): NodeParts | undefined {
  const measure = (parts: NodeParts): number =>
    [...nodes.keys()].filter((name) => parts.has(name)).length / Math.max(nodes.size, parts.size)
  const [best] = programs.toSorted((a, b) => measure(b) - measure(a))
  return best && measure(best) > 0.8 ? best : undefined
}

/** Milliseconds by part: of each node its shortest time, because others use the machine as well. */
export function sumParts(runs: readonly ProfiledRun[], parts: NodeParts): PartTimes {
  const sums = Object.fromEntries(nodeParts.map((part) => [part, 0])) as Record<NodePart, number>
  for (const name of runs[0]?.nodes.keys() ?? []) {
    const least = Math.min(...runs.map(({ nodes }) => nodes.get(name) ?? Infinity))
    sums[parts.get(name) ?? 'norms, activations'] += least / 1000
  }
  return sums
}
