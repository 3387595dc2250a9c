// Finds a key that occurs twice in one object of a JSON text. JSON.parse silently takes the last of
// them; others take the first or refuse the text. Independent of what the text is for.

/** The keys of all objects in a value. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const items = Object.values(value)
  return items.reduce<number>(
    (sum, item) => sum + countKeys(item),
    Array.isArray(value) ? 0 : items.length,
  )
}

/** At least as many as there are keys: a text may begin with a colon too. */
const countColons = (text: string): number => text.match(/"\s*:/g)?.length ?? 0

interface OpenValue {
  /** The keys so far; undefined in a list. */
  readonly keys: Set<string> | undefined
  /** The place in a list. */
  index: number
}

/** Where a string that begins at `start` ends: the place behind its quotation mark. */
function findStringEnd(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}

/**
 * The first key that occurs twice in one object of a text that JSON.parse read as `value`, and the
 * place in the outermost list, from 0. Undefined if there is none.
 */
export function findRepeatedKey(
  text: string,
  value: unknown,
): { readonly key: string; readonly index: number } | undefined {
  if (countColons(text) === countKeys(value)) return undefined
  const open: OpenValue[] = []
  for (let at = 0; at < text.length;) {
    const sign = text[at]!
    const inner = open.at(-1)
    if (sign === '{' || sign === '[')
      open.push({ keys: sign === '{' ? new Set() : undefined, index: 0 })
    else if (sign === '}' || sign === ']') open.pop()
    else if (sign === ',') inner!.index++
    if (sign !== '"') {
      at++
      continue
    }
    const end = findStringEnd(text, at)
    // a key is the first text behind "{" or ","
    if (inner?.keys && inner.keys.size === inner.index) {
      const key = JSON.parse(text.slice(at, end)) as string
      if (inner.keys.has(key)) return { key, index: open[0]!.keys ? 0 : open[0]!.index }
      inner.keys.add(key)
    }
    at = end
  }
  return undefined
}
