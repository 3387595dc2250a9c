// Opens @mlc-ai/web-xgrammar in a browser, for createLocalHost. The package calls itself an ES module
// and is a UMD script: bundlers take it as either, and a page without one gets it as a global.

import type { GrammarLibrary, OpenLibrary } from '../runtime/grammar/library.ts'

const isLibrary = (value: unknown): value is GrammarLibrary =>
  typeof value === 'object' && value !== null && 'GrammarCompiler' in value

/** One instance for the page: its memory is read from the bundle, nothing is fetched. */
export async function openGrammarLibrary(): Promise<OpenLibrary> {
  const module: unknown = await import('@mlc-ai/web-xgrammar')
  const { default: inner } = module as { default?: unknown }
  const { xgrammar } = globalThis as { xgrammar?: unknown }
  const library = [module, inner, xgrammar].find(isLibrary)
  if (!library) throw new Error('@mlc-ai/web-xgrammar gives no GrammarCompiler.')
  return { library }
}
