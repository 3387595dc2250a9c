// A base's weights with adapters merged in, as a tensor store: each weight is merged when it is
// read, and none is kept.

import { countBytes, type DType, isBlockType } from '../../base/dtype.ts'
import { assertInternal, NumericError } from '../../base/errors.ts'
import { isAllFinite } from '../../base/finite.ts'
import { f32, sizeOf, type F32Tensor } from '../../base/tensor.ts'
import { checkAdapter, type Adapter } from '../../adapters/adapter.ts'
import { listMergeSteps, type MergeStep } from '../../adapters/merge-weights.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { encodeAsDtype, hasWholeBlocks, toWritableType } from '../../formats/encode-dtype.ts'
import type { TensorInfo, TensorStore } from '../../formats/tensor-store.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { toFiniteFloat32 } from '../../graph/read-weights.ts'

/** An adapter and how much of its change is taken: W' = W + Σ weight·(W_adapter − W). */
export interface WeightedAdapter {
  readonly adapter: Adapter
  readonly weight: number
}

/** A tensor that the merge changed. */
export interface MergedTensor {
  readonly name: string
  /** Its type in the base. */
  readonly from: DType
  /** Its type now. */
  readonly to: DType
  /** ‖given − exact‖_F / ‖exact‖_F: what the type has rounded away. */
  readonly error: number
  /**
   * ‖given − exact‖_F / ‖exact − base‖_F: the same relative to the change. At 1 the rounding is as
   * large as the adapters' effect.
   */
  readonly errorOfChange: number
}

export interface MergedWeightsOptions {
  /**
   * The type of a tensor that changes, where it is not f32. Blocks that rows do not fill, or that
   * cannot be written, become f16.
   */
  readonly typeOf?: (name: string, info: TensorInfo) => DType
  /** Called when a tensor that changes has been read. */
  readonly onMerged?: (merged: MergedTensor) => void
}

/** What one weight is made of. */
interface Change {
  readonly parts: readonly { readonly step: MergeStep; readonly weight: number }[]
  readonly info: TensorInfo
}

/**
 * The base's tensor store with the adapters merged in. Tensors that no adapter touches are
 * unchanged, in their own type. Throws MismatchError for an adapter that does not fit,
 * UnsupportedError for kinds without a weight and for shared weights, NumericError for NaN or
 * infinity: in an adapter at once, in the base when the tensor is read.
 */
export function createMergedWeights(
  { graph, weights }: Pick<BaseModel, 'graph' | 'weights'>,
  parts: readonly WeightedAdapter[],
  { typeOf = () => 'f32', onMerged = () => undefined }: MergedWeightsOptions = {},
): TensorStore & { readonly changing: ReadonlySet<string> } {
  for (const { adapter } of parts) checkAdapter(adapter, graph)
  const found = new Map<string, { step: MergeStep; weight: number }[]>()
  for (const { adapter, weight } of parts)
    for (const step of listMergeSteps(graph, adapter))
      for (const name of step.writes)
        found.set(name, [...(found.get(name) ?? []), { step, weight }])
  const changes = new Map<string, Change>()
  for (const [name, own] of weights.tensors) {
    const of = found.get(name)
    if (of) changes.set(name, { parts: of, info: resolveInfo(own, typeOf(name, own)) })
  }
  const exactly = createMerger(weights)
  return {
    ...weights,
    changing: new Set(changes.keys()),
    tensors: new Map(
      [...weights.tensors].map(([name, info]) => [name, changes.get(name)?.info ?? info]),
    ),
    async read(name) {
      const change = changes.get(name)
      if (!change) return weights.read(name)
      const exact = await exactly(name, change)
      const from = weights.tensors.get(name)!.dtype
      const to = change.info.dtype
      if (!exact)
        return from === to
          ? weights.read(name)
          : encodeAsDtype(name, toFiniteFloat32(name, await weights.read(name)), to)
      if (!isAllFinite(exact.data))
        throw new NumericError(
          `Tensor "${name}": the merged weight exceeds the range of f32. Is a weight too large?`,
        )
      const tensor = encodeAsDtype(name, exact, to)
      const errors =
        to === 'f32'
          ? { error: 0, errorOfChange: 0 }
          : computeErrors(toFloat32(tensor), exact.data, toFloat32(await weights.read(name)))
      onMerged({ name, from, to, ...errors })
      return tensor
    },
  }
}

function resolveInfo({ shape }: TensorInfo, wanted: DType): TensorInfo {
  const dtype = hasWholeBlocks(wanted, shape) ? toWritableType(wanted) : 'f16'
  return { dtype, shape, sizeBytes: countBytes(dtype, sizeOf(shape)) }
}

/**
 * Returns a weight with its parts merged in, in f32; undefined if none of them changes it (such as
 * the bias of a changed weight).
 */
function createMerger(
  weights: TensorStore,
): (name: string, change: Change) => Promise<F32Tensor | undefined> {
  // One merge step computes a module's weight and bias, which are usually read one after the other.
  let last:
    { readonly step: MergeStep; readonly merged: ReadonlyMap<string, F32Tensor> } | undefined
  const mergedBy = async (step: MergeStep): Promise<ReadonlyMap<string, F32Tensor>> => {
    if (last?.step === step) return last.merged
    last = undefined
    const own = new Map<string, F32Tensor>()
    for (const name of step.reads) own.set(name, toFiniteFloat32(name, await weights.read(name)))
    const merged = new Map(step.merge((name) => own.get(name)!))
    last = { step, merged }
    return merged
  }
  return async (name, { parts }) => {
    let sum: F32Tensor | undefined
    for (const { step, weight } of parts) {
      const one = (await mergedBy(step)).get(name)
      if (!one) continue
      if (parts.length === 1 && weight === 1) return one
      const base = toFiniteFloat32(name, await weights.read(name))
      sum ??= f32(base.shape, base.data.slice())
      assertInternal(sum.data.length === one.data.length, `${name} has two sizes`)
      for (let i = 0; i < sum.data.length; i++)
        sum.data[i]! += weight * (one.data[i]! - base.data[i]!)
    }
    return sum
  }
}

function computeErrors(
  given: Float32Array,
  exact: Float32Array,
  base: Float32Array,
): Pick<MergedTensor, 'error' | 'errorOfChange'> {
  let lost = 0
  let size = 0
  let change = 0
  for (let i = 0; i < exact.length; i++) {
    lost += (given[i]! - exact[i]!) ** 2
    size += exact[i]! ** 2
    change += (exact[i]! - base[i]!) ** 2
  }
  const share = (total: number): number => (lost > 0 ? Math.sqrt(lost / total) : 0)
  return { error: share(size), errorOfChange: share(change) }
}

/** The tensor's type in its file, if that type can be written. */
export const resolveOwnType = (_name: string, { dtype }: TensorInfo): DType => toWritableType(dtype)

/** Whether a tensor's type changed, or it was quantised again. */
export const isRequantised = ({ from, to }: MergedTensor): boolean => from !== to || isBlockType(to)
