// Rules about pages in Markdown and about commits, as functions from texts to findings.
// Independent of the disk and of git: the rules can be tried on made-up texts.
import { type Finding, limits } from './rules.ts'

interface Page {
  path: string
  text: string
}

/** Lines of prose: neither in a fenced block nor a row of a table, with their line numbers. */
function listProse(text: string): { line: number; text: string }[] {
  let fenced = false
  return text.split('\n').flatMap((content, i) => {
    if (/^\s*```/.test(content)) {
      fenced = !fenced
      return []
    }
    return fenced || /^\s*\|/.test(content) ? [] : [{ line: i + 1, text: content }]
  })
}

/** A long address cannot be broken, so a line that holds nothing else is no finding. */
const isAddress = (line: string): boolean => /^\s*(\[[^\]]*\]:|<)?\s*https?:\S+$/.test(line)

export const findWideProse = (pages: readonly Page[]): Finding[] =>
  pages.flatMap(({ path, text }) =>
    listProse(text)
      .filter((item) => item.text.length > limits.markdownWidth && !isAddress(item.text))
      .map((item) => ({ key: path, text: `${path}:${item.line}: ${item.text.length} columns` })),
  )

export const findLongPages = (pages: readonly Page[]): Finding[] =>
  pages
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > limits.pageLines)
    .map(({ path, lines }) => ({ key: path, text: `${path}: ${lines} lines` }))

/** The tables of a page, each as rows of cells. */
export function readTables(text: string): string[][][] {
  const tables: string[][][] = []
  let open = false
  for (const line of text.split('\n')) {
    const isRow = line.startsWith('|')
    if (isRow && !open) tables.push([])
    open = isRow
    const cells = line.split('|').slice(1, -1)
    const isRule = cells.every((cell) => /^\s*:?-+:?\s*$/.test(cell))
    if (isRow && !isRule) tables.at(-1)!.push(cells.map((cell) => cell.trim()))
  }
  return tables
}

/** The rows of a page's floor table: floor, folder under src, rooms from the lowest up. */
export function readFloorTable(text: string): { floor: number; folder: string; rooms: string[] }[] {
  const table = readTables(text).find((rows) => rows[0]?.[0] === 'floor') ?? []
  return table.slice(1).map(([floor = '', folder = '', , rooms = '']) => ({
    floor: Number(floor),
    folder: /`src\/([^`]+)`/.exec(folder)?.[1] ?? folder,
    rooms: [...rooms.matchAll(/`([^`]+)`/g)].map(([, room]) => room!),
  }))
}

/** Paths of this project that a page names in code marks or links. */
export function listPaths(text: string): string[] {
  const named = [...text.matchAll(/`([^`\s]+)`|\]\(([^)\s]+)\)/g)].map(
    ([, code, link]) => code ?? link!,
  )
  const isPath = (name: string): boolean =>
    /^(src|test|docs|bench|examples|scripts|schemas|kernels)\//.test(name) ||
    /^[A-Z]+\.md$/.test(name)
  return named.filter((name) => isPath(name) && !/[<>*{}…]/.test(name))
}

/** Subjects that are too long, as `git log --format=%h %s` prints them. */
export const findLongSubjects = (log: readonly string[]): string[] =>
  log.filter((line) => line.replace(/^\S+ /, '').length > limits.subjectLength)
