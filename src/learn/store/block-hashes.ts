// Hashes of an image's blocks, by which a delta finds the changed blocks. Independent of stores.

import { computeSha256, toHex } from '../../base/sha256.ts'
import { blockBytes, blockOf, countBlocks } from './checkpoint-file.ts'

export interface ImageHashes {
  readonly blocks: readonly string[]
  /**
   * Of 16 blocks each: where one is unchanged its blocks need no hash each, because a call takes
   * longer than hashing a block.
   */
  readonly groups: readonly string[]
}

const groupBlocks = 16

/** `known`: hashes of an earlier image, reused where a group is unchanged. */
export async function computeHashes(image: Uint8Array, known?: ImageHashes): Promise<ImageHashes> {
  const blocks = countBlocks(image.length)
  const groupBytes = groupBlocks * blockBytes
  const groups = await Promise.all(
    Array.from({ length: Math.ceil(blocks / groupBlocks) }, async (_, group) =>
      toHex(await computeSha256(image.subarray(group * groupBytes, (group + 1) * groupBytes))),
    ),
  )
  const byGroup = groups.map(async (hash, group) => {
    const first = group * groupBlocks
    const end = Math.min(blocks, (group + 1) * groupBlocks)
    if (known?.groups[group] === hash) return known.blocks.slice(first, end)
    return Promise.all(
      Array.from({ length: end - first }, async (_, i) =>
        toHex(await computeSha256(blockOf(image, first + i))),
      ),
    )
  })
  return { groups, blocks: (await Promise.all(byGroup)).flat() }
}
