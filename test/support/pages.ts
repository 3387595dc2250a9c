// Bundles pages and serves them from this machine as a separate site. Independent of the pages'
// contents.
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'
import { build, type Plugin, type Rollup } from 'vite'
import { root } from './sources.ts'

/**
 * The package says that its modules have no side effects, and a bundler leaves them out where
 * nothing is taken from them; test files have nothing else.
 */
const testsMatter: Plugin = {
  name: 'tests-matter',
  transform: {
    filter: { id: /\.test\.ts$/ },
    handler: (code) => ({ code, map: null, moduleSideEffects: true }),
  },
}

/** Where the sites of tests serve ONNX Runtime's own files. */
export const runtimeFolder = '/ort/'
const runtimeModule = `${runtimeFolder}ort.wasm.min.mjs`

/** Tests that were written for Node's library get the browser's. */
const nodeRuntime = join(root, 'test/browser/pages/node-runtime.ts')

/**
 * One page's program as a single module; `vitest` in it is test/browser/pages/suite.ts, and ONNX
 * Runtime is loaded from its own files beside it.
 */
export async function bundled(entry: string, minify = false): Promise<string> {
  const result = (await build({
    configFile: false,
    root,
    logLevel: 'error',
    plugins: [testsMatter],
    resolve: {
      alias: {
        vitest: join(root, 'test/browser/pages/suite.ts'),
        'onnxruntime-node': nodeRuntime,
      },
    },
    build: {
      write: false,
      minify,
      target: 'esnext',
      lib: { entry: join(root, entry), formats: ['es'], fileName: 'page' },
      rolldownOptions: {
        external: ['onnxruntime-web/wasm'],
        output: { codeSplitting: false, paths: { 'onnxruntime-web/wasm': runtimeModule } },
      },
    },
  })) as Rollup.RollupOutput[]
  return result[0]!.output[0].code
}

export interface Site {
  /** Without a path: `http://127.0.0.1:40123`. */
  readonly origin: string
  close(): Promise<void>
}

export interface SiteOptions {
  /** Folders that are served as they are, by the first part of the path: `{ models: '/data' }`. */
  readonly folders?: Readonly<Record<string, string>>
  /** Whether pages get the two headers that threads need. Default: true. */
  readonly isIsolated?: boolean
}

const ownFolders = { ort: join(root, 'node_modules/onnxruntime-web/dist') }

const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}

const contentTypes: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
}

/** Serves each program as `/<name>`, a page with nothing but the program in it. */
export async function serve(
  programs: ReadonlyMap<string, string>,
  { folders = {}, isIsolated = true }: SiteOptions = {},
): Promise<Site> {
  const mounted: Readonly<Record<string, string>> = Object.assign({}, ownFolders, folders)
  const headers = isIsolated ? isolation : {}
  const server = createServer((request, response) => {
    const [, name = '', file, ...rest] = decodeURIComponent(
      (request.url ?? '').replace(/[?#].*$/, ''),
    ).split('/')
    for (const [key, value] of Object.entries<string>(headers)) response.setHeader(key, value)
    const program = programs.get(name)
    const folder = mounted[name]
    if (folder !== undefined)
      sendFile(request, response, join(folder, normalize([file, ...rest].join('/'))))
    else if (program === undefined) response.writeHead(404).end()
    else if (file === 'page.js')
      response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(program)
    else
      response
        .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
        .end(
          `<!doctype html><title>${name}</title><script type="module" src="/${name}/page.js"></script>`,
        )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** A file or the range of it that is asked for. */
function sendFile(request: IncomingMessage, response: ServerResponse, path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isFile()) return void response.writeHead(404).end()
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = range ? Number(range[1]) : 0
  const end = range?.[2] ? Math.min(Number(range[2]), found.size - 1) : found.size - 1
  response.writeHead(range ? 206 : 200, {
    'content-type': contentTypes[extname(path)] ?? 'application/octet-stream',
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
    ...(range && { 'content-range': `bytes ${start}-${end}/${found.size}` }),
  })
  if (request.method === 'HEAD') response.end()
  else createReadStream(path, { start, end }).pipe(response)
}
