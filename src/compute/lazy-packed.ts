// Weights that are packed when they are first read. A runtime that computes in f32 unpacks the
// file's blocks directly instead, so that no packed copy exists.

import { blockLayout, isBlockType } from '../base/dtype.ts'
import { assertInternal } from '../base/errors.ts'
import { type Tensor, viewBytes } from '../base/tensor.ts'
import { toFloat32 } from '../formats/convert.ts'
import { quants } from '../formats/quants/quant-table.ts'

/** What a tensor is without its values. */
export type TensorForm = Omit<Tensor, 'data'>

/** Weights of one width as the file has them, one below the other; read again where they are needed. */
export class FileBlocks {
  readonly #read: () => Promise<readonly Tensor[]>
  #held: readonly Tensor[] | undefined

  constructor(read: () => Promise<readonly Tensor[]>) {
    this.#read = read
  }

  /** Throws what reading throws. */
  async load(): Promise<void> {
    this.#held ??= await this.#read()
  }

  release(): void {
    this.#held = undefined
  }

  get tensors(): readonly Tensor[] {
    assertInternal(this.#held, 'blocks are loaded before they are read')
    return this.#held
  }
}

/** By the code tensor that is packed from them. */
const blocksByCodes = new WeakMap<Tensor, FileBlocks>()

/**
 * The tensors that `pack` gives, of these forms, packed at the first read of one of them; `codes`
 * names the tensor that identifies the whole weight.
 */
export function createLazyPacked(
  forms: ReadonlyMap<string, TensorForm>,
  codes: string,
  blocks: FileBlocks,
  pack: (tensors: readonly Tensor[]) => ReadonlyMap<string, Tensor>,
): Map<string, Tensor> {
  let packed: ReadonlyMap<string, Tensor> | undefined
  const made = new Map(
    [...forms].map(([name, { dtype, shape }]): [string, Tensor] => [
      name,
      {
        dtype,
        shape,
        get data() {
          packed ??= pack(blocks.tensors)
          return packed.get(name)!.data
        },
      },
    ]),
  )
  blocksByCodes.set(made.get(codes)!, blocks)
  return made
}

/** The blocks from which a code tensor is packed, where it is a whole weight. */
export const findBlocks = (codes: Tensor): FileBlocks | undefined => blocksByCodes.get(codes)

/** Rows of weights that are one below the other, from `firstRow` on, in f32 until `rows` is full. */
export function unpackRows(blocks: readonly Tensor[], rows: Float32Array, firstRow: number): void {
  const width = blocks[0]!.shape[1]!
  const end = firstRow + rows.length / width
  let start = 0
  for (const tensor of blocks) {
    const count = tensor.shape[0]!
    const from = Math.max(firstRow, start)
    const to = Math.min(end, start + count)
    if (from < to)
      unpackInto(
        tensor,
        [from - start, to - start],
        rows.subarray((from - firstRow) * width, (to - firstRow) * width),
      )
    start += count
  }
  assertInternal(end <= start, "the rows are the weight's")
}

function unpackInto(
  tensor: Tensor,
  [from, to]: readonly [number, number],
  into: Float32Array,
): void {
  const { dtype } = tensor
  const width = tensor.shape[1]!
  if (!isBlockType(dtype)) return into.set(toFloat32(tensor).subarray(from * width, to * width))
  const { elements, bytes } = blockLayout[dtype]
  const rowBytes = (width / elements) * bytes
  quants[dtype].dequantize(viewBytes(tensor).subarray(from * rowBytes, to * rowBytes), into)
}
