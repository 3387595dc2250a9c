// Checks the names that requests give to experts they load: a name like coder@1.2.0 is refused,
// because it means a version of the registry.

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
