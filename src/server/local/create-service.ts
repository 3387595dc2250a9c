// Creates the service over a model and an engine of this process.

import { getExpertText, type TextBase } from '../../adapters/files/expert-text.ts'
import type { Adapter } from '../../adapters/adapter.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import {
  integer,
  listOf,
  positiveInteger,
  readGivenOptions,
  string,
  unchecked,
} from '../../base/schema.ts'
import { computeContextLimit } from '../../graph/rope.ts'
import type { Model } from '../../runtime/model.ts'
import { noLearning } from '../learning/no-learning.ts'
import type { UserLearning } from '../learning/user-learning.ts'
import { RequestError } from '../request-error.ts'
import type { LoadExpertRequest, ServedExpert, Service, TokenizeRequest } from '../service.ts'
import type { UserService } from '../user-service.ts'
import { createAnswerer } from './answer-requests.ts'
import { createExpertChooser, type ExpertChooser } from './choose-expert.ts'
import { computeEmbeddings } from './embed-inputs.ts'
import { ExpertRegister } from './expert-register.ts'
import type { ServingEngine } from './serving-engine.ts'
import { getTokenTexts } from './token-texts.ts'
import { createPromptWriter, type PromptWriter } from './write-prompt.ts'

/**
 * Reads an adapter for the server's base; throws NotFoundError, and what `loadAdapter` throws.
 * `sha256`: the root digest that its files must have.
 */
export type AdapterReader = (
  path: string,
  sha256?: string,
) => Promise<{
  readonly adapter: Adapter
  /** The system message that it was trained with. */
  readonly system?: string | undefined
  /** The root digest of its files, if they were hashed. */
  readonly sha256?: string | undefined
}>

export interface StartingExpert {
  readonly name: string
  readonly expert: Expert
  readonly system?: string | undefined
  readonly path?: string | undefined
}

export interface ServiceOptions {
  readonly model: Model
  readonly engine: ServingEngine
  /** The base's name in lists. Default: its own name. */
  readonly name?: string | undefined
  /** Further names by which requests may ask for the base. */
  readonly aliases?: readonly string[] | undefined
  readonly experts?: readonly StartingExpert[] | undefined
  /**
   * Reads adapters that requests load, and checks where they may be; without it requests cannot
   * load any.
   */
  readonly readAdapter?: AdapterReader | undefined
  /** A chat template in place of the base's own. */
  readonly chatTemplate?: string | undefined
  /** Limit of prompt and answer together, in tokens. Default: the model's configuration. */
  readonly contextTokens?: number | undefined
  /** Limit of new tokens of an answer, whatever requests ask for. */
  readonly maxTokens?: number | undefined
  /** Sequences that run at a time, as the engine was made with. */
  readonly maxRows?: number | undefined
  /** Learns from users' feedback; without it the server does not learn. */
  readonly learning?: UserLearning | undefined
  /** The date that templates show, unless an expert was trained with another. */
  readonly today?: (() => Date) | undefined
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined
  /** A new id of a call. */
  readonly createId?: (() => string) | undefined
  /** The seed of a request that gives none. */
  readonly createSeed?: (() => number) | undefined
}

const fields = {
  model: unchecked<Model>('a model'),
  engine: unchecked<ServingEngine>('an engine'),
  name: string({ filled: true }),
  aliases: listOf(string({ filled: true })),
  experts: unchecked<readonly StartingExpert[]>('a list of { name, expert }'),
  readAdapter: unchecked<AdapterReader>('a function'),
  chatTemplate: string(),
  contextTokens: positiveInteger,
  maxTokens: positiveInteger,
  maxRows: integer({ from: 1 }),
  learning: unchecked<UserLearning>('users to learn from'),
  today: unchecked<() => Date>('a function that gives a Date'),
  now: unchecked<() => number>('a function that gives milliseconds'),
  createId: unchecked<() => string>('a function that gives a string'),
  createSeed: unchecked<() => number>('a function that gives an integer'),
}

/**
 * A service over a model and an engine. Throws OptionError for unknown or wrong options, and what
 * registering its experts throws.
 */
export async function createService(options: ServiceOptions): Promise<Service> {
  readGivenOptions('Service options', options, fields)
  const { model, engine, today, now = Date.now, createSeed = drawSeed } = options
  const { createId = drawId } = options
  const baseNames = [...new Set([options.name ?? model.base.name, ...(options.aliases ?? [])])]
  const experts = new ExpertRegister({
    engine,
    baseNames,
    now,
    hasOwnTemplate: (expert) => hasOwnTemplate(model.base, expert),
  })
  for (const { name, expert, ...origin } of options.experts ?? [])
    await experts.load(name, expert, origin, false)
  const chooser = createExpertChooser(experts, baseNames)
  const writer = createPromptWriter({
    model,
    chatTemplate: options.chatTemplate,
    today: today ?? (() => undefined),
  })
  const contextTokens = options.contextTokens ?? computeContextLimit(model.config)
  const { maxTokens } = options
  const openedAt = Math.floor(now() / 1000)
  const { learning } = options
  const limits = { contextTokens, maxTokens, createSeed, createId }
  const parts = { engine, experts, chooser, writer, learning, ...limits }
  return {
    async describe() {
      const template = writer.getTemplate(undefined)
      return {
        name: baseNames[0]!,
        aliases: baseNames.slice(1),
        contextTokens,
        vocabularySize: model.config.vocabularySize,
        openedAt,
        maxRows: options.maxRows ?? 16,
        chatTemplate: typeof template === 'string' ? template : JSON.stringify(template),
        specialTokens: getExpertText(model.base, undefined).specialTokens,
      }
    },
    generate: createAnswerer(parts),
    embed: async (request, signal) =>
      computeEmbeddings(request, chooser.choose(request), { model, ...parts }, signal),
    ...createTextMethods(chooser, writer),
    ...createExpertMethods(experts, options.readAdapter),
    ...createUserMethods(learning ?? noLearning),
    async explainRoute() {
      throw new RequestError('This server has no router. Start it with --router.', {
        type: 'not_supported_error',
        code: 'routing_off',
      })
    },
    stats: async () => engine.stats(),
  }
}

const drawId = (): string => `call_${crypto.randomUUID().replaceAll('-', '').slice(0, 24)}`

const drawSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!

const hasOwnTemplate = (base: TextBase, expert: Expert): boolean =>
  getExpertText(base, expert).chatTemplate !== base.chatTemplate

function createTextMethods(
  chooser: ExpertChooser,
  writer: PromptWriter,
): Pick<Service, 'tokenize' | 'detokenize' | 'applyTemplate'> {
  const encode = ({ text, conversation, addSpecialTokens, ...choice }: TokenizeRequest) => {
    const { reader, system } = chooser.choose(choice)
    const tokenizer = writer.getTokenizer(reader)
    const ids = conversation
      ? writer.writeConversation(conversation, reader, system).ids
      : tokenizer.encode(text ?? '', { addSpecialTokens })
    return { tokenizer, ids }
  }
  return {
    async tokenize(request) {
      const { ids, tokenizer } = encode(request)
      const texts = getTokenTexts(tokenizer)
      return { ids, tokens: ids.map((id) => texts.describe(id).text) }
    },
    async detokenize({ ids, ...choice }) {
      const { reader } = chooser.choose(choice)
      return writer.getTokenizer(reader).decode(writer.encode(ids, reader))
    },
    async applyTemplate({ conversation, ...choice }) {
      const { reader, system } = chooser.choose(choice)
      return writer.render(conversation, reader, system)
    },
  }
}

function createExpertMethods(
  experts: ExpertRegister,
  readAdapter: AdapterReader | undefined,
): Pick<
  Service,
  'listExperts' | 'findRegistered' | 'loadExpert' | 'unloadExpert' | 'pinExpert' | 'setScales'
> {
  const load = async (request: LoadExpertRequest): Promise<ServedExpert> => {
    const { path, replace = false, scale } = request
    if (!readAdapter)
      throw new RequestError(
        'This server loads no adapters, because no folder is allowed for them.',
        { status: 403, param: 'path', code: 'not_allowed' },
      )
    const name = request.name ?? chooseFreeName(path, experts)
    experts.checkName(name)
    experts.checkFree(name, replace)
    const { adapter, system, sha256 } = await readAdapter(path, request.sha256)
    return experts.load(name, adapter, { path, system, scale, sha256 }, replace)
  }
  return {
    listExperts: async () => experts.list(),
    findRegistered: async () => [],
    loadExpert: load,
    unloadExpert: (name) => experts.unload(name),
    pinExpert: (name, isPinned) => experts.pin(name, isPinned),
    setScales: async (scales) => experts.setScales(scales),
  }
}

const createUserMethods = (users: UserService): UserService => ({
  feedback: (request) => users.feedback(request),
  listUsers: () => users.listUsers(),
  showUser: (user) => users.showUser(user),
  listUserTurns: (user) => users.listUserTurns(user),
  forgetUser: (user) => users.forgetUser(user),
  forgetTurn: (user, responseId, index) => users.forgetTurn(user, responseId, index),
})

/** The last part of a path, with a number behind it where that name is taken. */
function chooseFreeName(path: string, experts: ExpertRegister): string {
  const last = path.split(/[\\/]/).findLast((part) => part !== '') ?? 'adapter'
  const plain = last.replace(/\.gguf$/i, '').replaceAll(/[^\w.-]/g, '-')
  let name = plain
  for (let count = 2; experts.has(name); count++) name = `${plain}-${count}`
  return name
}
