// A server's batches: kept in the folder of its files, asked of the server itself.

import { join } from 'node:path'
import { integer, type OptionFields, readOptions } from '../../../base/schema.ts'
import { createAsk } from '../../../server/api/batches/answer-lines.ts'
import { BatchRunner } from '../../../server/api/batches/batch-runner.ts'
import { createBatchRoutes } from '../../../server/api/batches/batch-routes.ts'
import type { Route } from '../../../server/route.ts'
import type { OpenedFiles } from './open-files.ts'
import { openBatchFolder } from './batch-folder.ts'

export interface ServeBatchesOptions {
  /** Requests of batches that are asked at a time. Default 4. */
  readonly batchRequests?: number | undefined
}

export const batchesFields = {
  batchRequests: integer({
    from: 1,
    default: 4,
    about: 'requests of batches that run at a time, in addition to those of clients',
  }),
} satisfies OptionFields<ServeBatchesOptions>

type Fetch = (request: Request, env?: object) => Promise<Response>

export interface OpenedBatches {
  readonly routes: readonly Route[]
  /** Continues what an earlier run left; the server accepts requests from now on. */
  begin(fetch: Fetch): Promise<void>
  /** Aborts what runs; the next start continues it. */
  close(): Promise<void>
}

export function openBatches(
  { files, folder }: Pick<OpenedFiles, 'files' | 'folder'>,
  options: ServeBatchesOptions,
  onFailure: (what: string, error: unknown) => void,
): OpenedBatches {
  const { batchRequests } = readOptions('Server options', options, batchesFields)
  let fetch: Fetch
  const runner = new BatchRunner({
    store: openBatchFolder(join(folder, 'batches')),
    files,
    createAsk: (owner) => createAsk((request, env) => fetch(request, env), { onBehalfOf: owner }),
    atATime: batchRequests,
    now: Date.now,
    createId: (prefix) => prefix + crypto.randomUUID().replaceAll('-', ''),
    onFailure,
  })
  return {
    routes: createBatchRoutes({ files, runner }),
    async begin(given) {
      fetch = given
      await runner.resume()
    },
    close: () => runner.close(),
  }
}
