// The configuration of kinds that act together: one configuration for each kind; a user's option
// applies to all kinds that have it.

import { OptionError } from '../../../base/errors.ts'
import {
  describeUnknownOption,
  type Fields,
  isRecord,
  joinProblems,
  object,
} from '../../../base/schema.ts'
import type { AdapterConfig, AdapterKind } from '../kind.ts'

/** A kind with its own configuration. */
export interface JointPart {
  readonly kind: string
  readonly config: AdapterConfig
}

export interface JointConfig extends AdapterConfig {
  /** In the order in which they act. */
  readonly parts: readonly JointPart[]
}

export const isJointConfig = (config: AdapterConfig): config is JointConfig => 'parts' in config

/** Saved or trained once, by the first kind that has them. */
const heldOnce = ['modulesToSave', 'trainableTokens', 'ensureWeightTying']

/** Every option of the kinds by its name, and the options of one kind under the kind's name. */
export function listJointOptions(rows: readonly AdapterKind[]): Fields {
  const flat = rows.flatMap(({ options }) =>
    Object.entries(options).filter(([name]) => name !== 'peft'),
  )
  const own = rows.map(({ name, options }) => [name, object(options)] as const)
  return Object.fromEntries([...flat, ...own])
}

/**
 * `{ targets, virtualTokens, ia3: { feedForward } }`: an option applies to every kind that has it,
 * one under a kind's name to that kind. Throws one OptionError that lists every problem.
 */
export function completeParts(
  given: Readonly<Record<string, unknown>>,
  rows: readonly AdapterKind[],
  what: string,
): JointConfig {
  const problems: string[] = []
  const own = new Map(rows.map(({ name }) => [name, {} as Record<string, unknown>]))
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || own.has(name)) continue
    const takers = rows.filter(({ options }) => name in options && name !== 'peft')
    if (takers.length === 0)
      problems.push(describeUnknownOption(name, Object.keys(listJointOptions(rows))))
    for (const { name: kind } of heldOnce.includes(name) ? takers.slice(0, 1) : takers)
      own.get(kind)![name] = value
  }
  const parts = rows.map(({ name: kind, complete }): JointPart | undefined => {
    const nested = given[kind] ?? {}
    if (!isRecord(nested)) {
      problems.push(`${kind}: expected an object with its options`)
      return undefined
    }
    try {
      return { kind, config: complete(Object.assign(own.get(kind)!, nested)) }
    } catch (error) {
      if (!(error instanceof OptionError)) throw error
      problems.push(error.message.replace(/\.$/, ''))
      return undefined
    }
  })
  if (problems.length > 0) throw new OptionError(`${what}: ${joinProblems(problems)}`)
  return joinConfigs(parts as readonly JointPart[])
}

/**
 * The configuration of parts that act together. Throws OptionError for settings of two parts that
 * exclude each other.
 */
export function joinConfigs(parts: readonly JointPart[]): JointConfig {
  const configs = parts.map(({ config }) => config)
  const rates = new Set(configs.flatMap(({ dropout }) => (dropout > 0 ? [dropout] : [])))
  if (rates.size > 1)
    throw new OptionError(
      `dropout: got ${[...rates].join(' and ')}; kinds that act together drop the same inputs, so both need the same rate, or 0.`,
    )
  const activated = parts.find(({ config }) => config.invocationTokens)
  if (activated)
    throw new OptionError(
      `${activated.kind}: invocationTokens: kinds that act together act on all tokens; leave them out.`,
    )
  // The targets are those of the kind that trains tokens, because they show where trained tokens
  // would conflict.
  const leading = configs.find(({ trainableTokens }) => trainableTokens) ?? configs[0]!
  const { targets, exclude, layers, layersPattern, trainableTokens } = leading
  const list = (name: 'modulesToSave' | 'embeddings'): string[] => [
    ...new Set(configs.flatMap((config) => config[name] ?? [])),
  ]
  const modulesToSave = list('modulesToSave')
  const embeddings = list('embeddings')
  return {
    targets,
    exclude,
    layersPattern,
    ...(layers && { layers }),
    dropout: Math.max(...configs.map(({ dropout }) => dropout)),
    ...(modulesToSave.length > 0 && { modulesToSave }),
    ...(embeddings.length > 0 && { embeddings }),
    ...(trainableTokens && { trainableTokens }),
    ...(configs.some(({ ensureWeightTying }) => ensureWeightTying) && { ensureWeightTying: true }),
    parts,
  }
}
