// Names that requests may give experts which they load themselves: none that a registry would read.

import { quoteName } from '../../formats/quote.ts'
import { isReference } from '../../registry/reference.ts'
import { RequestError } from '../request-error.ts'

/** Throws RequestError for a name that means a version of the registry. */
export function checkOwnName(name: string): void {
  if (!name.includes('@') || !isReference(name)) return
  throw new RequestError(
    `The name ${quoteName(name)} means a version of an expert in the registry. Choose one without "@".`,
    { param: 'name', code: 'invalid_value' },
  )
}
