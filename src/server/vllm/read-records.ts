// The stream of an OpenAI-compatible server as records: server-sent events of JSON, to `[DONE]`.

import { GraftError } from '../../base/errors.ts'
import { isRecord } from '../../base/schema.ts'

/** Another server refused, disconnected, or sent an invalid answer. */
export class UpstreamError extends GraftError {}

/** Characters of another server's error that are shown. */
export const shownCharacters = 200

/** Throws UpstreamError for a record that is not a JSON object, and for an error in the stream. */
export async function* readRecords(
  response: Response,
): AsyncGenerator<Readonly<Record<string, unknown>>, void> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    rest += decoder.decode(bytes, { stream: true })
    const lines = rest.split(/\r?\n/)
    rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith('data:')) continue
      const text = line.slice(5).trim()
      if (text === '[DONE]') return
      yield parseRecord(text)
    }
  }
}

export function parseRecord(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new UpstreamError('a record of its stream is not JSON', { cause })
  }
  if (!isRecord(value)) throw new UpstreamError('a record of its stream is not an object')
  const { error } = value
  if (error !== undefined)
    throw new UpstreamError(
      `it sent an error: ${(isRecord(error) ? String(error['message']) : String(error)).slice(0, shownCharacters)}`,
    )
  return value
}
