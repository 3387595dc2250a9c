// Studio, the page that teaches and compares experts in a browser: its files, the model that
// travels with the package, and the base that is served, all under /studio/, so that nothing comes
// from elsewhere. The page needs no key; the weights of the served base do.

import type { ByteFolder, ByteSource } from '../../../formats/byte-source.ts'
import { RequestError } from '../../request-error.ts'
import { defineRoute, type Route, type ServerContext } from '../../route.ts'
import { sendSource } from './send-source.ts'

export interface StudioOptions {
  /** The built page, each file compressed by gzip: `index.html.gz`, `assets/….js.gz`. */
  readonly page: ByteFolder
  /** Further folders by the path they are under: `ort/`, `models/stories260k/`. */
  readonly folders: Readonly<Record<string, ByteFolder>>
  /** The base that is served, where it is on this machine. */
  findServed(): Promise<StudioBase | undefined>
  /** Whether requests need a key now. */
  needsKey(): Promise<boolean>
}

export interface StudioBase {
  /** Changes with the bytes, because browsers keep a model under its address. */
  readonly id: string
  /** Under the id: `SmolLM2.gguf`, or `SmolLM2/` for a folder. */
  readonly place: string
  /** Undefined for what is no file of the model. */
  open(path: string): Promise<ByteSource | undefined>
}

const types: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json',
  svg: 'image/svg+xml',
  wasm: 'application/wasm',
}
const getType = (path: string): string =>
  types[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream'

/** Threads need the first two; the rest keeps other sites from framing the page or reading it. */
const shared = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** As the page's own, and no other site may put it into a frame. */
const policy =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; style-src 'self'; " +
  "img-src 'self' data:; connect-src 'self' https: http: blob:; worker-src 'self' blob:; " +
  "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

export const createStudioRoutes = (options: StudioOptions): readonly Route[] => [
  defineRoute({
    method: 'GET',
    path: '/studio',
    scope: 'open',
    tag: 'Studio',
    summary: 'Leads to /studio/.',
    // relative, because a proxy may put the server under another path
    handle: async () => new Response(null, { status: 307, headers: { location: 'studio/' } }),
  }),
  defineRoute({
    method: 'GET',
    path: '/studio/',
    scope: 'open',
    tag: 'Studio',
    summary: 'The page that teaches and compares experts in a browser.',
    contentType: 'text/html',
    handle: ({ context }) => sendPage(options, context),
  }),
  defineRoute({
    method: 'GET',
    path: '/studio/served/{id}/{file}',
    scope: 'infer',
    tag: 'Studio',
    summary: 'A file of the base that is served, for Studio.',
    contentType: 'application/octet-stream',
    handle: ({ context, parameters }) => sendServed(options, context, parameters),
  }),
  defineRoute({
    method: 'GET',
    path: '/studio/{file}',
    scope: 'open',
    tag: 'Studio',
    summary: 'A file of Studio, of ONNX Runtime or of the model that travels with the package.',
    contentType: 'application/octet-stream',
    handle: ({ context, parameters }) => sendFile(options, context, parameters['file']!),
  }),
]

function refuseFile(path: string): RequestError {
  return new RequestError(`Studio has no file ${JSON.stringify(path.slice(0, 200))}.`, {
    status: 404,
    code: 'unknown_file',
  })
}

/** A file of a folder; what leads out of it, or is no name of a file, is not there. */
async function openInside(folder: ByteFolder, path: string): Promise<ByteSource | undefined> {
  const isPlain = path.split('/').every((part) => /^\w[\w.-]*$/.test(part))
  return isPlain ? folder.open(path) : undefined
}

async function readWhole(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return Uint8Array.from(await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

const unpackGzip = (bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> =>
  new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))

/** The page's first model, and its message to the user. */
async function sendPage(options: StudioOptions, { req }: ServerContext): Promise<Response> {
  const source = await openInside(options.page, 'index.html.gz')
  if (!source) throw refuseFile('index.html')
  const text = await new Response(unpackGzip(await readWhole(source))).text()
  const headers = Object.assign({}, shared, {
    'content-type': types['html']!,
    'content-security-policy': policy,
    'cache-control': 'no-cache',
  })
  const page = await chooseModel(text, options)
  return new Response(req.method === 'HEAD' ? null : page, { headers })
}

async function chooseModel(page: string, options: StudioOptions): Promise<string> {
  if (await options.needsKey())
    return page.replace(
      'data-note=""',
      'data-note="This server gives its model to requests with a key alone, which pages cannot send: this is stories260k. Open your own .gguf file, or download one."',
    )
  const served = await options.findServed()
  if (!served) return page
  const path = [served.id, ...served.place.split('/')].map(encodeURIComponent).join('/')
  return page.replace(/data-model="[^"]*"/, `data-model="./served/${path}"`)
}

/** The base's weights; the id is asked for so that an old page does not mix two models. */
async function sendServed(
  { findServed }: StudioOptions,
  { req }: ServerContext,
  { id, file = '' }: Readonly<Record<string, string>>,
): Promise<Response> {
  const served = await findServed()
  const source = served?.id === id ? await served?.open(file) : undefined
  if (!source) throw refuseFile(file)
  return sendSource(source, {
    range: req.header('range'),
    headers: Object.assign({}, shared, {
      'content-type': getType(file),
      'cache-control': 'private, no-cache',
      etag: `"${id}"`,
    }),
    onEnd: () => source.close?.(),
  })
}

async function sendFile(
  { page, folders }: StudioOptions,
  { req }: ServerContext,
  path: string,
): Promise<Response> {
  const headers = Object.assign({}, shared, {
    'content-type': getType(path),
    'cache-control': path.startsWith('assets/') ? 'public, max-age=31536000' : 'no-cache',
  })
  const prefix = Object.keys(folders).find((start) => path.startsWith(start))
  if (prefix !== undefined) {
    const source = await openInside(folders[prefix]!, path.slice(prefix.length))
    if (!source) throw refuseFile(path)
    const onEnd = (): unknown => source.close?.()
    return sendSource(source, { range: req.header('range'), headers, onEnd })
  }
  const packed = await openInside(page, `${path}.gz`)
  if (!packed) throw refuseFile(path)
  const bytes = await readWhole(packed)
  if (!/\bgzip\b/.test(req.header('accept-encoding') ?? ''))
    return new Response(unpackGzip(bytes), { headers })
  const coded = { 'content-encoding': 'gzip', vary: 'accept-encoding' }
  return new Response(bytes, { headers: Object.assign(headers, coded) })
}
