// Several writers of one item, as several servers have it.

import { setTimeout as sleep } from 'node:timers/promises'
import { ConflictError } from '../../src/base/errors.ts'
import { absentVersion, type UserStore } from '../../src/learn/store/user-store.ts'

/** Each store adds 1 to one number so many times; how far it came, and how often one was told. */
export async function countTogether(
  stores: readonly UserStore[],
  times: number,
): Promise<{ count: number; told: number }> {
  let told = 0
  const read = (bytes: Uint8Array | undefined): number =>
    bytes ? Number(new TextDecoder().decode(bytes)) : 0
  await Promise.all(
    stores.map(async (store) => {
      for (let done = 0; done < times;) {
        const found = await store.get('all', 'count')
        const next = new TextEncoder().encode(String(read(found?.bytes) + 1))
        try {
          await store.put('all', 'count', next, found?.version ?? absentVersion)
          done++
        } catch (error) {
          if (!(error instanceof ConflictError)) throw error
          told++
          await sleep((told * 7) % 40) // not all at once again
        }
      }
    }),
  )
  return { count: read((await stores[0]!.get('all', 'count'))?.bytes), told }
}
