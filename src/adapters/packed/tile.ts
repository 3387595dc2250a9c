// The kernels of packed tensors with their own memory, and unpacking of a part of a tensor into it.
// Parts of 8,192 values stay in the processor's cache. Independent of the use of a part.

import { assertInternal, OptionError } from '../../base/errors.ts'
import { sizeOf, type Tensor, viewBytes } from '../../base/tensor.ts'
import { instantiate, type KernelHost, type KernelName } from '../../base/wasm.ts'
import { blockValues } from '../../formats/block-code.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { relaxedSimdModule, simdModule } from './compiled.ts'
import type { PackedKernels } from './kernel.ts'
import { isPackedTensor, type PackedTensor } from './packed-tensor.ts'
import { createPlainKernels } from './plain.ts'

/** Values that are unpacked at a time. */
export const partValues = 8192
const scalesAt = 2 * partValues
/** Where parts are unpacked to, in bytes. */
export const tileAt = scalesAt + (2 * partValues) / blockValues

export interface TileHost extends KernelHost<PackedKernels> {
  /** The memory, at least so large. */
  reserve(sizeBytes: number): { readonly bytes: Uint8Array; readonly floats: Float32Array }
}

/** A host with the first of the wanted kernels that runs here; by default, of all kernels. */
export function createTileHost(wanted?: readonly KernelName[]): TileHost {
  const host = instantiate<PackedKernels>(
    { 'relaxed-simd': relaxedSimdModule, simd: simdModule },
    createPlainKernels,
    wanted,
  )
  assertInternal(host, `no kernels of ${wanted?.join(', ')} run here.`)
  const { name, kernels, memory } = host
  let views = { bytes: new Uint8Array(memory.buffer), floats: new Float32Array(memory.buffer) }
  const reserve: TileHost['reserve'] = (sizeBytes) => {
    try {
      memory.reserve(sizeBytes)
    } catch (cause) {
      throw new OptionError(`Packed adapter: no memory for a product of ${sizeBytes} bytes.`, {
        cause,
      })
    }
    if (views.bytes.buffer !== memory.buffer)
      views = { bytes: new Uint8Array(memory.buffer), floats: new Float32Array(memory.buffer) }
    return views
  }
  reserve(tileAt + 4 * partValues)
  return { name, kernels, memory, reserve }
}

let shared: TileHost | undefined
/** The host that all calls share; a call ends before the next begins. */
export const getTileHost = (): TileHost => (shared ??= createTileHost())

/** A tensor in the form that kernels read. */
export interface TileSource {
  readonly form: 'f32' | 'f16' | 'bf16' | 'int8' | 'int4'
  readonly codes: Uint8Array
  readonly scales: Uint8Array
  readonly factor: number
  readonly values: number
  readonly columns: number
}

const blockBytes = { f32: 256, f16: 128, bf16: 128, int8: 64, int4: 32 } as const
const noScales = new Uint8Array(0)

/** Any tensor; types without a kernel become f32 first. */
export function toTileSource(tensor: Tensor | PackedTensor): TileSource {
  const { shape } = tensor
  const values = sizeOf(shape)
  const columns = shape.at(-1) ?? 1
  if (isPackedTensor(tensor)) {
    const { bits, factor } = tensor
    const form = bits === 16 ? 'f16' : bits === 8 ? 'int8' : 'int4'
    const codes = toBytes(tensor.codes)
    return { form, codes, scales: toBytes(tensor.scales), factor, values, columns }
  }
  const form = tensor.dtype === 'f16' || tensor.dtype === 'bf16' ? tensor.dtype : 'f32'
  const codes = form === 'f32' ? toBytes(toFloat32(tensor)) : viewBytes(tensor)
  return { form, codes, scales: noScales, factor: 1, values, columns }
}

const toBytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)

/**
 * scaling · the values `from`, the first of a block, to `to`, into the memory at `out`, up to the
 * end of the last block.
 */
export function unpackTile(
  { kernels, reserve }: TileHost,
  { form, codes, scales, factor }: TileSource,
  from: number,
  to: number,
  out: number,
  scaling: number,
): void {
  const { bytes, floats } = reserve(out + 4 * Math.ceil((to - from) / blockValues) * blockValues)
  const block = blockBytes[form]
  const whole = Math.fround(factor * scaling)
  if (form === 'f32') {
    bytes.set(codes.subarray(4 * from, 4 * to), out)
    if (whole !== 1) for (let i = out >> 2, end = i + to - from; i < end; i++) floats[i]! *= whole
    return
  }
  for (let at = from, place = out; at < to; at += partValues, place += 4 * partValues) {
    const first = at / blockValues
    const last = Math.ceil(Math.min(to, at + partValues) / blockValues)
    const part = codes.subarray(first * block, last * block)
    bytes.set(part)
    bytes.set(scales.subarray(2 * first, 2 * last), scalesAt)
    if (form === 'int8') kernels.unpack8(0, scalesAt, last - first, place, whole)
    else if (form === 'int4') kernels.unpack4(0, scalesAt, last - first, place, whole)
    else if (form === 'f16') kernels.unpackF16(0, last - first, place, whole)
    else kernels.unpackBf16(0, last - first, place, whole)
  }
}
