// An adapter's recipe, built step by step and checked as a whole: its kind, its configuration, its
// name, description and tags.

import { OptionError } from '../base/errors.ts'
import { describeUnknownOption, describeValue, isRecord, joinProblems } from '../base/schema.ts'
import type { Adapter, AdapterMetadata } from './adapter.ts'
import { type AdapterTarget, createAdapter, type CreateAdapterOptions } from './create-adapter.ts'
import { adapterKinds, type AdapterKindName, getKind } from './kinds/kind-table.ts'

/** What to create. `config` is what `createAdapter` takes for this kind. */
export interface AdapterRecipe {
  readonly name: string
  readonly kind: string
  readonly config: Readonly<Record<string, unknown>>
  readonly description: string
  readonly tags: readonly string[]
}

/** Every method returns a new builder; nothing is checked before `build`. */
export interface AdapterConfigBuilder {
  /** Default 'lora'. */
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
  /** Throws one OptionError that lists every problem. */
  build(): AdapterRecipe
}

/** Of names and tags. */
export const namePattern = /^[\p{L}\p{N}][\p{L}\p{N}._-]*$/u
const longestName = 100 // becomes a folder's name
const longestText = 2000

/** What is wrong with a name, a description or tags. */
export function findTextProblems({
  name,
  description,
  tags,
}: Pick<AdapterRecipe, 'name' | 'description' | 'tags'>): string[] {
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
      : [`description must be a string of at most ${longestText} characters`]),
    ...badTags.map(
      (tag) => `a tag must be letters, digits, ".", "_" and "-", got ${JSON.stringify(tag)}`,
    ),
    ...twice.map((tag) => `the tag "${tag}" is given twice`),
  ]
}

/** What is wrong with the kind, or with its options. */
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
      return checkRecipe(recipe)
    },
  }
}

/**
 * Begins a recipe:
 * `configureAdapter('my_adapter').rank(12).alpha(24).targets(['q_proj']).build()`.
 */
export const configureAdapter = (name: string): AdapterConfigBuilder =>
  createBuilder({ name, kind: 'lora', config: {}, description: '', tags: [] })

/** Name, description and tags as stored in the header of an adapter's file. */
export const toAdapterMetadata = ({ name, description, tags }: AdapterRecipe): AdapterMetadata => ({
  name,
  ...(description === '' ? {} : { description }),
  ...(tags.length === 0 ? {} : { tags: tags.join(' ') }),
})

/**
 * A new adapter from a recipe, with its name, description and tags. Throws OptionError for what is
 * no recipe, and what `createAdapter` throws.
 */
export async function createFromRecipe(
  recipe: AdapterRecipe,
  model: AdapterTarget,
  options: CreateAdapterOptions = {},
): Promise<Adapter> {
  const { kind, config } = checkRecipe(recipe)
  const metadata = { ...toAdapterMetadata(recipe), ...options.metadata }
  return createAdapter(kind as AdapterKindName, config, model, { ...options, metadata })
}

/** The recipe itself. Throws one OptionError that lists every problem. */
export function checkRecipe(recipe: AdapterRecipe): AdapterRecipe {
  if (!isRecord(recipe) || 'build' in recipe)
    throw new OptionError(
      `createFromRecipe: got ${isRecord(recipe) ? 'a builder' : describeValue(recipe)}, expected a recipe; ` +
        "make one with configureAdapter('name')….build().",
    )
  const { name, kind = 'lora', config = {}, description = '', tags = [] } = recipe
  const whole = { name, kind, config, description, tags }
  const unknown = Object.keys(recipe).filter((key) => !Object.hasOwn(whole, key))
  const problems = [
    ...unknown.map((key) => describeUnknownOption(key, Object.keys(whole))),
    ...findProblems(whole),
  ]
  if (problems.length > 0)
    throw new OptionError(`Adapter ${describeValue(name)}: ${joinProblems(problems)}`)
  return whole
}

function findProblems(recipe: AdapterRecipe): string[] {
  const shapes = [
    ...(isRecord(recipe.config)
      ? []
      : [`config: got ${describeValue(recipe.config)}, expected an object`]),
    ...(Array.isArray(recipe.tags)
      ? []
      : [`tags: got ${describeValue(recipe.tags)}, expected a list`]),
  ]
  return shapes.length > 0 ? shapes : [...findTextProblems(recipe), ...findKindProblems(recipe)]
}
