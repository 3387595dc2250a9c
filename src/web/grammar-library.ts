// Opens @mlc-ai/web-xgrammar in a browser, for createLocalHost. The package declares itself an ES
// module but is a UMD script: bundlers load it as either, and a page without a bundler gets a
// global.

import type { GrammarLibrary, OpenLibrary } from '../runtime/grammar/library.ts'

const isLibrary = (value: unknown): value is GrammarLibrary =>
  typeof value === 'object' && value !== null && 'GrammarCompiler' in value

/** Opens one instance for the page. Its WebAssembly is in the bundle, so nothing is downloaded. */
export async function openGrammarLibrary(): Promise<OpenLibrary> {
  const module: unknown = await import('@mlc-ai/web-xgrammar')
  const { default: inner } = module as { default?: unknown }
  const { xgrammar } = globalThis as { xgrammar?: unknown }
  const library = [module, inner, xgrammar].find(isLibrary)
  if (!library) throw new Error('@mlc-ai/web-xgrammar gives no GrammarCompiler.')
  return { library }
}
