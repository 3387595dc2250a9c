// Builds a graph step by step: every call checks shapes immediately, so a wrong graph fails on the
// line that built it. GraphRecorder stores the recorded nodes; GraphBuilder adds one method for
// each operation that is often written by hand.

import { OptionError } from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import type { Attributes, Dim, Graph, GraphInput, InputRole, Node, Value, ValueType } from './ir.ts'
import type { Operators } from './operation.ts'
import { getOperation } from './operation-table.ts'

/** Records inputs, constants, operations and outputs. */
class GraphRecorder {
  readonly #inputs = new Map<string, GraphInput>()
  readonly #nodes: Node[] = []
  readonly #outputs = new Map<string, Value>()
  readonly #constants = new Map<string, Tensor>()
  readonly #prefix: string
  #count = 0

  /** Values made here are named `<prefix><number>`; give each pass over a graph its own prefix. */
  constructor(prefix = '%') {
    this.#prefix = prefix
  }

  /** A named input. The same name always gives the same value. */
  input(name: string, dtype: ValueType, shape: readonly Dim[], role: InputRole = 'feed'): Value {
    const known = this.#inputs.get(name)
    if (known) {
      if (known.dtype !== dtype || known.shape.join() !== shape.join()) {
        throw new OptionError(
          `Graph input "${name}" was declared as ${known.dtype} [${known.shape.join(', ')}] and again as ${dtype} [${shape.join(', ')}].`,
        )
      }
      return known
    }
    const value: GraphInput = { name, dtype, shape, role }
    this.#inputs.set(name, value)
    return value
  }

  weight(name: string, shape: readonly Dim[]): Value {
    return this.input(name, 'f32', shape, 'weight')
  }

  constant(tensor: Tensor): Value {
    const name = `${this.#prefix}c${this.#count++}`
    this.#constants.set(name, tensor)
    return { name, dtype: tensor.dtype as ValueType, shape: tensor.shape }
  }

  op(operation: string, inputs: readonly Value[], attributes: Attributes = {}): Value {
    const { dtype, shape } = getOperation(operation).shape(inputs, attributes)
    const output: Value = { name: `${this.#prefix}${this.#count++}`, dtype, shape }
    this.#nodes.push({ operation, inputs, output, attributes })
    return output
  }

  /** Adds a node of another graph unchanged, including names. */
  adopt(node: Node): void {
    this.#nodes.push(node)
  }

  adoptConstant(name: string, tensor: Tensor): void {
    this.#constants.set(name, tensor)
  }

  output(name: string, value: Value): void {
    if (this.#outputs.has(name)) throw new OptionError(`Graph output "${name}" is given twice.`)
    this.#outputs.set(name, value)
  }

  build(): Graph {
    return {
      inputs: [...this.#inputs.values()],
      nodes: [...this.#nodes],
      outputs: new Map(this.#outputs),
      constants: new Map(this.#constants),
    }
  }
}

/** One method for each operation that is often written by hand. */
export class GraphBuilder extends GraphRecorder implements Operators {
  add = (a: Value, b: Value): Value => this.op('add', [a, b])
  subtract = (a: Value, b: Value): Value => this.op('subtract', [a, b])
  multiply = (a: Value, b: Value): Value => this.op('multiply', [a, b])
  divide = (a: Value, b: Value): Value => this.op('divide', [a, b])
  scale = (x: Value, factor: number): Value =>
    factor === 1 ? x : this.op('scale', [x], { factor })
  silu = (x: Value): Value => this.op('silu', [x])
  softmax = (x: Value): Value => this.op('softmax', [x])
  transpose = (x: Value, order: readonly number[]): Value => this.op('transpose', [x], { order })
  concat = (values: readonly Value[], axis: number): Value =>
    values.length === 1 ? values[0]! : this.op('concat', values, { axis })
  slice = (x: Value, axis: number, start: number, end: number): Value =>
    this.op('slice', [x], { axis, start, end })
  reduceSum = (x: Value, axes: readonly number[], keepDims = false): Value =>
    axes.length === 0 ? x : this.op('reduceSum', [x], { axes, keepDims })

  reshape(x: Value, shape: readonly Dim[]): Value {
    return shape.join() === x.shape.join() ? x : this.op('reshape', [x], { shape })
  }

  matmul(
    a: Value,
    b: Value,
    options: { transA?: boolean; transB?: boolean; alpha?: number } = {},
  ): Value {
    return this.op('matmul', [a, b], {
      transA: options.transA ?? false,
      transB: options.transB ?? false,
      alpha: options.alpha ?? 1,
    })
  }

  /** y = x·Wᵀ + bias: W is [out, in], the layer's module path is what adapters look for. */
  linear(x: Value, weight: Value, module: string, bias?: Value): Value {
    return this.op('linear', bias ? [x, weight, bias] : [x, weight], { module })
  }

  rmsNorm(x: Value, weight: Value, epsilon: number, offset = 0): Value {
    return this.op('rmsNorm', [x, weight], { epsilon, offset })
  }
}
