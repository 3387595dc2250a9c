// Clients from test/clients/node_modules, where they are installed. Untyped: the project's own types
// are checked without them.

import { existsSync } from 'node:fs'

export const areInstalled = existsSync(new URL('./node_modules/openai', import.meta.url))

/** What an installed package exports. */
export const loadClient = async (name: string): Promise<LoadedClient> =>
  (await import(/* @vite-ignore */ import.meta.resolve(name))) as LoadedClient

type LoadedClient = ReturnType<typeof JSON.parse>
