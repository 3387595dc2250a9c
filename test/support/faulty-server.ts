// A server of one file with faults: no ranges, short bodies, cuts, changed files, pages in place of
// files, no permission for other sites. Independent of the client.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Faults {
  /** Answers with the whole file whatever is asked for. */
  noRanges?: boolean
  /** Ends the connection after so many bytes of a body; each answer, or so many of them. */
  cutAfter?: number
  cuts?: number
  /** Ends the connection before the first byte. */
  isDown?: boolean
  /** A status in place of the file. */
  status?: number
  /** A page of HTML in place of the file. */
  isPage?: boolean
  /** Other sites may not read. */
  noCors?: boolean
  /** Waits so long before each part of 1 MB. */
  slowMs?: number
  /** Says no length. */
  noLength?: boolean
}

export interface FaultyServer {
  readonly origin: string
  readonly url: string
  bytes: Uint8Array
  /** Of a larger file that is zeros behind `bytes`. */
  sizeBytes: number | undefined
  etag: string
  faults: Faults
  /** Bytes of bodies that were written. */
  sentBytes: number
  /** The ranges that were asked for, as they were written; '' for the whole file. */
  readonly asked: string[]
  close(): Promise<void>
}

const partBytes = 1 << 20

export async function startFaultyServer(bytes: Uint8Array): Promise<FaultyServer> {
  const http = createServer((request, response) => void answer(state, request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
  const state: FaultyServer = {
    origin,
    url: `${origin}/model.gguf`,
    bytes,
    sizeBytes: undefined,
    etag: '"1"',
    faults: {},
    sentBytes: 0,
    asked: [],
    close: () =>
      new Promise((resolve) => {
        http.closeAllConnections()
        http.close(() => resolve())
      }),
  }
  return state
}

async function answer(
  server: FaultyServer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { bytes, etag, faults, asked } = server
  const size = server.sizeBytes ?? bytes.length
  const range = request.headers.range ?? ''
  asked.push(range)
  if (!faults.noCors) response.setHeader('access-control-allow-origin', '*')
  response.setHeader('access-control-expose-headers', 'content-range, etag')
  response.setHeader('cross-origin-resource-policy', 'cross-origin')
  if (faults.isDown) return void response.destroy()
  if (faults.status !== undefined) return void response.writeHead(faults.status).end()
  if (faults.isPage)
    return void response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      .end('<!doctype html><script>globalThis.wasRun = true</script>')
  const found = faults.noRanges ? null : /^bytes=(\d+)-(\d*)$/.exec(range)
  const start = found ? Number(found[1]) : 0
  if (found && start >= size)
    return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end()
  const end = found?.[2] ? Math.min(Number(found[2]), size - 1) : size - 1
  response.writeHead(found ? 206 : 200, {
    'content-type': 'application/octet-stream',
    etag,
    ...(!faults.noLength && { 'content-length': end - start + 1 }),
    ...(found && { 'content-range': `bytes ${start}-${end}/${size}` }),
  })
  await sendBody(server, response, { start, end: end + 1 })
}

const zeros = new Uint8Array(partBytes)

/** At most one part, from there on. */
function takePart(bytes: Uint8Array, at: number, end: number): Uint8Array {
  const until = Math.min(at + partBytes, end)
  return at < bytes.length
    ? bytes.subarray(at, Math.min(until, bytes.length))
    : zeros.subarray(0, until - at)
}

async function sendBody(
  server: FaultyServer,
  response: ServerResponse,
  { start, end: fullEnd }: { readonly start: number; readonly end: number },
): Promise<void> {
  const { bytes, faults } = server
  response.flushHeaders()
  const isCut = faults.cutAfter !== undefined && faults.cuts !== 0
  if (isCut && faults.cuts !== undefined) faults.cuts--
  const end = isCut ? Math.min(start + faults.cutAfter!, fullEnd) : fullEnd
  for (let at = start; at < end;) {
    if (faults.slowMs) await new Promise((resolve) => setTimeout(resolve, faults.slowMs))
    if (response.destroyed) return
    const part = takePart(bytes, at, end)
    at += part.length
    server.sentBytes += part.length
    if (!response.write(part)) await waitForRoom(response)
  }
  if (end < fullEnd) {
    // What was written must arrive first.
    await new Promise((resolve) => setTimeout(resolve, 500))
    response.destroy()
  } else response.end()
}

/** Until more can be written, or the other side has gone. */
const waitForRoom = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const end = (): void => {
      response.off('drain', end).off('close', end)
      resolve()
    }
    response.once('drain', end).once('close', end)
  })
