// The text of a request's body, with a size limit: a longer one is refused before it is read whole.

import { RequestError } from './request-error.ts'

export interface BodySource {
  readonly raw: Request
  header(name: string): string | undefined
  text(): Promise<string>
}

/** Throws RequestError of status 413 for a longer body. */
export async function readText(request: BodySource, maxBytes: number): Promise<string> {
  const declared = request.header('content-length')
  if (declared !== undefined) {
    // HTTP lets through no more than was declared
    if (Number(declared) > maxBytes) throw refuseLength(Number(declared), maxBytes)
    return request.text()
  }
  const reader = request.raw.body?.getReader()
  if (reader === undefined) return ''
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes += part.value.length
    if (bytes > maxBytes) {
      void reader.cancel()
      throw refuseLength(bytes, maxBytes)
    }
    text += decoder.decode(part.value, { stream: true })
  }
  return text + decoder.decode()
}

/** The error of a body that is too long. */
export const refuseLength = (bytes: number, maxBytes: number): RequestError =>
  new RequestError(
    `The body has ${bytes} bytes or more; this server allows ${maxBytes}. Send less at a time.`,
    { status: 413, code: 'body_too_large' },
  )
