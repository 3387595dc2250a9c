// Which forms of whole modules can be combined in one adapter. Reads no weights.

import type { Adapter } from '../../adapters/adapter.ts'
import { UnsupportedError } from '../../base/errors.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { listSavedParts, type SavedPart } from './saved-parts.ts'

/** A module with low-rank matrices, and for each adapter whether it has them. */
export interface TouchedModule {
  readonly path: string
  readonly touched: readonly boolean[]
}

/**
 * Throws UnsupportedError that lists what one adapter cannot combine: a module that one adapter
 * changes by matrices and another stores whole, rows of a table that another stores whole, copies
 * of a table of different shapes, and embeddings that replace the base's together with ones that
 * were trained separately.
 */
export function checkSavedForms(
  adapters: readonly Adapter[],
  touched: readonly TouchedModule[],
  model: ModelGraph | undefined,
): void {
  const parts = adapters.map(listSavedParts)
  const problems = [
    ...listTargetProblems(parts, touched),
    ...listShapeProblems(parts),
    ...listRowProblems(parts),
    ...listEmbeddingProblems(adapters, model),
    ...listTiedRowProblems(parts, model),
  ]
  if (problems.length > 0)
    throw new UnsupportedError(
      `Merge: what the adapters hold whole does not go together:\n  ${problems.join('\n  ')}\nMerge the adapters into the base instead, as a plain sum (mergeIntoBase).`,
    )
}

/**
 * Whether the adapters hold embedding and head as one (ensureWeightTying). Throws UnsupportedError
 * if some do and others touch either apart.
 */
export function readTying(adapters: readonly Adapter[]): boolean {
  const touching = adapters.flatMap(({ tensors, config }, k) =>
    [...tensors.keys()].some((key) => /(embed_tokens|lm_head)\.(lora_|weight$)/.test(key))
      ? [{ k, tied: config.ensureWeightTying === true }]
      : [],
  )
  const one = touching.find(({ tied }) => tied)
  const apart = touching.find(({ tied }) => !tied)
  if (one && apart)
    throw new UnsupportedError(
      `Merge: adapters[${one.k}] ties embedding and head (ensure_weight_tying), adapters[${apart.k}] does not. ` +
        `Merge adapters[${one.k}] into the base first, and the other into the result (mergeIntoBase).`,
    )
  return one !== undefined
}

type Parts = readonly (readonly SavedPart[])[]

const listTargetProblems = (parts: Parts, touched: readonly TouchedModule[]): string[] =>
  touched.flatMap(({ path, touched: by }) => {
    const holds = parts.map((own) => own.some((part) => part.path === path))
    const holder = holds.indexOf(true)
    const changer = by.findIndex((is, k) => is && !holds[k])
    return holder < 0 || changer < 0
      ? []
      : [
          `${path}: adapters[${changer}] changes it by low-rank matrices, adapters[${holder}] holds ${parts[holder]!.some((part) => part.path === path && part.tokens) ? 'rows of it' : 'it whole'}`,
        ]
  })

/** The same table with another number of rows belongs to another vocabulary. */
function listShapeProblems(parts: Parts): string[] {
  const first = new Map<string, readonly [shape: string, k: number]>()
  return parts.flatMap((own, k) =>
    own.flatMap(({ key, path, tensor, tokens }) => {
      if (tokens) return []
      const shape = `[${tensor.shape.join(', ')}]`
      const known = first.get(key)
      if (!known) first.set(key, [shape, k])
      return known === undefined || known[0] === shape
        ? []
        : [
            `${path}: adapters[${known[1]}] has ${known[0]}, adapters[${k}] ${shape}; they were made on vocabularies of different sizes`,
          ]
    }),
  )
}

const listRowProblems = (parts: Parts): string[] =>
  parts.flatMap((own, k) =>
    own.flatMap(({ path, tokens }) => {
      if (!tokens) return []
      const other = parts.findIndex((all) =>
        all.some((part) => part.path === path && part.tokens === undefined),
      )
      return other < 0
        ? []
        : [`${path}: adapters[${k}] trained rows of it, adapters[${other}] holds it whole`]
    }),
  )

const isTable = (name: string): boolean => /(embed_tokens|lm_head)$/.test(name)

/**
 * In a tied model an embedding that replaces the base's is the head too, and one that was trained
 * apart is not: two lists mean two things there.
 */
function listEmbeddingProblems(
  adapters: readonly Adapter[],
  model: ModelGraph | undefined,
): string[] {
  if (model?.config.tiedEmbeddings === false) return []
  const lists = adapters.map(({ config }) => (config.embeddings ?? []).toSorted().join(', '))
  const beside = lists.findIndex((list) => list !== '')
  if (beside < 0) return []
  const other = lists.findIndex((list) => list !== '' && list !== lists[beside])
  const apart = adapters.findIndex(({ config }) =>
    (config.modulesToSave ?? []).some((name) => isTable(name)),
  )
  return [
    ...(other < 0
      ? []
      : [
          `adapters[${beside}] replaces ${lists[beside]}, adapters[${other}] ${lists[other]}; where embedding and head are one weight these differ, so name the base`,
        ]),
    ...(apart < 0
      ? []
      : [
          `adapters[${beside}] replaces the base's ${lists[beside]}, adapters[${apart}] trained its own in addition to the base's (modules_to_save)`,
        ]),
  ]
}

/** In a tied model rows of the embedding are the head's too, unless the head has its own rows. */
function listTiedRowProblems(parts: Parts, model: ModelGraph | undefined): string[] {
  if (model?.config.tiedEmbeddings === false) return []
  const paths = parts.map((own) =>
    own.flatMap(({ path, tokens }) => (tokens ? [path] : [])).toSorted(),
  )
  const [first, second] = [...new Set(paths.map(String))].filter((list) => list !== '')
  if (second === undefined) return []
  return [
    `adapters[${paths.findIndex((list) => String(list) === first)}] trained rows of ${first}, adapters[${paths.findIndex((list) => String(list) === second)}] of ${second}; where embedding and head are one weight these differ, so name the base`,
  ]
}
