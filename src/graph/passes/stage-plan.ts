// Assigns each node of joined graphs to a stage between shared products, and finds the values that
// leave the branch in which they are computed. Stage s is before product s; the last stage is after
// all products.

import type { Graph, Node, Value } from '../ir.ts'

/** A product of a shared weight, and the sum with its bias where it has one. */
export interface SharedProduct {
  readonly nodes: readonly Node[]
  /** Inputs of all its nodes, without values that these nodes compute. */
  readonly inputs: readonly Value[]
  readonly output: Value
}

interface PlannedGraph {
  readonly graph: Graph
  readonly index: number
  /** In the graph's order. */
  readonly shared: readonly SharedProduct[]
}

/** A slot for a value that leaves the branches of a stage; each graph may put a value into it. */
export interface StageSlot {
  readonly name: string
  readonly dtype: Value['dtype']
  readonly values: readonly (Value | undefined)[]
}

export interface StagePlan {
  /** By stage. */
  readonly slots: readonly (readonly StageSlot[])[]
  /** The stage of the node that computes a value; for a product, its own stage. */
  stageOf(part: Pick<PlannedGraph, 'index'>, name: string): number
  /** The model's name of a value that is used outside of its branch. */
  nameOf(part: Pick<PlannedGraph, 'index'>, name: string): string
}

/** A value that leaves its branch, and the key by which it is matched in the other graphs. */
interface Leaving {
  readonly value: Value
  readonly keys: readonly string[]
}

interface PartPlan {
  /** Stage by value, for nodes other than products. */
  readonly stages: ReadonlyMap<string, number>
  readonly products: ReadonlyMap<string, number>
  /** By stage. */
  readonly leaving: readonly (readonly Leaving[])[]
}

/** Undefined if a product's input is not the same in all graphs. */
export function planStages(
  parts: readonly PlannedGraph[],
  renamed: readonly ReadonlyMap<string, string>[],
): StagePlan | undefined {
  const plans = parts.map(planPart)
  const last = parts[0]!.shared.length
  const slots = Array.from({ length: last + 1 }, (_, stage) =>
    matchSlots(
      plans.map(({ leaving }) => leaving[stage]!),
      stage,
    ),
  )
  const names = plans.map(({ products }, index) => {
    const own = new Map<string, string>(renamed[index])
    for (const [name, at] of products) own.set(name, `%product${at}`)
    for (const stage of slots)
      for (const { name, values } of stage) {
        const value = values[index]
        if (value) own.set(value.name, name)
      }
    return own
  })
  const nameOf: StagePlan['nameOf'] = ({ index }, name) => names[index]!.get(name) ?? name
  for (let at = 0; at < last; at++) {
    const read = parts.map((part) =>
      part.shared[at]!.inputs.map(({ name }) => nameOf(part, name)).join(' '),
    )
    if (new Set(read).size > 1) return undefined
  }
  return {
    slots,
    stageOf: ({ index }, name) => plans[index]!.stages.get(name) ?? -1,
    nameOf,
  }
}

function planPart({ graph, shared }: PlannedGraph): PartPlan {
  const products = new Map(shared.map(({ output }, at) => [output.name, at]))
  const stages = new Map<string, number>()
  const stageAfter = (name: string): number => {
    const product = products.get(name)
    return product === undefined ? (stages.get(name) ?? 0) : product + 1
  }
  const keys = new Map<string, Set<string>>()
  const leave = (name: string, key: string): void =>
    void keys.set(name, (keys.get(name) ?? new Set()).add(key))
  const inner = new Set(shared.flatMap(({ nodes }) => nodes))
  for (const node of graph.nodes) {
    const product = products.get(node.output.name)
    if (product === undefined && inner.has(node)) continue
    const { inputs } = product === undefined ? node : shared[product]!
    const { output } = node
    const stage = Math.max(0, ...inputs.map(({ name }) => stageAfter(name)))
    if (product === undefined) stages.set(output.name, stage)
    for (const { name } of inputs) {
      const made = stages.get(name)
      if (made === undefined) continue
      if (product !== undefined) leave(name, `product ${product}`)
      else if (made !== stage) leave(name, `value ${name}`)
    }
  }
  for (const [name, value] of graph.outputs)
    if (stages.has(value.name)) leave(value.name, `output ${name}`)
  const leaving = Array.from({ length: shared.length + 1 }, (): Leaving[] => [])
  for (const { output } of graph.nodes) {
    const own = keys.get(output.name)
    if (own) leaving[stages.get(output.name)!]!.push({ value: output, keys: [...own] })
  }
  return { stages, products, leaving }
}

interface OpenSlot {
  readonly name: string
  readonly dtype: Value['dtype']
  readonly keys: Set<string>
  readonly values: (Value | undefined)[]
}

/**
 * Matches values of the graphs to common slots: first equal ones, then any of the same type. A slot
 * costs a node in a graph without a value for it.
 */
function matchSlots(leaving: readonly (readonly Leaving[])[], stage: number): StageSlot[] {
  const slots: OpenSlot[] = []
  leaving.forEach((values, index) => {
    const isFree = (slot: OpenSlot, dtype: string): boolean =>
      slot.dtype === dtype && slot.values[index] === undefined
    const put = (slot: OpenSlot, { value, keys }: Leaving): void => {
      slot.values[index] = value
      for (const key of keys) slot.keys.add(key)
    }
    const rest = values.filter((one) => {
      const same = slots.find(
        (slot) => isFree(slot, one.value.dtype) && one.keys.some((key) => slot.keys.has(key)),
      )
      if (same) put(same, one)
      return !same
    })
    for (const one of rest) {
      const { dtype } = one.value
      const isPlain = (keys: Iterable<string>): boolean =>
        [...keys].every((key) => key.startsWith('value '))
      const free = isPlain(one.keys)
        ? slots.find((slot) => isFree(slot, dtype) && isPlain(slot.keys))
        : undefined
      const slot = free ?? {
        name: `%slot${stage}.${slots.length}`,
        dtype,
        keys: new Set<string>(),
        values: leaving.map(() => undefined),
      }
      if (!free) slots.push(slot)
      put(slot, one)
    }
  })
  return slots
}
