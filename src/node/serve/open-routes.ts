// What a server offers beside its model: files and batches of clients, and the tools of MCP.

import { createMcpRoutes } from '../../server/api/mcp/mcp-routes.ts'
import { mcpTools } from '../../server/api/mcp/tool-table.ts'
import type { Server } from '../../server/app.ts'
import type { Route } from '../../server/route.ts'
import { openBatches, type ServeBatchesOptions } from './state/open-batches.ts'
import { openFiles, type ServeFilesOptions } from './state/open-files.ts'
import type { OpenedOperations } from './open-operations.ts'

export interface RouteSettings {
  /** The server's folder, or 'memory': nothing outlives the server. */
  readonly state: string | undefined
  readonly files: ServeFilesOptions
  readonly batches: ServeBatchesOptions
  readonly version: string
}

export interface OpenedRoutes {
  readonly routes: readonly Route[]
  /** Goes on with what an earlier run left; from now on the server is asked. */
  begin(fetch: Server['fetch']): Promise<void>
  /** Cuts off what runs behind requests; the next start goes on with it. */
  stop(): Promise<void>
  close(): Promise<void>
}

export async function openRoutes(
  { operations, onFailure }: OpenedOperations,
  { state, files: fileOptions, batches: batchOptions, version }: RouteSettings,
): Promise<OpenedRoutes> {
  const { maxBodyBytes, onFault } = operations
  const files = await openFiles(state, fileOptions)
  const batches = openBatches(files, batchOptions, onFailure)
  return {
    routes: [
      ...files.routes,
      ...batches.routes,
      ...createMcpRoutes({ tools: mcpTools, version, maxBodyBytes, onFault }),
    ],
    begin: (fetch) => batches.begin(fetch),
    stop: () => batches.close(),
    close: files.close,
  }
}
