// Rules about the fenced code blocks of pages: they parse, so that a block whose lines were wrapped
// as prose is found. Independent of the disk: the rules can be tried on made-up texts.
import { stripTypeScriptTypes } from 'node:module'
import type { Finding } from './rules.ts'

interface CodeBlock {
  /** The line of its first code line. */
  line: number
  language: string
  code: string
}

export function listCodeBlocks(text: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let open: { line: number; language: string; lines: string[] } | undefined
  text.split('\n').forEach((content, i) => {
    const fence = /^\s*```(\w*)/.exec(content)
    if (!fence) open?.lines.push(content)
    else if (!open) open = { line: i + 2, language: fence[1]!, lines: [] }
    else {
      const { line, language, lines } = open
      blocks.push({ line, language, code: lines.join('\n') })
      open = undefined
    }
  })
  return blocks
}

/** What a line of a shell block may begin with; a new command of a page is added here. */
const firstWords =
  /^\s*(#|$|[A-Za-z_]+=|(cat|claude|cp|curl|do|done|echo|export|for|git|graft|kubectl|mkdir|node|npm|npx|printf|ray)\b)/

/** A shell text without here-documents, whose commands each are on one line. */
const joinCommands = (code: string): string[] =>
  code
    .replaceAll(/(<<'?(\w+)'?.*)\n[^]*?\n\2$/gm, '$1')
    .replaceAll(/\\\n\s*/g, ' ')
    .replaceAll(/"(\\.|[^"\\])*"|'[^']*'/g, (quoted) => quoted.replaceAll('\n', ' '))
    .split('\n')

function findScriptProblem(code: string): string | undefined {
  try {
    stripTypeScriptTypes(code)
    return undefined
  } catch (error) {
    return String(error).split('\n')[0]
  }
}

function findDataProblem(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return String(error)
  }
}

function findShellProblem(code: string): string | undefined {
  const line = joinCommands(code).find((command) => !firstWords.test(command))
  return line === undefined ? undefined : `no command begins with "${line.slice(0, 40)}"`
}

const checks: Readonly<Record<string, (code: string) => string | undefined>> = {
  js: findScriptProblem,
  ts: findScriptProblem,
  tsx: findScriptProblem,
  json: findDataProblem,
  jsonl: (code) =>
    code
      .split('\n')
      .map(findDataProblem)
      .find((problem) => problem !== undefined),
  sh: findShellProblem,
}

/** Code blocks that do not parse; blocks of other languages and without one are not checked. */
export const findBrokenCode = (pages: readonly { path: string; text: string }[]): Finding[] =>
  pages.flatMap(({ path, text }) =>
    listCodeBlocks(text).flatMap(({ line, language, code }) => {
      const problem = checks[language]?.(code)
      return problem === undefined ? [] : [{ key: path, text: `${path}:${line}: ${problem}` }]
    }),
  )
