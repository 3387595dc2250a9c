// A site of folders on this machine, served as by a plain web server: types, byte ranges, and on
// request the two headers of cross-origin isolation. Independent of what it serves.
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { extname, join, normalize } from 'node:path'

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
}
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
}

export interface StaticSite {
  /** Without a path: `http://127.0.0.1:40123`. */
  readonly origin: string
  /** Paths that were asked for, in order. */
  readonly requests: string[]
  close(): Promise<void>
}

export interface StaticSiteOptions {
  /** Folders by the path they are served under, which ends in a slash; the longest path counts. */
  readonly folders: Readonly<Record<string, string>>
  /** Whether pages may use threads. Default: true. */
  readonly isolated?: boolean
}

/** The file that a path names, or undefined. */
function findFile(folders: StaticSiteOptions['folders'], path: string): string | undefined {
  const prefix = Object.keys(folders)
    .filter((candidate) => path.startsWith(candidate))
    .sort((a, b) => b.length - a.length)[0]
  if (prefix === undefined) return undefined
  const inside = normalize(path.slice(prefix.length)).replace(/^(\.\.[/\\])+/, '')
  const file = join(
    folders[prefix]!,
    inside === '.' || inside.endsWith('/') ? `${inside}/index.html` : inside,
  )
  return statSync(file, { throwIfNoEntry: false })?.isFile() ? file : undefined
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: string): void {
  const { size } = statSync(file)
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = asked ? Number(asked[1]) : 0
  const end = asked && asked[2] !== '' ? Math.min(Number(asked[2]), size - 1) : size - 1
  response.setHeader('content-type', types[extname(file)] ?? 'application/octet-stream')
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('content-length', end - start + 1)
  if (asked) response.setHeader('content-range', `bytes ${start}-${end}/${size}`)
  response.writeHead(asked ? 206 : 200)
  if (request.method === 'HEAD' || size === 0) response.end()
  else createReadStream(file, { start, end }).pipe(response)
}

/** Serves until it is closed; requests that are still open are ended then. */
export async function serveFolders({
  folders,
  isolated = true,
}: StaticSiteOptions): Promise<StaticSite> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://site').pathname)
    requests.push(path)
    if (isolated)
      for (const [name, value] of Object.entries(isolation)) response.setHeader(name, value)
    response.setHeader('cache-control', 'no-cache')
    const file = findFile(folders, path)
    if (file === undefined) response.writeHead(404).end('not found')
    else sendFile(request, response, file)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
