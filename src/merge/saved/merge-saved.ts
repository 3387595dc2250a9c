// Merges the modules that adapters store whole in addition to their low-rank matrices. Parts that
// all adapters have alike are kept; others are summed as changes of the base's weight, with the
// coefficients c of the method:
//
//     W' = W + Σ c·(W_k − W) = (1 − Σ c)·W + Σ c·W_k    over the adapters that hold W_k

import type { Adapter } from '../../adapters/adapter.ts'
import { headPath, toPeftKey } from '../../adapters/keys.ts'
import type { AdapterConfig, WeightOf } from '../../adapters/kinds/kind.ts'
import { listSavedTensors, type TokenChoice } from '../../adapters/saved-modules.ts'
import { OptionError, UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { checkSavedForms, readTying, type TouchedModule } from './saved-forms.ts'
import { arePartsEqual, listSavedParts, type SavedPart } from './saved-parts.ts'

/** The base, as a merge is given it. */
interface SavedBase {
  readonly model: ModelGraph
  readonly weightOf?: WeightOf
}

export interface SavedMerge {
  /** The method's name. */
  readonly method: string
  /** One for each adapter; undefined if the method is no sum with the same ones everywhere. */
  readonly coefficients: readonly number[] | undefined
  readonly base: SavedBase | undefined
  /** The modules that have low-rank matrices. */
  readonly touched: readonly TouchedModule[]
  /** Whether a module is to be merged. */
  isWanted(path: string): boolean
}

/** The result's whole modules, and their settings. */
export interface MergedSaved {
  readonly tensors: ReadonlyMap<string, Tensor>
  readonly config: Pick<
    AdapterConfig,
    'modulesToSave' | 'embeddings' | 'trainableTokens' | 'ensureWeightTying'
  >
}

/**
 * The parts that adapters hold whole as one. Throws UnsupportedError if they differ and the method
 * gives no coefficients, and for forms that do not go together; OptionError where the sum needs the
 * base's weights, which were not given.
 */
export function mergeSaved(adapters: readonly Adapter[], merge: SavedMerge): MergedSaved {
  const ensureWeightTying = readTying(adapters)
  const parts = adapters.map((adapter) =>
    listSavedParts(adapter).filter(({ path }) => merge.isWanted(path)),
  )
  const holders = groupByKey(parts)
  const differing = [...holders].filter(
    ([, own]) => own.includes(undefined) || !own.every((part) => arePartsEqual(part!, own[0]!)),
  )
  const unheld = adapters.flatMap((adapter, k) => listUnheldNames(adapter, k, parts[k]!, merge))
  if (differing.length > 0 || unheld.length > 0) {
    checkMethod(merge, [...differing.flatMap(describeHolders), ...unheld])
    checkHeld(unheld)
    checkSavedForms(adapters, merge.touched, merge.base?.model)
  }
  const tensors = new Map<string, Tensor>()
  const tokens = new Map<string, readonly number[]>()
  for (const [key, own] of holders) {
    const [held] = own.filter((part) => part !== undefined)
    const isRows = held!.tokens !== undefined
    if (!differing.some(([other]) => other === key)) {
      tensors.set(key, held!.tensor)
      if (isRows) tokens.set(held!.path, held!.tokens!)
    } else if (isRows) {
      const merged = sumRows(key, own, merge)
      tensors.set(key, merged.tensor)
      tokens.set(held!.path, merged.tokens)
    } else tensors.set(key, sumWhole(key, own, merge))
  }
  const saved = describeSaved(adapters, [...holders.values()].flat(), tokens)
  return { tensors, config: ensureWeightTying ? { ...saved, ensureWeightTying } : saved }
}

/** For each key, every adapter's part of it. */
function groupByKey(
  parts: readonly (readonly SavedPart[])[],
): Map<string, (SavedPart | undefined)[]> {
  const found = new Map<string, (SavedPart | undefined)[]>()
  for (const [k, own] of parts.entries())
    for (const part of own) {
      const all = found.get(part.key) ?? parts.map(() => undefined)
      all[k] = part
      found.set(part.key, all)
    }
  return found
}

/** Names that say a module is held whole, of which the adapter has no tensor. */
function listUnheldNames(
  adapter: Adapter,
  k: number,
  own: readonly SavedPart[],
  { isWanted, base }: SavedMerge,
): string[] {
  if (base) return [] // checked against the model, where a name may match nothing
  const { modulesToSave = [] } = adapter.config
  return modulesToSave
    .filter((name) => isWanted(name) && !own.some(({ path }) => path.endsWith(name)))
    .map((name) => `adapters[${k}] ${name}`)
}

const describeHolders = ([, own]: [string, (SavedPart | undefined)[]]): string[] =>
  own.flatMap((part, k) => (part ? [`adapters[${k}] ${part.path}`] : []))

function checkMethod({ method, coefficients }: SavedMerge, names: readonly string[]): void {
  if (coefficients) return
  throw new UnsupportedError(
    `Merge by ${method}: modules that were saved whole differ between the adapters (${[...new Set(names)].join(', ')}), and ${method} combines low-rank changes only. ` +
      'Merge by weighted, average, task-arithmetic or cat, which sum the differences from the base; leave these modules out with targets; or merge the adapters into the base as a plain sum (mergeIntoBase).',
  )
}

function checkHeld(unheld: readonly string[]): void {
  if (unheld.length > 0)
    throw new OptionError(
      `Merge: ${unheld.join(', ')} is named in modules_to_save, and the adapter's file has no tensor of it. Pass the base's model, which shows whether there is such a module.`,
    )
}

/** What is left for the base's own weight: 0 where the coefficients sum to 1. */
function computeBaseShare(own: readonly (SavedPart | undefined)[], c: readonly number[]): number {
  const share = 1 - own.reduce((sum, part, k) => sum + (part ? c[k]! : 0), 0)
  return Math.abs(share) < 1e-9 ? 0 : share
}

function sumWhole(
  key: string,
  own: readonly (SavedPart | undefined)[],
  { coefficients, base }: SavedMerge,
): Tensor {
  const held = own.filter((part) => part !== undefined)
  const { shape } = held[0]!.tensor
  const share = computeBaseShare(own, coefficients!)
  const start = share === 0 ? undefined : toFloat32(readBase(key, held[0]!, base))
  const values = own.map((part) => part && toFloat32(part.tensor))
  const data = new Float32Array(values.find((one) => one)!.length)
  for (let i = 0; i < data.length; i++) {
    let sum = start ? share * start[i]! : 0
    for (let k = 0; k < values.length; k++) if (values[k]) sum += coefficients![k]! * values[k]![i]!
    data[i] = sum
  }
  return f32(shape, data)
}

/** Rows of the tokens that any adapter trained; where it did not, its row is the base's. */
function sumRows(
  key: string,
  own: readonly (SavedPart | undefined)[],
  { coefficients, base }: SavedMerge,
): { readonly tensor: Tensor; readonly tokens: readonly number[] } {
  const tokens = [...new Set(own.flatMap((part) => part?.tokens ?? []))]
  const held = own.find((part) => part !== undefined)!
  const width = held.tensor.shape[1]!
  const values = own.map((part) => part && toFloat32(part.tensor))
  const data = new Float32Array(tokens.length * width)
  let table: Float32Array | undefined
  for (const [row, token] of tokens.entries()) {
    const places = own.map((part) => part?.tokens?.indexOf(token) ?? -1)
    const holding = own.map((part, k) => (places[k]! < 0 ? undefined : part))
    const share = computeBaseShare(holding, coefficients!)
    if (share !== 0) table ??= toFloat32(readBase(key, held, base))
    for (let i = 0; i < width; i++) {
      let sum = share === 0 ? 0 : share * table![token * width + i]!
      for (const [k, place] of places.entries())
        if (place >= 0) sum += coefficients![k]! * values[k]![place * width + i]!
      data[row * width + i] = sum
    }
  }
  return { tensor: f32([tokens.length, width], data), tokens }
}

/** The base's weight that a part replaces. */
function readBase(key: string, { path, tokens }: SavedPart, base: SavedBase | undefined): Tensor {
  const name = base && (tokens ? `${path}.weight` : findBaseName(base.model, key, path))
  if (name === undefined || !base?.weightOf)
    throw new OptionError(
      `Merge: ${path} was saved whole, and its weights do not sum to 1 over the adapters that hold it, so the sum depends on the base's own ${path}: pass the base's model and weightOf, or let the weights sum to 1.`,
    )
  return base.weightOf(name)
}

/** The checkpoint's name of the weight; of a tied head that of the embedding. */
function findBaseName(model: ModelGraph, key: string, path: string): string | undefined {
  const saved = listSavedTensors(model, { modulesToSave: [path] })
  return [...saved].find(([name]) => toPeftKey(name) === key)?.[1].base
}

/** A list where only the embedding has rows. */
function toTokenChoice(tokens: ReadonlyMap<string, readonly number[]>): TokenChoice {
  const [first] = tokens
  const isHead = first![0] === headPath
  return tokens.size === 1 && !isHead ? first![1] : Object.fromEntries(tokens)
}

/** The settings that name exactly what is held. */
function describeSaved(
  adapters: readonly Adapter[],
  parts: readonly (SavedPart | undefined)[],
  tokens: ReadonlyMap<string, readonly number[]>,
): MergedSaved['config'] {
  const held = parts.filter((part) => part !== undefined)
  const ofPath = (name: string): boolean =>
    held.some((part) => !part.tokens && part.path.endsWith(name))
  const names = (key: 'modulesToSave' | 'embeddings'): string[] => [
    ...new Set(adapters.flatMap(({ config }) => config[key] ?? []).filter(ofPath)),
  ]
  const modulesToSave = names('modulesToSave')
  const embeddings = names('embeddings')
  return {
    ...(modulesToSave.length > 0 && { modulesToSave }),
    ...(embeddings.length > 0 && { embeddings }),
    ...(tokens.size > 0 && { trainableTokens: toTokenChoice(tokens) }),
  }
}
