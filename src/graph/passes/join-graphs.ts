// Several graphs over the same packed weights as one ONNX model. The products of those weights
// occur once, so that a runtime packs and stores the weights once; between two products there is an
// If with one branch for each graph. Independent of the graphs' computations.

import { assertInternal } from '../../base/errors.ts'
import { f32, type FileTensor, isFileTensor, type Tensor } from '../../base/tensor.ts'
import type { OnnxModel, OnnxNode, OnnxValue } from '../../formats/onnx.ts'
import type { Graph, Node, Value } from '../ir.ts'
import { expandComposites } from './rewrite.ts'
import { joinBranches, type MemberBranch, toMemberInput } from './join-branches.ts'
import { joinInputs } from './join-inputs.ts'
import { planStages, type SharedProduct, type StagePlan, type StageSlot } from './stage-plan.ts'
import { allOwnOperators, type OwnOperators } from '../own-operators.ts'
import { emitNodes, opsets } from './to-onnx.ts'

export interface JoinSource {
  readonly graph: Graph
  /** Those that are in files are shared; the others become part of the graph's own branches. */
  readonly initializers: ReadonlyMap<string, Tensor | FileTensor>
}

/** The platform's capabilities. */
export interface JoinForm {
  readonly operators: OwnOperators
  readonly emptyTensors: boolean
}

export interface JoinedMember {
  /** The model's names of the graph's inputs, by the graph's names. */
  readonly inputs: ReadonlyMap<string, string>
  /** The same of its outputs. */
  readonly outputs: ReadonlyMap<string, string>
}

export interface JoinedModel {
  readonly model: OnnxModel
  readonly members: readonly JoinedMember[]
}

/** What the passes below know of one graph. */
export interface JoinPart extends JoinSource {
  readonly index: number
  /** In the graph's order. */
  readonly shared: readonly SharedProduct[]
}

/** A key that is equal for equal products of one weight. */
function describeProduct({ nodes, inputs }: SharedProduct, { initializers }: JoinSource): string {
  const held = inputs.filter(({ name }) => initializers.has(name))
  return JSON.stringify([
    nodes.map(({ operation, attributes }) => [operation, attributes]),
    held.map(({ name }) => name),
  ])
}

const isInFile = (initializers: JoinSource['initializers'], name: string): boolean => {
  const held = initializers.get(name)
  return held !== undefined && isFileTensor(held)
}

function toPart(source: JoinSource, index: number): JoinPart {
  const graph = expandComposites(source.graph)
  const { initializers } = source
  const products = graph.nodes.filter(({ inputs }) =>
    inputs.some(({ name }) => isInFile(initializers, name)),
  )
  const shared = products.map((node) => toProduct(node, graph, initializers))
  return { graph, initializers, index, shared }
}

/** ONNX Runtime fuses a product with the sum of its bias if both are adjacent. */
function toProduct(
  product: Node,
  { nodes, outputs }: Graph,
  initializers: JoinSource['initializers'],
): SharedProduct {
  const { name } = product.output
  const readers = nodes.filter(({ inputs }) => inputs.some((input) => input.name === name))
  const [sum] = readers
  const isOutput = [...outputs.values()].some((value) => value.name === name)
  const bias = sum?.inputs.find((input) => input.name !== name)
  if (readers.length !== 1 || isOutput || sum?.operation !== 'add' || !bias)
    return { nodes: [product], inputs: product.inputs, output: product.output }
  if (!initializers.has(bias.name))
    return { nodes: [product], inputs: product.inputs, output: product.output }
  return { nodes: [product, sum], inputs: [...product.inputs, bias], output: sum.output }
}

/**
 * One model of all graphs. Undefined if they do not have the same products in the same order, so
 * that they cannot share them.
 */
export function joinGraphs(
  sources: readonly JoinSource[],
  form: JoinForm = { operators: allOwnOperators, emptyTensors: true },
): JoinedModel | undefined {
  const parts = sources.map(toPart)
  const [first] = parts
  assertInternal(first, 'there is a graph to join')
  const products = first.shared.map((product) => describeProduct(product, first))
  const isAlike = (part: JoinPart): boolean =>
    part.shared.length === products.length &&
    part.shared.every((product, i) => describeProduct(product, part) === products[i])
  if (products.length === 0 || !parts.every(isAlike)) return undefined
  const { inputs, renamed } = joinInputs(parts)
  const plan = planStages(parts, renamed)
  return plan && buildModel(parts, { plan, inputs, renamed, form })
}

interface JoinPlan {
  readonly plan: StagePlan
  readonly inputs: readonly OnnxValue[]
  readonly renamed: readonly ReadonlyMap<string, string>[]
  readonly form: JoinForm
}

function buildModel(
  parts: readonly JoinPart[],
  { plan, inputs, renamed, form }: JoinPlan,
): JoinedModel {
  const [first] = parts as [JoinPart]
  const nodes: OnnxNode[] = []
  const conditions = new Map<string, OnnxNode>()
  const initializers = new Map<string, Tensor | FileTensor>()
  for (let stage = 0; stage <= first.shared.length; stage++) {
    const slots = plan.slots[stage]!
    if (slots.length > 0) {
      const branches = parts.map((part) => buildBranch(part, stage, plan, form))
      const joined = joinBranches(branches, slots, conditions)
      nodes.push(...joined.nodes)
      for (const [name, tensor] of joined.initializers) initializers.set(name, tensor)
    }
    const product = first.shared[stage]
    if (!product) continue
    for (const { name } of product.inputs) {
      const held = first.initializers.get(name)
      if (held) initializers.set(name, held)
    }
    const named = (value: Value): Value => ({ ...value, name: plan.nameOf(first, value.name) })
    const emitted = emitNodes(product.nodes, named, `%p${stage}`, form.operators)
    nodes.push(...emitted.nodes)
    for (const [name, tensor] of emitted.initializers) initializers.set(name, tensor)
  }
  const members = parts.map((part): JoinedMember => ({
    inputs: renamed[part.index]!,
    outputs: new Map(
      [...part.graph.outputs].map(([name, value]) => [name, plan.nameOf(part, value.name)]),
    ),
  }))
  const outputs = collectOutputs(parts, members)
  const choices = parts.slice(0, -1).map(({ index }): OnnxValue => ({
    name: toMemberInput(index),
    dtype: 'bool',
    shape: [],
  }))
  return {
    model: {
      nodes: [...conditions.values(), ...nodes],
      initializers,
      inputs: [...inputs, ...choices],
      outputs,
      opsets,
    },
    members,
  }
}

function collectOutputs(
  parts: readonly JoinPart[],
  members: readonly JoinedMember[],
): readonly OnnxValue[] {
  const found = new Map<string, OnnxValue>()
  for (const { graph, index } of parts)
    for (const [name, value] of graph.outputs) {
      const given = members[index]!.outputs.get(name)!
      // If shapes differ, only the rank is the same.
      const shape = value.shape.map((dim, axis) =>
        typeof dim === 'number' && axis > 0 ? dim : `${given}.${axis}`,
      )
      if (!found.has(given)) found.set(given, { name: given, dtype: value.dtype, shape })
    }
  return [...found.values()]
}

/** The nodes of one graph in one stage. */
function buildBranch(
  part: JoinPart,
  stage: number,
  plan: StagePlan,
  { operators, emptyTensors }: JoinForm,
): MemberBranch {
  const { index, graph } = part
  const prefix = `%m${index}.${stage}:`
  const own = graph.nodes.filter(({ output }) => plan.stageOf(part, output.name) === stage)
  const made = new Set(own.map(({ output }) => output.name))
  const held = new Map<string, Tensor>()
  const named = (value: Value): Value => {
    const { name } = value
    if (made.has(name)) return { ...value, name: prefix + name }
    const tensor = graph.constants.get(name) ?? part.initializers.get(name)
    if (!tensor) return { ...value, name: plan.nameOf(part, name) }
    assertInternal(!isFileTensor(tensor), 'a tensor in a file is read by products only')
    held.set(prefix + name, tensor)
    return { ...value, name: prefix + name }
  }
  const emitted = emitNodes(own, named, prefix, operators)
  const nodes = [...emitted.nodes]
  const outputs = plan.slots[stage]!.map((slot, at) => {
    const { dtype } = slot
    const value = slot.values[index]
    if (value) return { name: prefix + value.name, dtype }
    // A placeholder for a value that this graph does not compute.
    const name = `${prefix}%none${at}`
    held.set(`${name}.value`, createUnread(slot, emptyTensors ? 0 : 1))
    nodes.push({
      type: 'Identity',
      domain: '',
      inputs: [`${name}.value`],
      outputs: [name],
      attributes: {},
    })
    return { name, dtype }
  })
  const initializers = new Map([...held, ...emitted.initializers])
  return { branch: { nodes, initializers, outputs }, prefix }
}

function createUnread({ dtype }: StageSlot, length: number): Tensor {
  const shape = [length]
  if (dtype === 'f32') return f32(shape)
  if (dtype === 'i64') return { dtype, shape, data: new BigInt64Array(length) }
  if (dtype === 'i32') return { dtype, shape, data: new Int32Array(length) }
  if (dtype === 'f16') return { dtype, shape, data: new Uint16Array(length) }
  return { dtype, shape, data: new Uint8Array(length) }
}
