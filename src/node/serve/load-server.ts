// startServer without its modules: HTTP, SQLite and workers are loaded when it is called.

import type { StartedServer, StartServerOptions } from './start-server.ts'

export type { StartedServer, StartServerOptions } from './start-server.ts'

/**
 * Serves a model and its experts over HTTP, as `graft serve` does:
 *
 *     const server = await startServer({ model: 'stories260k', port: 0 })
 *     await fetch(`${server.url}/v1/models`)
 *     await server.close()
 */
export const startServer = async (options: StartServerOptions): Promise<StartedServer> =>
  (await import('./start-server.ts')).startServer(options)
