// Looks over JSON text before it is parsed, for two things that JSON.parse lets pass: keys that
// occur twice in one object, of which silently the last would win, and nesting so deep that parsing
// takes many times the text's own memory.

/**
 * What is wrong with the text, or undefined. Whether it is JSON at all is left to JSON.parse; may
 * throw its SyntaxError for a broken key.
 */
export function findJsonProblem(text: string, deepest: number): string | undefined {
  // one entry per open object (a set of keys) or array (undefined)
  const open: (Set<string> | undefined)[] = []
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '{' || char === '[') {
      if (open.length === deepest) return `nests more than ${deepest} deep`
      open.push(char === '{' ? new Set() : undefined)
    } else if (char === '}' || char === ']') open.pop()
    else if (char === '"') {
      const end = findStringEnd(text, i)
      const keys = open.at(-1)
      if (keys && isColonNext(text, end)) {
        const key = JSON.parse(text.slice(i, end)) as string // unescaped, so that "\u0061" equals "a"
        if (keys.has(key)) return `contains the key ${JSON.stringify(key.slice(0, 120))} twice`
        keys.add(key)
      }
      i = end - 1
    }
  }
  return undefined
}

/** The position behind the closing quote of the string that opens at `start`. */
function findStringEnd(text: string, start: number): number {
  let i = start + 1
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

function isColonNext(text: string, position: number): boolean {
  while (
    text[position] === ' ' ||
    text[position] === '\n' ||
    text[position] === '\r' ||
    text[position] === '\t'
  )
    position++
  return text[position] === ':'
}
