// Several kinds as one adapter, built from the rows of the kind table: trained together, saved as a
// folder of PEFT parts, served together. Independent of the existing kinds.
//
//     layers: y = l_n(… l_1(W))   each kind acts on the layer that those before it have changed
//
// So IA3 scales an output that includes LoRA's, and a soft prompt passes through layers that both
// have changed.

import { assertInternal } from '../../../base/errors.ts'
import { f32 } from '../../../base/tensor.ts'
import type { Value } from '../../../graph/ir.ts'
import type { ModuleInfo } from '../../../graph/model-graph.ts'
import type { Operators } from '../../../graph/operation.ts'
import type {
  AdaptedLayer,
  AdapterConfig,
  AdapterKind,
  BaseReader,
  MergedModuleWeights,
  ModuleTensors,
  ServingWeights,
} from '../kind.ts'
import { completeParts, type JointConfig, listJointOptions } from './joint-config.ts'
import { jointMark, sortKinds } from './joint-rules.ts'

/** `peft_type` of a folder whose parts are in separate folders: PEFT refuses it. */
export const jointPeftType = 'GRAFT_JOINT'

/** A kind with the configuration of its part. */
interface ActingPart {
  readonly row: AdapterKind
  readonly config: AdapterConfig
}

/** Throws what `sortKinds` throws. */
export function createJointKind(given: readonly AdapterKind[]): AdapterKind<JointConfig> {
  const rows = sortKinds(given)
  const name = rows.map((row) => row.name).join(jointMark)
  const listParts = ({ parts }: JointConfig): ActingPart[] =>
    rows.map((row) => ({ row, config: parts.find(({ kind }) => kind === row.name)!.config }))
  const listAt = (config: JointConfig, module: ModuleInfo): ActingPart[] =>
    listParts(config).filter(({ row, config: own }) => row.parameters(own, module).length > 0)
  const [outer] = rows.slice(-1) as [AdapterKind]
  const isMerged = rows.every(({ merge }) => merge)
  const refuseFile = (): never => {
    assertInternal(false, 'the parts of a joint adapter have their own files')
  }
  return {
    name,
    peftType: jointPeftType,
    effect: outer.effect,
    mark: name,
    claims: () => false,
    options: listJointOptions(rows),
    factors: rows.flatMap(({ factors = [] }) => factors),
    complete: (options) => completeParts(options, rows, `${name} options`),
    readConfig: refuseFile,
    writeConfig: ({ parts }) => ({ graft_parts: parts.map(({ kind }) => kind) }),
    parameters: (config, module) =>
      listParts(config).flatMap(({ row, config: own }) => row.parameters(own, module)),
    shared: (config, modules, model) =>
      listParts(config).flatMap(({ row, config: own }) => row.shared?.(own, modules, model) ?? []),
    apply: (g, layer, config) => applyAll(g, layer, listAt(config, layer.module)),
    applyToBlock: (block, config, model) =>
      listParts(config).reduce(
        (now, { row, config: own }) => row.applyToBlock?.(now, own, model) ?? now,
        block,
      ),
    ...(rows.some(({ virtualTokens }) => virtualTokens) && {
      virtualTokens: (config: JointConfig) =>
        listParts(config).reduce(
          (sum, { row, config: own }) => sum + (row.virtualTokens?.(own) ?? 0),
          0,
        ),
    }),
    ...(isMerged && {
      merge: (config: JointConfig, at: ModuleTensors) => mergeAll(listAt(config, at.module), at),
    }),
    servesFromBase: rows.some(({ servesFromBase }) => servesFromBase),
    serve: (config, at) => serveAll(listAt(config, at.module), at),
  }
}

/** The last part's layer, whose base is the layer of those before it. */
function applyAll(g: Operators, layer: AdaptedLayer, parts: readonly ActingPart[]): Value {
  const stacked = parts.reduce<AdaptedLayer>(
    (inner, { row, config }) => ({
      ...inner,
      base: (changes = {}) => row.apply(g, withChanges(inner, changes), config),
    }),
    layer,
  )
  return stacked.base()
}

/** The layer with another input, or another bias of the base. */
function withChanges(
  inner: AdaptedLayer,
  changes: NonNullable<Parameters<AdaptedLayer['base']>[0]>,
): AdaptedLayer {
  const { x = inner.x, bias = inner.bias } = changes
  return { ...inner, x, bias, base: (own = {}) => inner.base({ ...changes, ...own }) }
}

/** Merges each part into the result of the parts before it. */
function mergeAll(
  parts: readonly ActingPart[],
  { module, base, tensor }: ModuleTensors,
): MergedModuleWeights {
  let merged: MergedModuleWeights | undefined
  for (const { row, config } of parts) {
    const before = merged
    const now: BaseReader = (part) =>
      (part === 'weight' ? before?.weight : before?.bias) ?? base(part)
    const { weight, bias = before?.bias } = row.merge!(config, { module, base: now, tensor })
    merged = { weight, ...(bias && { bias }) }
  }
  assertInternal(merged, `${module.path} has no part that is merged`)
  return merged
}

/** undefined if a part has no serving weights. */
function serveAll(parts: readonly ActingPart[], at: ModuleTensors): ServingWeights | undefined {
  let served: ServingWeights | undefined
  for (const { row, config } of parts) {
    const form = row.serve?.(config, at)
    if (!form) return undefined
    served = served ? stackServing(served, form) : form
  }
  return served
}

/** `outer` around `inner`: factors scale everything, matrices are summed. */
function stackServing(inner: ServingWeights, outer: ServingWeights): ServingWeights {
  const { A, B } = outer.A.shape[0] === 0 ? inner : joinMatrices(inner, outer)
  const u = multiply(inner.u?.data, outer.u?.data)
  const v = multiply(inner.v?.data, outer.v?.data)
  const scaled = inner.shift && multiply(inner.shift.data, outer.v?.data)
  const shift = add(scaled, outer.shift?.data)
  return {
    A,
    B,
    ...(u && { u: f32([u.length], u) }),
    ...(v && { v: f32([v.length], v) }),
    ...(shift && { shift: f32([shift.length], shift) }),
  }
}

/** [A₁; A₂] and [B₁, B₂]. */
function joinMatrices(one: ServingWeights, other: ServingWeights): Pick<ServingWeights, 'A' | 'B'> {
  const [ranks, inFeatures] = [one.A.shape[0]! + other.A.shape[0]!, one.A.shape[1]!]
  const A = f32([ranks, inFeatures])
  A.data.set(one.A.data)
  A.data.set(other.A.data, one.A.data.length)
  const [outFeatures, rank] = one.B.shape as [number, number]
  const B = f32([outFeatures, ranks])
  for (let row = 0; row < outFeatures; row++) {
    B.data.set(one.B.data.subarray(row * rank, (row + 1) * rank), row * ranks)
    const own = ranks - rank
    B.data.set(other.B.data.subarray(row * own, (row + 1) * own), row * ranks + rank)
  }
  return { A, B }
}

type Vector = Float32Array | undefined

const multiply = (a: Vector, b: Vector): Vector =>
  a && b ? a.map((value, i) => value * b[i]!) : (a ?? b)

const add = (a: Vector, b: Vector): Vector =>
  a && b ? a.map((value, i) => value + b[i]!) : (a ?? b)
