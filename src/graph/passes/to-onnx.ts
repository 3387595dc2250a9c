// Graph → ONNX: expands composites and lets each operation emit its nodes. The result runs on ONNX
// Runtime (some operators are its own).

import type { OnnxAttribute, OnnxModel, OnnxNode } from '../../formats/onnx.ts'
import { f32, type FileTensor, i64, type Tensor } from '../../base/tensor.ts'
import type { Graph, Node, Value } from '../ir.ts'
import { getOperation } from '../operation-table.ts'
import type { OnnxEmitter } from '../operation.ts'
import { allOwnOperators, type OwnOperator, type OwnOperators } from '../own-operators.ts'
import { expandComposites } from './rewrite.ts'

const MICROSOFT = 'com.microsoft'

class Emitter implements OnnxEmitter {
  readonly nodes: OnnxNode[] = []
  readonly initializers = new Map<string, Tensor>()
  readonly #prefix: string
  readonly #operators: OwnOperators
  #count = 0

  constructor(prefix: string, operators: OwnOperators) {
    this.#prefix = prefix
    this.#operators = operators
  }

  fresh(): string {
    return `${this.#prefix}%o${this.#count++}`
  }
  nodeWithOutputs(
    type: string,
    domain: string,
    inputs: readonly string[],
    attributes: Record<string, OnnxAttribute>,
    outputs: readonly string[],
  ): void {
    this.nodes.push({ type, domain, inputs, outputs, attributes })
  }
  node(
    type: string,
    inputs: readonly string[],
    attributes: Record<string, OnnxAttribute> = {},
    output = this.fresh(),
  ): string {
    this.nodeWithOutputs(type, '', inputs, attributes, [output])
    return output
  }
  has(operator: OwnOperator): boolean {
    return this.#operators.has(operator)
  }
  microsoft(
    type: OwnOperator,
    inputs: readonly string[],
    attributes: Record<string, OnnxAttribute> = {},
    output = this.fresh(),
  ): string {
    this.nodeWithOutputs(type, MICROSOFT, inputs, attributes, [output])
    return output
  }
  constant(name: string, make: () => Tensor): string {
    const own = this.#prefix + name
    if (!this.initializers.has(own)) this.initializers.set(own, make())
    return own
  }
  ints(values: readonly number[]): string {
    return this.constant(`%i${values.join('_')}`, () => i64([values.length], values))
  }
  float(value: number): string {
    return this.constant(`%f${value}`, () => f32([], [value]))
  }
}

/** Nodes and constants in ONNX's form. */
export interface EmittedNodes {
  readonly nodes: readonly OnnxNode[]
  readonly initializers: ReadonlyMap<string, Tensor>
}

/**
 * Emits the nodes in order, with the names that `named` returns. Composites must be expanded.
 * `prefix` precedes the names of intermediate values.
 */
export function emitNodes(
  nodes: readonly Node[],
  named: (value: Value) => Value,
  prefix = '',
  operators = allOwnOperators,
): EmittedNodes {
  const emit = new Emitter(prefix, operators)
  const cuts = findCuts(nodes)
  for (const node of nodes) {
    const cut = cuts.get(node.output.name)
    if (cut) {
      if (cut[0] === node) emitSplit(emit, cut, named)
      continue
    }
    const { operation, inputs, output, attributes } = node
    getOperation(operation).onnx(emit, {
      inputs: inputs.map(named),
      output: named(output),
      attributes,
    })
  }
  return emit
}

/** The operator sets that emitted nodes are of. */
export const opsets: OnnxModel['opsets'] = { '': 21, [MICROSOFT]: 1 }

/**
 * The ONNX form of a graph. Inputs in `initializers` become part of the model, so that the runtime
 * may repack them once. Of ONNX Runtime's own operators, only `operators` are used.
 */
export function toOnnx(
  graph: Graph,
  initializers: ReadonlyMap<string, Tensor | FileTensor> = new Map(),
  operators = allOwnOperators,
): OnnxModel {
  const expanded = expandComposites(graph)
  const held = new Map<string, Tensor | FileTensor>(expanded.constants)
  for (const input of expanded.inputs) {
    const tensor = initializers.get(input.name)
    if (tensor) held.set(input.name, tensor)
  }
  const given = mapOutputNames(expanded)
  const named = (value: Value): Value => ({ ...value, name: given.get(value.name) ?? value.name })
  const emitted = emitNodes(expanded.nodes, named, '', operators)
  const copies = [...expanded.outputs].flatMap(([name, value]) =>
    given.get(value.name) === toOutputName(name)
      ? []
      : [createCopy(named(value).name, toOutputName(name))],
  )
  return {
    nodes: moveLeavesLast([...emitted.nodes, ...copies]),
    initializers: new Map([...held, ...emitted.initializers]),
    inputs: expanded.inputs.filter(({ name }) => !initializers.has(name)),
    outputs: [...expanded.outputs].map(([name, value]) => ({ ...value, name: toOutputName(name) })),
    opsets,
  }
}

/** A node that gives a value another name. */
export const createCopy = (from: string, to: string): OnnxNode => ({
  type: 'Identity',
  domain: '',
  inputs: [from],
  outputs: [to],
  attributes: {},
})

const getPlace = ({ attributes }: Node, name: 'axis' | 'start' | 'end'): number =>
  attributes[name] as number

/**
 * Slices that cut a whole axis of one value into consecutive parts, by the name of each part, in
 * the graph's order: one node computes all of them.
 */
function findCuts(nodes: readonly Node[]): Map<string, readonly Node[]> {
  const groups = new Map<string, Node[]>()
  for (const node of nodes) {
    if (node.operation !== 'slice') continue
    const key = `${node.inputs[0]!.name} ${getPlace(node, 'axis')}`
    groups.set(key, [...(groups.get(key) ?? []), node])
  }
  const cuts = new Map<string, readonly Node[]>()
  for (const group of groups.values()) {
    const parts = sortByStart(group)
    const length = group[0]!.inputs[0]!.shape[getPlace(group[0]!, 'axis')]
    const isWhole =
      parts.length > 1 &&
      parts.every((part, i) => getPlace(part, 'start') === (i && getPlace(parts[i - 1]!, 'end'))) &&
      getPlace(parts.at(-1)!, 'end') === length
    if (isWhole) for (const part of parts) cuts.set(part.output.name, group)
  }
  return cuts
}

const sortByStart = (nodes: readonly Node[]): Node[] =>
  [...nodes].sort((a, b) => getPlace(a, 'start') - getPlace(b, 'start'))

function emitSplit(emit: Emitter, cut: readonly Node[], named: (value: Value) => Value): void {
  const parts = sortByStart(cut)
  const lengths = parts.map((part) => getPlace(part, 'end') - getPlace(part, 'start'))
  emit.nodeWithOutputs(
    'Split',
    '',
    [named(parts[0]!.inputs[0]!).name, emit.ints(lengths)],
    { axis: { int: getPlace(parts[0]!, 'axis') } },
    parts.map(({ output }) => named(output).name),
  )
}

/**
 * Moves nodes without readers to the end, in reverse order, because ONNX Runtime walks back from
 * the last node first. So each gradient is computed as soon as its inputs are available, instead of
 * after the whole backward pass, which would keep everything in memory.
 */
function moveLeavesLast(nodes: readonly OnnxNode[]): OnnxNode[] {
  const read = new Set(nodes.flatMap(({ inputs }) => inputs))
  const isLeaf = ({ outputs }: OnnxNode): boolean => !outputs.some((name) => read.has(name))
  return [...nodes.filter((node) => !isLeaf(node)), ...nodes.filter(isLeaf).reverse()]
}

/**
 * Values that are outputs have the output's name throughout, because a copy would cost one node per
 * token.
 */
function mapOutputNames(graph: Graph): Map<string, string> {
  const made = new Set(graph.nodes.map(({ output }) => output.name))
  const given = new Map<string, string>()
  for (const [name, value] of graph.outputs)
    if (made.has(value.name) && !given.has(value.name)) given.set(value.name, toOutputName(name))
  return given
}

/**
 * Outputs get separate names: a value may be an output twice, or be an input passed through.
 */
export const toOutputName = (name: string): string => `out:${name}`
