// The path of the grammar that does not compile, by the field names of its API.

import { GraftError } from '../../../base/errors.ts'
import { isRecord } from '../../../base/schema.ts'
import { toRequestError } from '../../error-response.ts'
import { RequestError } from '../../request-error.ts'

const partNames = ['schema', 'pattern', 'regex', 'grammar']

/** The path of a format's content: `response_format.json_schema.schema`. */
function extendPath(path: string, value: unknown): string {
  if (!isRecord(value)) return path
  if (isRecord(value['json_schema'])) return extendPath(`${path}.json_schema`, value['json_schema'])
  const part = partNames.find((name) => value[name] !== undefined)
  return part === undefined ? path : `${path}.${part}`
}

/** undefined if the body has no grammar. */
export function findGrammarPath(body: unknown): string | undefined {
  if (!isRecord(body)) return undefined
  const { text, output_config: output, structured_outputs: outputs } = body
  if (isRecord(outputs)) return `structured_outputs.${Object.keys(outputs)[0]}`
  for (const name of ['grammar', 'json_schema', 'format']) if (body[name] !== undefined) return name
  for (const name of ['response_format', 'output_format'])
    if (isRecord(body[name])) return extendPath(name, body[name])
  if (isRecord(text) && isRecord(text['format'])) return extendPath('text.format', text['format'])
  if (isRecord(output) && isRecord(output['format']))
    return extendPath('output_config.format', output['format'])
  return body['tools'] === undefined ? undefined : 'tools'
}

/** The same error, with the field's path if a grammar does not compile. */
export function describeGrammarFault(error: unknown, body: unknown): unknown {
  // by its name, which survives the way out of a worker
  if (!GraftError.isInstance(error) || error.name !== 'GrammarError') return error
  const found = toRequestError(error)
  if (found.param !== undefined) return error
  const { message, status, type, code } = found
  const param = findGrammarPath(body)
  return new RequestError(message, { status, type, code, param }, { cause: error })
}
