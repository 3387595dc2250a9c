// Loss and gradients over a model cut into segments. One segment: nothing is computed twice. More: forward keeps only each segment's input,
// and backward computes the segment again (gradient checkpointing, Chen et al. 2016), the last one excepted: it runs once, both ways at a time.

import { assertInternal } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import type { Backend, Program } from '../compute/backend.ts'
import { gradientName, withGradients } from '../graph/gradient.ts'
import type { Graph } from '../graph/ir.ts'
import { composeBlocks, type Block } from '../graph/model-graph.ts'

/** The loss, and the head's other outputs by name. */
export interface Measured {
  readonly loss: number
  readonly outputs: ReadonlyMap<string, Tensor>
}

/** Loss and gradients by graph-input name, from feeds by graph-input name. */
export interface Segments {
  gradients(feeds: ReadonlyMap<string, Tensor>): Promise<Measured & { gradients: Map<string, Tensor> }>
  measure(feeds: ReadonlyMap<string, Tensor>): Promise<Measured>
  dispose(): Promise<void>
}

export interface SegmentsOptions {
  /** Attached blocks, the head giving `loss`: with dropout feeds where the adapter has dropout, and without. */
  readonly training: readonly Block[]
  readonly plain: readonly Block[]
  /** Graph inputs whose gradients are wanted. */
  readonly wanted: readonly string[]
  readonly backend: Backend
  readonly segments: number
}

/** A segment is a block like any other: consecutive blocks as one graph, or a single one as it is, so that equal layers share a program. */
function cut(blocks: readonly Block[], segments: number): Block[] {
  const count = Math.min(segments, blocks.length)
  return Array.from({ length: count }, (_, i) => {
    const part = blocks.slice(Math.round((i * blocks.length) / count), Math.round(((i + 1) * blocks.length) / count))
    return part.length === 1 ? part[0]! : { kind: part[part.length - 1]!.kind, prefix: '', graph: composeBlocks(part) }
  })
}

interface Step {
  readonly block: Block
  /** Inputs of this segment's graph whose gradients are wanted: their names inside it → in the whole model. */
  readonly wanted: ReadonlyMap<string, string>
  /** Whether an earlier segment waits for the gradient of x. */
  readonly passesOn: boolean
}

function plan(blocks: readonly Block[], wanted: readonly string[]): Step[] {
  let below = false
  return blocks.map((block) => {
    const named = block.graph.inputs.map(({ name, role }) => [name, role === 'feed' ? name : block.prefix + name] as const)
    const local = new Map(named.filter(([, global]) => wanted.includes(global)))
    const step = { block, wanted: local, passesOn: below }
    below ||= local.size > 0
    return step
  })
}

/** A tensor that several segments read gets the sum of their gradients. */
function add(gradients: Map<string, Tensor>, name: string, part: Tensor): void {
  const known = gradients.get(name)
  if (!known) return void gradients.set(name, part)
  const values = part.data as Float32Array
  gradients.set(name, { ...known, data: (known.data as Float32Array).map((value, i) => value + values[i]!) })
}

/** Compiles each different graph once, when it is first run. */
function programs(backend: Backend) {
  const compiled = new Map<Graph, Map<string, Promise<Program>>>()
  const get = (graph: Graph, key: string, make: () => Graph): Promise<Program> => {
    const variants = compiled.get(graph) ?? new Map<string, Promise<Program>>()
    compiled.set(graph, variants)
    const program = variants.get(key) ?? backend.compile(make())
    variants.set(key, program)
    return program
  }
  return {
    forward: (graph: Graph): Promise<Program> => get(graph, '', () => graph),
    backward: (graph: Graph, of: string, withRespectTo: readonly string[]): Promise<Program> =>
      get(graph, withRespectTo.join(), () =>
        withGradients(graph, { of: [of], withRespectTo, keep: of === 'loss' ? [...graph.outputs.keys()] : [] }),
      ),
    async dispose(): Promise<void> {
      const all = [...compiled.values()].flatMap((variants) => [...variants.values()])
      await Promise.all(all.map(async (program) => (await program).dispose()))
    },
  }
}

/** A segment's view of the feeds: what is named after its prefix in the whole model, by its name inside the segment. */
export function localFeeds(
  feeds: ReadonlyMap<string, Tensor>,
  { graph, prefix }: Block,
  extra: readonly (readonly [string, Tensor])[],
): Map<string, Tensor> {
  const local = new Map<string, Tensor>()
  for (const { name, role } of graph.inputs) {
    const tensor = feeds.get(role === 'feed' ? name : prefix + name) ?? feeds.get(name)
    if (tensor) local.set(name, tensor)
  }
  for (const [name, tensor] of extra) local.set(name, tensor)
  return local
}

function measuredOf({ graph }: Block, outputs: ReadonlyMap<string, Tensor>): Measured {
  const others = [...graph.outputs.keys()].filter((name) => name !== 'loss')
  return { loss: Number(outputs.get('loss')!.data[0]), outputs: new Map(others.map((name) => [name, outputs.get(name)!])) }
}

/** Runs a model in segments. Programs are compiled when they are first needed. */
export function inSegments({ training, plain, wanted, backend, segments }: SegmentsOptions): Segments {
  const compiled = programs(backend)
  const steps = plan(cut(training, segments), wanted)
  const plainBlocks = training === plain ? steps.map(({ block }) => block) : cut(plain, segments)
  const last = steps.length - 1

  /** The inputs x of every segment but the first; the last segment is not run. */
  async function inputsOf(blocks: readonly Block[], feeds: ReadonlyMap<string, Tensor>): Promise<Tensor[]> {
    const inputs: Tensor[] = []
    for (const block of blocks.slice(0, -1)) {
      const x = inputs.at(-1)
      const outputs = await (await compiled.forward(block.graph)).run(localFeeds(feeds, block, x ? [['x', x]] : []))
      const next = outputs.get('x')
      assertInternal(next, `segment "${block.prefix}" gives no x`)
      inputs.push(next)
    }
    return inputs
  }

  return {
    async gradients(feeds) {
      const inputs = await inputsOf(steps.map(({ block }) => block), feeds) // prettier-ignore
      const gradients = new Map<string, Tensor>()
      let measured: Measured = { loss: 0, outputs: new Map() }
      let arriving: Tensor | undefined
      for (let index = last; index >= 0; index--) {
        const { block, wanted: local, passesOn } = steps[index]!
        const withRespectTo = [...(passesOn ? ['x'] : []), ...local.keys()]
        if (withRespectTo.length === 0) break
        const extra: [string, Tensor][] = index > 0 ? [['x', inputs[index - 1]!]] : []
        if (arriving) extra.push([gradientName('x'), arriving])
        const program = await compiled.backward(block.graph, index === last ? 'loss' : 'x', withRespectTo)
        const outputs = await program.run(localFeeds(feeds, block, extra))
        if (index === last) measured = measuredOf(block, outputs)
        for (const [name, global] of local) add(gradients, global, outputs.get(gradientName(name))!)
        arriving = outputs.get(gradientName('x')) // the segment's input x is the output x of the one before
      }
      return { ...measured, gradients }
    },
    async measure(feeds) {
      const inputs = await inputsOf(plainBlocks, feeds)
      const head = plainBlocks[last]!
      const x = inputs.at(-1)
      return measuredOf(head, await (await compiled.forward(head.graph)).run(localFeeds(feeds, head, x ? [['x', x]] : [])))
    },
    dispose: () => compiled.dispose(),
  }
}
