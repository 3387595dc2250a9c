// Always the same expert, or always the base: for tests, for one expert alone, and as the baseline
// of a comparison.

import { FormatError, OptionError } from '../../base/errors.ts'
import { string } from '../../base/schema.ts'
import { findNearestName } from '../../base/suggest.ts'
import { checkExpertNames, type RouterFile, routerFileVersion } from '../router-file.ts'
import type { Router, RouterKind } from '../router.ts'

function createFixed(experts: RouterFile['experts'], expert: string | undefined): Router {
  const names = experts.map(({ name }) => name)
  return {
    kind: 'fixed',
    experts: names,
    decide(_request, signal) {
      signal?.throwIfAborted()
      return {
        expert,
        confidence: 1,
        scores: expert === undefined ? [] : [{ expert, score: 1 }],
        reason: `${expert ?? 'The base'} answers everything, because the router is fixed.`,
      }
    },
    save: () => ({
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'fixed',
      experts,
      state: { expert: expert ?? null },
    }),
  }
}

export const fixed: RouterKind = {
  kind: 'fixed',
  about: 'one expert, or the base, for everything',
  needs: [],
  fields: { expert: string({ about: 'The expert that answers. Without it the base does.' }) },
  train({ experts }, { expert }) {
    const names = experts.map(({ name }) => name)
    checkExpertNames(names, 'Router "fixed"')
    if (expert !== undefined && !names.includes(expert as string)) {
      const meant = findNearestName(expert as string, names)
      throw new OptionError(
        `Router "fixed": expert: got ${JSON.stringify(expert)}, expected one of ${names.join(', ')}.${meant === undefined ? '' : ` Did you mean "${meant}"?`}`,
      )
    }
    const kept = experts.map(({ name, sha256 }) => ({ name, ...(sha256 && { sha256 }) }))
    return createFixed(kept, expert as string | undefined)
  },
  load({ experts, state: { expert } }) {
    const isKnown = expert === null || experts.some(({ name }) => name === expert)
    if (!isKnown)
      throw new FormatError(
        `Router "fixed": state.expert: got ${JSON.stringify(expert)}, which is not among its experts.`,
      )
    return createFixed(experts, (expert as string | null) ?? undefined)
  },
}
