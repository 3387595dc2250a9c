// An adapter's description, put together word by word and checked as a whole: what to make, and
// what it is called.

import { OptionError } from '../base/errors.ts'
import type { ModelGraph } from '../graph/model-graph.ts'
import {
  type Adapter,
  type AdapterMetadata,
  createAdapter,
  type CreateAdapterOptions,
} from './adapter.ts'
import { adapterKinds, getKind } from './kinds/kind-table.ts'

/** What an adapter is to be. `config` is what createAdapter takes. */
export interface AdapterRecipe {
  readonly name: string
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
  readonly description: string
  readonly tags: readonly string[]
}

/** Every method gives a new builder; nothing is checked before `build`. */
export interface AdapterConfigBuilder {
  /** 'lora' unless given. */
  kind(kind: string): AdapterConfigBuilder
  rank(rank: number): AdapterConfigBuilder
  alpha(alpha: number): AdapterConfigBuilder
  dropout(share: number): AdapterConfigBuilder
  /** Ends of module paths, or a preset: 'attention', 'mlp', 'all-linear', 'default'. */
  targets(targets: readonly string[] | string): AdapterConfigBuilder
  /** Any further option of the kind: `option('rankStabilized', true)`. */
  option(name: string, value: unknown): AdapterConfigBuilder
  description(text: string): AdapterConfigBuilder
  /** May be called several times. */
  tag(...tags: string[]): AdapterConfigBuilder
  /** Throws one OptionError that lists everything wrong. */
  build(): AdapterRecipe
}

const namePattern = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u
const longestName = 100 // becomes a folder's name
const longestText = 2000

function findTextProblems({ name, description, tags }: AdapterRecipe): string[] {
  const short = typeof name === 'string' && name.length <= longestName && namePattern.test(name)
  const badTags = tags.filter(
    (tag) => typeof tag !== 'string' || !namePattern.test(tag) || tag.length > longestName,
  )
  const twice = [...new Set(tags.filter((tag, i) => tags.indexOf(tag) !== i))]
  return [
    ...(short
      ? []
      : [
          `name must be letters, digits, ".", "_" and "-", at most ${longestName}, got ${JSON.stringify(name)}`,
        ]),
    ...(typeof description === 'string' && description.length <= longestText
      ? []
      : [`description must be a text of at most ${longestText} characters`]),
    ...badTags.map(
      (tag) => `a tag must be letters, digits, ".", "_" and "-", got ${JSON.stringify(tag)}`,
    ),
    ...twice.map((tag) => `the tag "${tag}" is given twice`),
  ]
}

/** What the kind itself says against its options. */
function findKindProblems({ kind, config }: AdapterRecipe): string[] {
  if (!adapterKinds.has(kind))
    return [`there is no adapter kind "${kind}" (there are ${[...adapterKinds.keys()].join(', ')})`]
  const empty = Array.isArray(config['targets']) && config['targets'].length === 0
  const none = empty ? ['targets: got an empty list, expected at least one name'] : []
  try {
    getKind(kind).complete(config)
    return none
  } catch (error) {
    if (!(error instanceof OptionError)) throw error
    return [...none, error.message.replace(/\.$/, '')]
  }
}

function createBuilder(recipe: AdapterRecipe): AdapterConfigBuilder {
  const option = (name: string, value: unknown): AdapterConfigBuilder =>
    createBuilder({ ...recipe, config: { ...recipe.config, [name]: value } })
  return {
    kind: (kind) => createBuilder({ ...recipe, kind }),
    rank: (rank) => option('rank', rank),
    alpha: (alpha) => option('alpha', alpha),
    dropout: (share) => option('dropout', share),
    targets: (targets) => option('targets', targets),
    option,
    description: (description) => createBuilder({ ...recipe, description }),
    tag: (...tags) => createBuilder({ ...recipe, tags: [...recipe.tags, ...tags] }),
    build() {
      const problems = [...findTextProblems(recipe), ...findKindProblems(recipe)]
      if (problems.length > 0)
        throw new OptionError(`Adapter "${recipe.name}": ${problems.join('; ')}.`)
      return recipe
    },
  }
}

/**
 * Begins a description:
 * `configureAdapter('my_adapter').rank(12).alpha(24).targets(['q_proj']).build()`.
 */
export const configureAdapter = (name: string): AdapterConfigBuilder =>
  createBuilder({ name, kind: 'lora', config: {}, description: '', tags: [] })

/** Name, description and tags as an adapter's file keeps them. */
export const toAdapterMetadata = ({ name, description, tags }: AdapterRecipe): AdapterMetadata => ({
  name,
  ...(description === '' ? {} : { description }),
  ...(tags.length === 0 ? {} : { tags: tags.join(' ') }),
})

/**
 * A fresh adapter of a recipe, with its name, description and tags. Throws what createAdapter
 * throws.
 */
export const createFromRecipe = (
  recipe: AdapterRecipe,
  model: ModelGraph,
  options: CreateAdapterOptions,
): Adapter =>
  createAdapter(recipe.kind, recipe.config, model, {
    ...options,
    metadata: { ...toAdapterMetadata(recipe), ...options.metadata },
  })
