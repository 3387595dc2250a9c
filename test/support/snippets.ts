// Snippets of other packages' pages and their ports in a test file: how many lines each has, and
// the table of docs/micro-migration.md that says so. A port is what stands in its test before the
// line `// holds`.

/** Pages that were copied have stray bars and numbers between their lines. */
const isCode = (line: string): boolean =>
  /[a-z{}()[\]]/i.test(line) && !/^(\/\/|import |use |```)/.test(line)

export const countLines = (text: string): number =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter(isCode).length

/** Lines of each port by its number, as in 'E1'. */
export const countPorts = (source: string): Map<string, number> =>
  new Map(
    [...source.matchAll(/^ {2}it\('([A-Z]\d+): .*\n([^]*?)^ {4}\/\/ holds$/gm)].map(
      ([, id, body]) => [id!, countLines(body!)],
    ),
  )

/** Lines of the code blocks of a page in these languages, in order. */
export const countBlocks = (page: string, languages: readonly string[]): number[] =>
  [...page.matchAll(/^```(\w*)\n([^]*?)^```/gm)]
    .filter(([, language]) => languages.includes(language!))
    .map(([, , body]) => countLines(body!))

/** Rows `| E1 | what | lines there | lines here |` of a page, by number. */
export const readLineTable = (page: string): Map<string, readonly [number, number]> =>
  new Map(
    [...page.matchAll(/^\| +([A-Z]\d+) +\|.*\| +(\d+) \| +(\d+) \|$/gm)].map(
      ([, id, there, here]) => [id!, [Number(there), Number(here)]],
    ),
  )
