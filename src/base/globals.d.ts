// The Web-standard globals that Node and browsers share: all that the platform-neutral floors may
// use of their environment. Declares only what both have, as narrowly as it is used. Independent
// of: `node:*`, the DOM. Add a line here when core needs one more.

interface ImportMeta {
  /** Where this module was loaded from; files that travel with it are found relative to it. */
  readonly url: string
}

interface Console {
  debug(...values: unknown[]): void
  info(...values: unknown[]): void
  log(...values: unknown[]): void
  warn(...values: unknown[]): void
  error(...values: unknown[]): void
}
declare var console: Console

interface Performance {
  /** Milliseconds since the process or page began. */
  now(): number
}
declare var performance: Performance

declare function structuredClone<T>(value: T, options?: { transfer?: readonly ArrayBuffer[] }): T
declare function queueMicrotask(callback: () => void): void
declare function setTimeout(callback: () => void, delayMs?: number): unknown
declare function clearTimeout(timer: unknown): void
declare function atob(base64: string): string
declare function btoa(bytes: string): string

type BufferSource = ArrayBufferView | ArrayBuffer

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>
  encodeInto(text: string, target: Uint8Array): { read: number; written: number }
}
declare class TextDecoder {
  constructor(encoding?: string, options?: { fatal?: boolean; ignoreBOM?: boolean })
  decode(bytes?: BufferSource, options?: { stream?: boolean }): string
}

declare class DOMException extends Error {
  constructor(message?: string, name?: string)
}
declare class Event {
  constructor(type: string)
  readonly type: string
}
declare class EventTarget {
  addEventListener(
    type: string,
    listener: (event: Event) => void,
    options?: { once?: boolean; signal?: AbortSignal },
  ): void
  removeEventListener(type: string, listener: (event: Event) => void): void
  dispatchEvent(event: Event): boolean
}
declare class AbortSignal extends EventTarget {
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted(): void
  static abort(reason?: unknown): AbortSignal
  static timeout(delayMs: number): AbortSignal
  static any(signals: Iterable<AbortSignal>): AbortSignal
}
declare class AbortController {
  readonly signal: AbortSignal
  abort(reason?: unknown): void
}

declare class URLSearchParams {
  constructor(init?: string | Record<string, string>)
  get(name: string): string | null
  getAll(name: string): string[]
  set(name: string, value: string): void
  has(name: string): boolean
  keys(): IterableIterator<string>
  toString(): string
}
declare class URL {
  constructor(url: string | URL, base?: string | URL)
  href: string
  protocol: string
  host: string
  pathname: string
  search: string
  hash: string
  readonly searchParams: URLSearchParams
  toString(): string
  static canParse(url: string, base?: string): boolean
}

interface ReadableStreamReader<T> {
  read(): Promise<{ done: false; value: T } | { done: true; value?: T }>
  cancel(reason?: unknown): Promise<void>
  releaseLock(): void
}
interface ReadableStreamController<T> {
  enqueue(chunk: T): void
  close(): void
  error(reason?: unknown): void
}
declare class ReadableStream<T = unknown> {
  constructor(source?: {
    start?(controller: ReadableStreamController<T>): void | Promise<void>
    pull?(controller: ReadableStreamController<T>): void | Promise<void>
    cancel?(reason?: unknown): void | Promise<void>
  })
  getReader(): ReadableStreamReader<T>
  cancel(reason?: unknown): Promise<void>
  pipeThrough<R>(pair: TransformStream<T, R>): ReadableStream<R>
  [Symbol.asyncIterator](): AsyncIterableIterator<T>
}
declare class TransformStream<T = unknown, R = T> {
  constructor(transformer?: {
    transform?(chunk: T, controller: { enqueue(chunk: R): void }): void | Promise<void>
    flush?(): void | Promise<void>
    cancel?(reason?: unknown): void | Promise<void>
  })
  readonly readable: ReadableStream<R>
}

declare class DecompressionStream extends TransformStream<
  Uint8Array<ArrayBuffer>,
  Uint8Array<ArrayBuffer>
> {
  constructor(format: 'gzip' | 'deflate' | 'deflate-raw')
}

declare class Blob {
  constructor(parts?: readonly (string | BufferSource | Blob)[], options?: { type?: string })
  readonly size: number
  slice(start?: number, end?: number, type?: string): Blob
  arrayBuffer(): Promise<ArrayBuffer>
  text(): Promise<string>
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>
}

interface File extends Blob {
  readonly name: string
}
interface FormData {
  entries(): IterableIterator<[string, string | File]>
}

type HeadersInit = Headers | Record<string, string> | readonly (readonly [string, string])[]
declare class Headers {
  constructor(init?: HeadersInit)
  get(name: string): string | null
  has(name: string): boolean
  set(name: string, value: string): void
  append(name: string, value: string): void
  delete(name: string): void
  entries(): IterableIterator<[string, string]>
}
type BodyInit = string | BufferSource | Blob | URLSearchParams | ReadableStream<Uint8Array>
interface RequestInit {
  method?: string
  headers?: HeadersInit
  body?: BodyInit | null
  signal?: AbortSignal | null
  redirect?: 'follow' | 'error' | 'manual'
}
interface WebBody {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | null
  arrayBuffer(): Promise<ArrayBuffer>
  text(): Promise<string>
  json(): Promise<unknown>
  formData(): Promise<FormData>
}
interface Request extends WebBody {
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly signal: AbortSignal
}
declare var Request: { new (input: string | URL | Request, init?: RequestInit): Request }
interface Response extends WebBody {
  readonly ok: boolean
  readonly status: number
  readonly statusText: string
  readonly url: string
  readonly headers: Headers
}
declare var Response: {
  new (
    body?: BodyInit | null,
    init?: { status?: number; statusText?: string; headers?: HeadersInit },
  ): Response
  json(value: unknown, init?: { status?: number; headers?: HeadersInit }): Response
}
declare function fetch(input: string | URL | Request, init?: RequestInit): Promise<Response>

interface EcdsaKey {
  readonly type: string
}
interface EcdsaCurve {
  readonly name: string
  readonly namedCurve: string
}
interface EcdsaHash {
  readonly name: string
  readonly hash: string
}
type KeyUse = 'sign' | 'verify'
interface SubtleCrypto {
  digest(algorithm: 'SHA-256' | 'SHA-384' | 'SHA-512', bytes: BufferSource): Promise<ArrayBuffer>
  generateKey(curve: EcdsaCurve, open: boolean, uses: KeyUse[]): Promise<EcdsaKey | object>
  importKey(
    format: 'spki' | 'pkcs8',
    key: BufferSource,
    curve: EcdsaCurve,
    open: boolean,
    uses: KeyUse[],
  ): Promise<EcdsaKey>
  importKey(
    format: 'jwk',
    key: object,
    curve: EcdsaCurve,
    open: boolean,
    uses: KeyUse[],
  ): Promise<EcdsaKey>
  exportKey(format: 'jwk', key: EcdsaKey): Promise<Record<string, unknown>>
  exportKey(format: 'spki' | 'pkcs8', key: EcdsaKey): Promise<ArrayBuffer>
  sign(algorithm: EcdsaHash, key: EcdsaKey, bytes: BufferSource): Promise<ArrayBuffer>
  verify(
    algorithm: EcdsaHash,
    key: EcdsaKey,
    signature: BufferSource,
    bytes: BufferSource,
  ): Promise<boolean>
}
interface Crypto {
  readonly subtle: SubtleCrypto
  randomUUID(): string
  getRandomValues<T extends ArrayBufferView>(target: T): T
}
declare var crypto: Crypto

declare namespace WebAssembly {
  type ImportValue = Memory | number | ((...values: number[]) => number | void)
  type Imports = Record<string, Record<string, ImportValue>>
  class Module {
    constructor(bytes: BufferSource)
  }
  class Instance {
    constructor(module: Module, imports?: Imports)
    readonly exports: Record<string, unknown>
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean })
    readonly buffer: ArrayBuffer
    grow(pages: number): number
  }
  function compile(bytes: BufferSource): Promise<Module>
  function instantiate(module: Module, imports?: Imports): Promise<Instance>
  function validate(bytes: BufferSource): boolean
}

/** Browsers, and Node from version 21 on. */
declare var navigator: { readonly hardwareConcurrency?: number } | undefined
