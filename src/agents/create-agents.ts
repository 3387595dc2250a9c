// Agents: roles, each with its own expert, that share one engine. Their requests are rows of one
// batch, so three agents that are asked at once take about as long as one. Independent of files:
// experts are given as values.

import type { Expert } from '../adapters/index.ts'
import { NotFoundError, OptionError } from '../base/errors.ts'
import {
  checkOptions,
  listOf,
  positiveInteger,
  readOptions,
  string,
  unchecked,
} from '../base/schema.ts'
import { findNearestName } from '../base/suggest.ts'
import { composePrompt } from '../runtime/chat-prompt.ts'
import { createEngine } from '../runtime/create-engine.ts'
import type { Engine, Generation, Model, Prompt } from '../runtime/index.ts'

/** One role. */
export interface AgentRole {
  /** The expert that answers; undefined: the base. */
  readonly expert?: Expert | undefined
  /** System message of every request that brings none. */
  readonly system?: string | undefined
  /** New tokens of an answer at most. */
  readonly maxTokens?: number | undefined
  /** Texts that end an answer. */
  readonly stop?: readonly string[] | undefined
}

export interface CreateAgentsOptions {
  readonly model: Model
  /** An engine that others use too. Default: one of the agents' own. */
  readonly engine?: Engine | undefined
  /** By name: { coder: { expert, system } }. */
  readonly roles: Readonly<Record<string, AgentRole>>
  /** What the names of experts in the engine begin with. Default 'agent-'. */
  readonly prefix?: string | undefined
}

export interface AskOptions {
  readonly maxTokens?: number | undefined
  readonly stop?: readonly string[] | undefined
  /** 0, the default, takes the most likely token. */
  readonly temperature?: number | undefined
  readonly seed?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface AgentAnswer {
  readonly agent: string
  readonly text: string
  readonly ids: readonly number[]
}

export interface Agents {
  /** In the order in which they were given. */
  readonly names: readonly string[]
  readonly engine: Engine
  /** Throws NotFoundError for a name that no agent has, and what generating throws. */
  ask(agent: string, prompt: Prompt, options?: AskOptions): Promise<AgentAnswer>
  /** Asks several at once, all unless named, in one batch. */
  askAll(
    prompt: Prompt,
    options?: AskOptions & { readonly agents?: readonly string[] | undefined },
  ): Promise<readonly AgentAnswer[]>
  /** Unloads the agents' experts; ends the engine where it is the agents' own. */
  close(): Promise<void>
}

const roleFields = {
  expert: unchecked<Expert>('an adapter or a mixture'),
  system: string(),
  maxTokens: positiveInteger,
  stop: listOf(string({ filled: true })),
}

const agentFields = {
  model: unchecked<Model>('a model'),
  engine: unchecked<Engine>('an engine'),
  roles: unchecked<CreateAgentsOptions['roles']>('roles by name'),
  prefix: string({ default: 'agent-' }),
}

/**
 * Agents over one model:
 *
 * const agents = await createAgents({ model, roles: { coder: { expert }, reviewer: { system } } })
 *     const draft = await agents.ask('coder', 'Write add(a, b).')
 *     const opinions = await agents.askAll(`Judge this: ${draft.text}`)
 *
 * Throws OptionError for unknown options and where there is no role, and what registering an expert
 * throws; nothing is registered then.
 */
export async function createAgents(options: CreateAgentsOptions): Promise<Agents> {
  const { model, roles, engine: given, prefix } = readOptions('Agents', options, agentFields)
  const entries = Object.entries(roles ?? {})
  if (!model || entries.length === 0)
    throw new OptionError('Agents: give a model, and at least one role by name.')
  for (const [name, role] of entries) checkOptions(`Agents: roles.${name}`, role, roleFields)
  const engine = given ?? createEngine({ model })
  const registered: string[] = []
  const close = async (): Promise<void> => {
    for (const name of registered.splice(0)) await engine.unloadAdapter(name)
    if (!given) await engine.dispose()
  }
  try {
    for (const [name, { expert }] of entries) {
      if (!expert) continue
      await engine.registerAdapter(prefix + name, expert)
      registered.push(prefix + name)
    }
  } catch (error) {
    await close()
    throw error
  }
  return new SharedAgents({ model, engine, roles: new Map(entries), prefix, close })
}

interface AgentParts {
  readonly model: Model
  readonly engine: Engine
  readonly roles: ReadonlyMap<string, AgentRole>
  readonly prefix: string
  readonly close: () => Promise<void>
}

class SharedAgents implements Agents {
  readonly names: readonly string[]
  readonly engine: Engine
  readonly close: () => Promise<void>
  readonly #parts: AgentParts

  constructor(parts: AgentParts) {
    this.#parts = parts
    this.names = [...parts.roles.keys()]
    this.engine = parts.engine
    this.close = parts.close
  }

  async ask(agent: string, prompt: Prompt, options: AskOptions = {}): Promise<AgentAnswer> {
    const { model, engine, prefix } = this.#parts
    const role = this.#getRole(agent)
    const { expert, maxTokens, stop } = role
    const ids = model.encode(addSystem(model, prompt, role), {}, expert)
    const request = {
      maxTokens: options.maxTokens ?? maxTokens,
      stop: options.stop ?? stop ?? [],
      temperature: options.temperature ?? 0,
      ...(options.seed !== undefined && { seed: options.seed }),
      ...(options.signal && { signal: options.signal }),
    }
    let end: Generation | undefined
    for await (const event of engine.generate({
      prompt: ids,
      ...(expert && { adapter: prefix + agent }),
      ...request,
    }))
      if (event.type === 'generation-end') end = event
    return { agent, text: end!.text, ids: end!.ids }
  }

  async askAll(
    prompt: Prompt,
    {
      agents = this.names,
      ...options
    }: AskOptions & { agents?: readonly string[] | undefined } = {},
  ): Promise<readonly AgentAnswer[]> {
    for (const agent of agents) this.#getRole(agent) // before any is asked
    return Promise.all(agents.map((agent) => this.ask(agent, prompt, options)))
  }

  #getRole(agent: string): AgentRole {
    const role = this.#parts.roles.get(agent)
    if (role) return role
    const meant = findNearestName(agent, this.names)
    throw new NotFoundError(
      `There is no agent ${JSON.stringify(agent)}; there are ${this.names.join(', ')}.${meant === undefined ? '' : ` Did you mean "${meant}"?`}`,
    )
  }
}

/** The prompt with the role's system message, unless it has one. */
function addSystem(model: Model, prompt: Prompt, { system, expert }: AgentRole): Prompt {
  if (system === undefined || typeof prompt === 'object') {
    const isChat = Array.isArray(prompt) && typeof prompt[0] === 'object'
    if (system === undefined || !isChat) return prompt
    const messages = prompt as readonly { readonly role: string }[]
    return messages[0]?.role === 'system'
      ? prompt
      : ([{ role: 'system', content: system }, ...messages] as Prompt)
  }
  return composePrompt(model, prompt, system, [], expert)
}
