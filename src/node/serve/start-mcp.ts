// The tools of MCP over standard input and output: the model is opened while the client makes
// itself known, and everything ends with the client.

import type { Readable, Writable } from 'node:stream'
import { readOptions, string } from '../../base/schema.ts'
import { createMcpFactory } from '../../server/api/mcp/create-mcp-server.ts'
import type { McpCaller } from '../../server/api/mcp/mcp-tool.ts'
import { listMcpTools } from '../../server/api/mcp/tool-table.ts'
import type { Service } from '../../server/service.ts'
import type { FileStore } from '../../server/api/files/file-store.ts'
import type { JobService } from '../../server/api/jobs/job-service.ts'
import { openServing, servingFields, type ServedModelOptions } from './open-serving.ts'
import { openStored, storedFields, type StoredOptions } from './state/open-stored.ts'

export interface StartMcpOptions extends ServedModelOptions, StoredOptions {
  /** The program's version, as clients see it. */
  readonly version?: string | undefined
  readonly input: Readable
  readonly output: Writable
  /** Receives errors that the client did not cause. */
  readonly onFault: (error: unknown) => void
}

export interface StartedMcp {
  /** Resolves when the model is loaded; rejects if it cannot be opened. */
  readonly ready: Promise<void>
  /** Resolves when the client has gone. */
  readonly ended: Promise<void>
  close(): Promise<void>
}

const startFields = {
  state: string({ filled: true }),
  version: string(),
  ...servingFields,
  ...storedFields,
}

/** Throws OptionError for wrong options. */
export async function startMcp(options: StartMcpOptions): Promise<StartedMcp> {
  const { input, output, onFault, ...given } = options
  const { version = '0.0.0' } = readOptions('Options of graft mcp', given, startFields)
  const { serveStdio, StdioServerTransport } = await import('@modelcontextprotocol/server/stdio')
  const opening = openAll(given)
  opening.catch(() => undefined) // `ready` reports it, and so does every call
  const service = createPending(opening.then((opened) => opened.service))
  const tools = listMcpTools({
    files: createPending<FileStore>(opening.then((opened) => opened.files)),
    jobs: createPending<JobService>(opening.then((opened) => opened.jobs)),
    readSeconds: () => Math.floor(Date.now() / 1000),
  })
  const caller: McpCaller = {
    service,
    scopes: undefined,
    owner: '',
    createId: (prefix) => prefix + crypto.randomUUID().replaceAll('-', ''),
    answer: (request, user, responseId, signal) =>
      service.generate(Object.assign({}, request, { user, responseId }), signal),
    onFault,
  }
  const ended = new Promise<void>((resolve) => {
    input.once('end', resolve)
    input.once('close', resolve)
  })
  const handle = serveStdio(await createMcpFactory({ tools, version, findCaller: () => caller }), {
    transport: new StdioServerTransport(input, output),
    onerror: onFault,
  })
  const ready = opening.then(() => undefined)
  ready.catch(() => undefined)
  return {
    ready,
    ended,
    async close() {
      await handle.close()
      const opened = await opening.catch(() => undefined)
      await opened?.close()
    },
  }
}

/** The model and its stores. */
async function openAll(options: ServedModelOptions & StoredOptions) {
  const serving = await openServing(options)
  try {
    const { service, jobs, opened, close } = await openStored(serving, options)
    return {
      service,
      jobs,
      files: opened.files,
      async close() {
        await close()
        await serving.close()
      },
    }
  } catch (error) {
    await serving.close()
    throw error
  }
}

/** An object whose calls wait until the real one is ready. */
function createPending<Of extends object>(opening: Promise<Of>): Of {
  opening.catch(() => undefined) // every call reports it
  return new Proxy({} as Of, {
    get(_, name) {
      if (name === 'generate')
        return async function* (...given: Parameters<Service['generate']>) {
          yield* ((await opening) as unknown as Service).generate(...given)
        }
      return async (...given: unknown[]): Promise<unknown> => {
        const object = await opening
        const method = Reflect.get(object, name) as (...values: unknown[]) => unknown
        return method.apply(object, given)
      }
    },
  })
}
