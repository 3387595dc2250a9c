// Checks a base against the hash on the command line, because each of several machines finds its
// own copy.

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
