// An adapter on disk that a trusted key has signed, before its base is open.

import type { LocatedAdapter } from '../located-adapter.ts'
import { getBaseSource } from '../models/base-name.ts'
import { readAdapterFolder } from './read-adapter-folder.ts'
import { openKeys, type TrustedKey } from './trusted-keys.ts'

/** As `locateAdapter`, of signed folders only. Throws SignatureError for any other. */
export async function locateSignedAdapter(
  path: string,
  trustedKeys: readonly TrustedKey[],
): Promise<LocatedAdapter> {
  const { adapter, notes } = await readAdapterFolder(path, {
    trustedKeys: await openKeys(trustedKeys),
  })
  const named = notes ? undefined : adapter.baseModel
  return {
    path,
    source: { format: 'peft', path },
    notes,
    adapter,
    kind: adapter.kind,
    base: named === undefined || named === '' ? notes?.base : getBaseSource(named),
  }
}
