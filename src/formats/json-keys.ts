// Finds keys that occur twice in one JSON object, which JSON.parse would silently let the last one win.

/** The first key that is repeated within one object of `text`, which must be valid JSON; undefined where all keys are unique. */
export function repeatedKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [] // one entry per open object (a set of keys) or array (undefined)
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '{') open.push(new Set())
    else if (char === '[') open.push(undefined)
    else if (char === '}' || char === ']') open.pop()
    else if (char === '"') {
      const end = stringEnd(text, i)
      const keys = open.at(-1)
      if (keys && nextIsColon(text, end)) {
        const key = JSON.parse(text.slice(i, end)) as string // unescaped, so that "\u0061" equals "a"
        if (keys.has(key)) return key
        keys.add(key)
      }
      i = end - 1
    }
  }
  return undefined
}

/** The position behind the closing quote of the string that opens at `start`. */
function stringEnd(text: string, start: number): number {
  let i = start + 1
  while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1
  return i + 1
}

function nextIsColon(text: string, position: number): boolean {
  while (text[position] === ' ' || text[position] === '\n' || text[position] === '\r' || text[position] === '\t') position++
  return text[position] === ':'
}
