// Which kinds may act as one adapter, and in which order. Independent of configurations.

import { OptionError, UnsupportedError } from '../../../base/errors.ts'
import type { AdapterKind } from '../kind.ts'

/** In the order of application: each kind acts on the result of those before it. */
const order: readonly AdapterKind['effect'][] = [
  'adds',
  'renormalizes',
  'replaces',
  'scales',
  'precedes',
]

/** Separates the names of kinds that act together: 'ia3+prompt-tuning'. */
export const jointMark = '+'

/**
 * The kinds in the order in which they act. Throws OptionError for fewer than two, UnsupportedError
 * with the reason why two of them cannot be combined.
 */
export function sortKinds(rows: readonly AdapterKind[]): readonly AdapterKind[] {
  const names = rows.map(({ name }) => name)
  if (rows.length < 2)
    throw new OptionError(`Kinds: got ${names.join(', ') || 'none'}, expected at least two.`)
  const problems = rows.flatMap((row, i) =>
    rows.slice(i + 1).flatMap((other) => findClash(row, other) ?? []),
  )
  if (problems.length > 0)
    throw new UnsupportedError(`These kinds cannot act together:\n  ${problems.join('\n  ')}`)
  return rows.toSorted((a, b) => order.indexOf(a.effect) - order.indexOf(b.effect))
}

/** Why two kinds cannot act together; undefined if they can. */
function findClash(one: AdapterKind, other: AdapterKind): string | undefined {
  const names = `${one.name} and ${other.name}`
  if (one.name === other.name)
    return `${one.name} appears twice: one adapter of a larger rank or length is the same`
  const effects = [one.effect, other.effect]
  if (effects.every((effect) => effect === 'precedes'))
    return `${names}: both put tokens before a row’s first token`
  if (effects.includes('renormalizes') && effects.includes('adds'))
    return `${names}: DoRA sets the norm of each row of a weight, and a second change of that weight would alter it`
  if (effects.includes('replaces'))
    return `${names}: give the tokens to the other kind, as its option trainableTokens`
  if (one.mark === other.mark)
    return `${names}: both keep their matrices under PEFT’s names ${one.mark}…; give one of them a larger rank`
  return undefined
}
