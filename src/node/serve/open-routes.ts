// What a server offers besides its model: files, jobs and batches of clients, and the tools of MCP.

import { createJobRoutes } from '../../server/api/jobs/job-routes.ts'
import { createMcpRoutes } from '../../server/api/mcp/mcp-routes.ts'
import { listMcpTools } from '../../server/api/mcp/tool-table.ts'
import type { Server } from '../../server/app.ts'
import type { Route } from '../../server/route.ts'
import type { OpenedOperations } from './open-operations.ts'
import type { OpenedStored } from './state/open-stored.ts'
import { openBatches, type ServeBatchesOptions } from './state/open-batches.ts'

export interface RouteSettings {
  readonly batches: ServeBatchesOptions
  readonly version: string
}

export interface OpenedRoutes {
  readonly routes: readonly Route[]
  /** Continues what an earlier run left; the server accepts requests from now on. */
  begin(fetch: Server['fetch']): Promise<void>
  /** Aborts running batches; the next start continues them. */
  stop(): Promise<void>
}

const readSeconds = (): number => Math.floor(Date.now() / 1000)

export function openRoutes(
  { operations, onFailure }: OpenedOperations,
  { opened, jobs }: OpenedStored,
  { batches: batchOptions, version }: RouteSettings,
): OpenedRoutes {
  const { maxBodyBytes, onFault } = operations
  const { files } = opened
  const batches = openBatches(opened, batchOptions, onFailure)
  return {
    routes: [
      ...opened.routes,
      ...createJobRoutes({ files, jobs }),
      ...batches.routes,
      ...createMcpRoutes({
        tools: listMcpTools({ files, jobs, readSeconds }),
        version,
        maxBodyBytes,
        onFault,
      }),
    ],
    begin: (fetch) => batches.begin(fetch),
    stop: () => batches.close(),
  }
}
