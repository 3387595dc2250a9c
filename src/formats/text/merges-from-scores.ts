// The merge list of a byte-pair tokenizer from the scores of a SentencePiece BPE vocabulary.
// Independent of the file they come from.

interface Merge {
  readonly left: string
  readonly right: string
  readonly score: number
  readonly leftLength: number
  readonly rightLength: number
}

/**
 * Every way to build a token from two others, best score first; among equal scores the longer left
 * part first, then the longer right part. The order of transformers' `generate_merges`. Lengths are
 * in characters. O(tokens × their length).
 */
export function computeMerges(
  tokens: readonly string[],
  scores: readonly number[],
  mergeable: (id: number) => boolean,
): [string, string][] {
  const ids = new Map<string, number>()
  tokens.forEach((token, id) => {
    if (mergeable(id) && !ids.has(token)) ids.set(token, id)
  })
  const merges: Merge[] = []
  for (const [token, id] of ids) merges.push(...listSplits(token, scores[id]!, ids))
  merges.sort(
    (a, b) => b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength,
  )
  return merges.map(({ left, right }) => [left, right])
}

/** The cuts of one token into two tokens, by the ids of the parts. */
function listSplits(token: string, score: number, ids: ReadonlyMap<string, number>): Merge[] {
  const characters = Array.from(token)
  const found: (Merge & { leftId: number; rightId: number })[] = []
  let position = 0
  for (let i = 1; i < characters.length; i++) {
    position += characters[i - 1]!.length
    const left = token.slice(0, position)
    const right = token.slice(position)
    const leftId = ids.get(left)
    const rightId = ids.get(right)
    if (leftId === undefined || rightId === undefined) continue
    found.push({
      left,
      right,
      score,
      leftLength: i,
      rightLength: characters.length - i,
      leftId,
      rightId,
    })
  }
  return found.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId)
}
