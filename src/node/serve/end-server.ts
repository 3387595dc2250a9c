// Graceful shutdown of a server: /readyz returns 503, new requests are refused, running ones are
// completed, and connections are closed.

import type { Server } from 'node:http'
import type { Lifecycle } from '../../server/health/lifecycle.ts'

/** How long a request that was cut may take to end. */
const cutRequestMs = 5000

export interface EndedServer {
  /** Whether all requests were completed. */
  readonly isWhole: boolean
  readonly cutRequests: number
}

/** `limitMs`: how long requests may still take; then they are cut off. */
export async function endServer(
  server: Pick<Server, 'close' | 'closeAllConnections' | 'closeIdleConnections'>,
  lifecycle: Lifecycle,
  limitMs: number,
): Promise<EndedServer> {
  const startedAt = performance.now()
  const isWhole = await lifecycle.drain(limitMs)
  const cutRequests = lifecycle.openRequests
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  // an answer is whole when its last bytes have left; a client that does not read them is cut off
  const restMs = isWhole ? Math.max(1000, limitMs - (performance.now() - startedAt)) : 0
  const timer = setTimeout(() => server.closeAllConnections(), restMs)
  await closed
  clearTimeout(timer)
  // requests that were cut write their usage when they end, which must be before the store closes
  if (!isWhole) await lifecycle.drain(cutRequestMs)
  return { isWhole, cutRequests }
}
