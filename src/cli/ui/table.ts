// Tables with aligned columns, and texts side by side. Pure.

export type Align = 'left' | 'right'

/** Escape sequences take no room on the screen. */
const escapes = new RegExp(String.raw`${String.fromCharCode(27)}\[[0-9;]*[A-Za-z]`, 'g')

/** Columns of the screen that a text takes; wide East Asian characters and emoji take two. */
export function measureWidth(text: string): number {
  let width = 0
  for (const character of text.replaceAll(escapes, '')) {
    if (/\p{Mark}|\u200d|\ufe0f/u.test(character)) continue
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1
  }
  return width
}

function padText(text: string, width: number, align: Align): string {
  const space = ' '.repeat(Math.max(0, width - measureWidth(text)))
  return align === 'right' ? space + text : text + space
}

/**
 * Lines of a table; `aligns` of the columns from the left, 'left' for the rest. Two spaces between
 * columns, none at the end of a line.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  aligns: readonly Align[] = [],
): string[] {
  const columns = Math.max(0, ...rows.map(({ length }) => length))
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => measureWidth(row[column] ?? ''))),
  )
  return rows.map((row) =>
    widths
      .map((width, column) => padText(row[column] ?? '', width, aligns[column] ?? 'left'))
      .join('  ')
      .trimEnd(),
  )
}

/** Columns below which a wrapped description goes below its row instead of beside it. */
const leastBeside = 24
const belowIndent = 6

/**
 * A table whose last column is a description, which is wrapped to `width` columns: beside its row,
 * or below it where little room is left. One string for each row, with line breaks in it. Without a
 * width, such as in a pipe, nothing is wrapped.
 */
export function formatDescriptions(
  rows: readonly (readonly string[])[],
  width: number | undefined,
  aligns: readonly Align[] = [],
): string[] {
  if (width === undefined) return formatTable(rows, aligns)
  const heads = formatTable(
    rows.map((row) => row.slice(0, -1)),
    aligns,
  )
  const headWidth = Math.max(0, ...heads.map(measureWidth)) + 2
  const isBeside = width - headWidth >= leastBeside
  const indent = isBeside ? headWidth : belowIndent
  return rows.map((row, i) => {
    const lines = wrapText(row.at(-1) ?? '', Math.max(1, width - indent))
    const described = lines.map((line) => (line === '' ? '' : ' '.repeat(indent) + line)).join('\n')
    const head = heads[i]!
    if (described === '') return head
    if (!isBeside) return `${head}\n${described}`
    return padText(head, headWidth, 'left') + described.slice(headWidth)
  })
}

/**
 * Breaks a text into lines of at most `width` columns, at blanks where there are any. Line breaks
 * of the text stay.
 */
export function wrapText(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = ['']
    for (const word of paragraph.split(/(?<= )/)) {
      for (const part of splitWord(word, width)) {
        if (measureWidth(lines.at(-1)! + part.trimEnd()) <= width) lines[lines.length - 1] += part
        else lines.push(part)
      }
    }
    return lines.map((line) => line.trimEnd())
  })
}

/** A word split into pieces that fit the width. */
function splitWord(word: string, width: number): string[] {
  if (measureWidth(word.trimEnd()) <= width) return [word]
  const parts = ['']
  for (const character of word) {
    if (measureWidth(parts.at(-1)! + character) <= width) parts[parts.length - 1] += character
    else parts.push(character)
  }
  return parts
}

/** Two texts with headings, side by side within `width` columns. */
export function joinSideBySide(
  left: { heading: string; text: string },
  right: { heading: string; text: string },
  width: number,
): string[] {
  // 3: the line between, with a blank on each side
  const half = Math.max(16, Math.floor((width - 3) / 2))
  const [a, b] = [left, right].map(({ heading, text }) => [
    heading,
    '─'.repeat(half),
    ...wrapText(text, half),
  ]) as [string[], string[]]
  const height = Math.max(a.length, b.length)
  return Array.from({ length: height }, (_, row) =>
    `${padText(a[row] ?? '', half, 'left')} │ ${b[row] ?? ''}`.trimEnd(),
  )
}
