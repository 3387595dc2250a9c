// Opens @mlc-ai/web-xgrammar in Node. The package declares itself an ES module but is a UMD script,
// so it is evaluated as a script, with separate globals. Each call returns an instance with its own
// memory, which reads nothing from disk or network and prints nothing.

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { compileFunction } from 'node:vm'
import type { GrammarLibrary, OpenLibrary } from '../../runtime/grammar/library.ts'

/** The part of WebAssembly that is needed, because Node's types leave it to the DOM's. */
interface PlatformWebAssembly {
  instantiate(
    bytes: Uint8Array,
    imports: object,
  ): Promise<{ readonly instance: { readonly exports: object } }>
}

interface LibraryMemory {
  readonly buffer: ArrayBuffer
}

const isMemory = (value: unknown): value is LibraryMemory =>
  typeof value === 'object' && value !== null && 'grow' in value && 'buffer' in value

type Factory = (...globals: readonly unknown[]) => void

const MOST_MESSAGES = 20
let source: Promise<{ text: string; path: string }> | undefined

async function readSource(): Promise<{ text: string; path: string }> {
  const path = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar')
  return { text: await readFile(path, 'utf8'), path }
}

/** Throws ERR_MODULE_NOT_FOUND where the package is not installed. */
export async function openGrammarLibrary(): Promise<OpenLibrary> {
  const { text, path } = await (source ??= readSource())
  const exports: Partial<GrammarLibrary> = {}
  const messages: string[] = []
  const print = (...parts: readonly unknown[]): void => {
    if (messages.push(parts.join(' ')) > MOST_MESSAGES) messages.shift()
  }
  let memory: LibraryMemory | undefined
  const { WebAssembly: platform } = globalThis as unknown as { WebAssembly: PlatformWebAssembly }
  const instantiate: PlatformWebAssembly['instantiate'] = async (bytes, imports) => {
    const made = await platform.instantiate(bytes, imports)
    memory = Object.values(made.instance.exports).find(isMemory)
    return made
  }
  const globals = {
    exports,
    module: {},
    console: { log: print, warn: print, error: print },
    WebAssembly: Object.assign(Object.create(platform as object), { instantiate }) as unknown,
    location: { href: 'file:///web-xgrammar.js' },
    // Without them it detects no platform, and needs none.
    process: undefined,
    document: undefined,
    require: undefined,
    define: undefined,
  }
  const run = compileFunction(text, Object.keys(globals), { filename: path }) as Factory
  run(...Object.values(globals))
  return {
    library: exports as GrammarLibrary,
    memoryBytes: () => memory?.buffer.byteLength ?? 0,
    takeMessages: () => messages.splice(0).join('\n'),
  }
}
