// A client that takes little CPU time compared with the server that it measures: raw responses,
// bytes counted and not parsed.

import { Agent, request } from 'node:http'

/** Connections stay open, as many as there are requests at a time. */
export const createClientAgent = (): Agent => new Agent({ keepAlive: true, maxSockets: Infinity })

export interface TimedResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** Milliseconds from sending until the first byte of the body. */
  readonly firstMs: number
  readonly totalMs: number
  readonly text: string
}

/** Sends JSON, or asks for a page if there is no body. Throws what the socket throws. */
export function requestTimed(
  url: string,
  { agent, body }: { readonly agent: Agent; readonly body?: object },
): Promise<TimedResponse> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const sent = request(url, { agent, headers, method: body === undefined ? 'GET' : 'POST' })
    sent.once('error', reject)
    sent.once('response', (response) => {
      const parts: Buffer[] = []
      let firstMs = NaN
      response.on('data', (part: Buffer) => {
        if (parts.length === 0) firstMs = performance.now() - startedAt
        parts.push(part)
      })
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          firstMs,
          totalMs: performance.now() - startedAt,
          text: Buffer.concat(parts).toString(),
        }),
      )
    })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** The value that a share of all values is not above. */
export function selectQuantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? NaN
}
