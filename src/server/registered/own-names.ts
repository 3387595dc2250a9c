// Checks the names that requests give to experts they load: a name must not have the form of a
// registry reference.

import { quoteName } from '../../formats/quote.ts'
import { isReference } from '../../registry/reference.ts'
import { RequestError } from '../request-error.ts'

/** Throws RequestError for a name in the form of a registry reference. */
export function checkOwnName(name: string): void {
  if (!name.includes('@') || !isReference(name)) return
  throw new RequestError(
    `The name ${quoteName(name)} means a version of an expert in the registry. Choose one without "@".`,
    { param: 'name', code: 'invalid_value' },
  )
}
