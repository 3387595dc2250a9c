// The inputs of a model that several graphs share: inputs with equal names are one input if type
// and rank agree; otherwise they are renamed.

import type { OnnxValue } from '../../formats/onnx.ts'
import type { Dim, Graph, GraphInput } from '../ir.ts'

interface InputSource {
  readonly graph: Graph
  readonly initializers: ReadonlyMap<string, unknown>
}

export interface JoinedInputs {
  readonly inputs: readonly OnnxValue[]
  /** For each graph: its names → names in the model. */
  readonly renamed: readonly ReadonlyMap<string, string>[]
}

interface OpenInput {
  name: string
  dtype: GraphInput['dtype']
  shape: Dim[]
}

export function joinInputs(sources: readonly InputSource[]): JoinedInputs {
  const known = new Map<string, OpenInput>()
  const taken = new Set<string>()
  const renamed = sources.map(({ graph, initializers }) => {
    const names = new Map<string, string>()
    for (const input of graph.inputs) {
      if (initializers.has(input.name)) continue
      const { name, dtype, shape } = input
      const key = `${name} ${dtype} ${shape.length}`
      const found = known.get(key)
      if (found) found.shape = found.shape.map((dim, i) => joinDims(found.name, i, dim, shape[i]!))
      else {
        const given = taken.has(name) ? `${name}#${dtype}.${shape.length}` : name
        taken.add(given)
        known.set(key, { name: given, dtype, shape: [...shape] })
      }
      names.set(name, known.get(key)!.name)
    }
    return names
  })
  return { inputs: [...known.values()], renamed }
}

/** A dimension that fits both; one that differs gets its own name. */
const joinDims = (name: string, axis: number, a: Dim, b: Dim): Dim =>
  a === b ? a : `${name}.${axis}`
