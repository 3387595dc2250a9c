// Studio's built page on the routes of graft serve, without a model that answers there.
import { createAdaptorServer } from '@hono/node-server'
import type { Server as HttpServer } from 'node:http'
import { buildStudio } from '../../scripts/build-studio.mjs'
import { listen } from '../../src/node/serve/listen.ts'
import { openStudio } from '../../src/node/serve/studio/open-studio.ts'
import { createServer } from '../../src/server/app.ts'
import type { Service } from '../../src/server/service.ts'

export interface StudioSite {
  readonly origin: string
  /** Whether the server asks for keys. */
  keysAreNeeded: boolean
  close(): Promise<void>
}

/** Builds the page into a folder and serves it with the small model. */
export async function openStudioSite(folder: string): Promise<StudioSite> {
  await buildStudio(folder)
  const needsKey = async (): Promise<boolean> => site.keysAreNeeded
  const studio = await openStudio({ model: 'stories260k', page: folder, needsKey })
  const { fetch } = createServer({ service: {} as Service, routes: studio.routes })
  const server = createAdaptorServer({ fetch, overrideGlobalObjects: false }) as HttpServer
  const site: StudioSite = {
    origin: await listen(server, '127.0.0.1', 0),
    keysAreNeeded: false,
    async close() {
      server.closeAllConnections()
      server.close()
      await studio.close()
    },
  }
  return site
}
