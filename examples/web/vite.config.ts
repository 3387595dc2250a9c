// Shows these pages: `node node_modules/vite/bin/vite.js examples/web` in a checkout. Your own
// project needs only the two headers of this; the rest finds the library's sources.
import { createReadStream, existsSync, globSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Connect, defineConfig, type Plugin } from 'vite'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..', '..')
/** With these a page may use several threads; without them everything runs on one. */
const headers = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
}

/**
 * The model that travels with the library, under /models/: your own site copies its model there.
 */
const serveModel: Connect.NextHandleFunction = (request, response, next) => {
  const name = /^\/models\/(stories260k\/[\w.-]+)$/.exec(request.url ?? '')?.[1]
  const file = name && join(root, 'src', 'catalogue', 'models', name)
  if (!file || !statSync(file, { throwIfNoEntry: false })?.isFile()) return next()
  response.setHeader('content-length', statSync(file).size)
  createReadStream(file).pipe(response)
}
const models: Plugin = {
  name: 'models',
  configureServer: (server) => void server.middlewares.use(serveModel),
  configurePreviewServer: (server) => void server.middlewares.use(serveModel),
}

/** React is installed for the tests alone; without it there is no page with it. */
const tools = join(root, 'test', 'browser', 'node_modules')
const folders = ['micro', 'apps', 'offline', 'studio']
if (existsSync(join(tools, 'react'))) folders.push('react')

export default defineConfig({
  root: here,
  base: './',
  plugins: [models],
  resolve: {
    alias: [
      { find: /^graftlm\/([a-z]+)$/, replacement: join(root, 'src', '$1', 'index.ts') },
      { find: /^(react|react-dom)(?=\/|$)/, replacement: join(tools, '$1') },
    ],
  },
  server: { headers, fs: { allow: [root] } },
  preview: { headers },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    manifest: 'assets/manifest.json',
    rolldownOptions: {
      input: globSync(`{*,{${folders.join(',')}}/*}.html`, { cwd: here }).map((path) =>
        join(here, path),
      ),
    },
  },
})
