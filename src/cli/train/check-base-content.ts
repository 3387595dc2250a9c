// Whether a base is the one that a command line asks for by its hash: on several machines each finds
// its own copy.

import { MismatchError } from '../../base/errors.ts'
import type { LoadedModel } from '../../node/index.ts'

/** Throws MismatchError for a base of another content than was asked for. */
export async function checkBaseContent(
  model: LoadedModel,
  expected: string | undefined,
): Promise<void> {
  const got = expected === undefined ? undefined : await model.base.identity()
  if (got === expected || expected === undefined) return
  await model.dispose()
  throw new MismatchError(
    `${model.base.name} is not the base that was asked for`,
    [{ name: 'sha256', got: String(got), expected }],
    'Put the same files on every machine.',
  )
}
