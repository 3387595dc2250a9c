// Ollama's Modelfiles, as far as they name weights: FROM a base, and an ADAPTER for it.

import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { FormatError } from '../../base/errors.ts'

export interface Modelfile {
  /** The value of FROM: an absolute path if it exists, else the name unchanged. */
  readonly base: string
  /** The path that ADAPTER names. */
  readonly adapter?: string
  /** The instructions that are left out, each once: PARAMETER, TEMPLATE. */
  readonly leftOut: readonly string[]
}

/**
 * Whether a path has a name of Ollama's Modelfiles: 'Modelfile', 'Modelfile.coder', 'x.modelfile'.
 */
export const isModelfileName = (path: string): boolean =>
  /^modelfile(\..*)?$|\.modelfile$/i.test(basename(path))

const instruction = /^\s*([a-z]+)\s+(.*)$/i
const quotes = '"""'

/** The instructions of a Modelfile; texts in three quotes may take several lines. */
function listInstructions(text: string): [name: string, value: string][] {
  const found: [string, string][] = []
  let isOpen = false
  for (const line of text.split(/\r?\n/)) {
    const count = line.split(quotes).length - 1
    const [, name, value] = (!isOpen && !/^\s*#/.test(line) && instruction.exec(line)) || []
    if (name !== undefined) found.push([name.toUpperCase(), value!.trim()])
    if (count % 2 === 1) isOpen = !isOpen
  }
  return found
}

/** Reads a Modelfile. Throws FormatError without a FROM, and where several adapters are named. */
export async function readModelfile(path: string): Promise<Modelfile> {
  const instructions = listInstructions(await readFile(path, 'utf8'))
  const valuesOf = (wanted: string): string[] =>
    instructions.flatMap(([name, value]) =>
      name === wanted ? [value.replace(/^"(.*)"$/, '$1')] : [],
    )
  const [base] = valuesOf('FROM')
  const adapters = valuesOf('ADAPTER')
  if (base === undefined)
    throw new FormatError(`${path}: has no FROM line that names a base model.`)
  if (adapters.length > 1)
    throw new FormatError(
      `${path}: names ${adapters.length} adapters, expected at most one. Give each with --adapter to mix them.`,
    )
  const absolute = resolve(dirname(path), base)
  const isPath = (await stat(absolute).catch(() => undefined)) !== undefined
  const others = instructions.map(([name]) => name)
  return {
    base: isPath ? absolute : base,
    ...(adapters[0] !== undefined && { adapter: resolve(dirname(path), adapters[0]) }),
    leftOut: [...new Set(others)].filter((name) => name !== 'FROM' && name !== 'ADAPTER'),
  }
}
