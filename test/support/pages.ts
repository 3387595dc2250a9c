// Bundles pages and serves them from this machine, as a site of their own. Knows nothing of what
// the pages do.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
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

/** One page's program as a single module; `vitest` in it is test/browser/pages/suite.ts. */
export async function bundled(entry: string, minify = false): Promise<string> {
  const result = (await build({
    configFile: false,
    root,
    logLevel: 'error',
    plugins: [testsMatter],
    resolve: { alias: { vitest: join(root, 'test/browser/pages/suite.ts') } },
    build: {
      write: false,
      minify,
      target: 'esnext',
      lib: { entry: join(root, entry), formats: ['es'], fileName: 'page' },
      rolldownOptions: { output: { codeSplitting: false } },
    },
  })) as Rollup.RollupOutput[]
  return result[0]!.output[0].code
}

export interface Site {
  /** Without a path: `http://127.0.0.1:40123`. */
  readonly origin: string
  close(): Promise<void>
}

/** Serves each program as `/<name>`, a page with nothing but the program in it. */
export async function serve(programs: ReadonlyMap<string, string>): Promise<Site> {
  const server = createServer((request, response) => {
    const [, name = '', file] = (request.url ?? '').split('/')
    const program = programs.get(name)
    if (program === undefined) response.writeHead(404).end()
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
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  }
}
