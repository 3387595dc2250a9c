// The name that was probably meant: edit distance over a short list of names.

/**
 * Insertions, deletions, replacements of letters and swaps of neighbours between two words (optimal
 * string alignment, Boytsov 2011).
 */
export function computeEditDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? rows[i - 2]![j - 2]! + 1
          : Infinity
      row.push(Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, replaced, swapped))
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}

/** 'lr' of learningRate and of learning-rate; undefined for a name of one word. */
function readInitials(name: string): string | undefined {
  const words = name.split(/[-_]|(?=[A-Z])/)
  return words.length < 2
    ? undefined
    : words
        .map((word) => word.charAt(0))
        .join('')
        .toLowerCase()
}

/**
 * The nearest name that is near enough to be meant: one that the word begins, one whose initials
 * the word is, or one that differs in few letters.
 */
export function findNearestName(word: string, names: readonly string[]): string | undefined {
  const abbreviated = names.find((name) => readInitials(name) === word.toLowerCase())
  if (abbreviated !== undefined) return abbreviated
  const ranked = names
    .map((name) => ({
      name,
      distance: word !== '' && name.startsWith(word) ? 0 : computeEditDistance(word, name),
    }))
    .sort((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best && best.distance <= Math.ceil(word.length / 3) ? best.name : undefined
}
