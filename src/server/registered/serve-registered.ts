// A service whose requests may name experts of a registry: `coder`, `coder@^1.2`, `coder@stable`,
// alone or in a mixture. They are loaded on demand. A version that is published while the server
// runs answers the next request; running requests keep their version.

import { GraftError, NotFoundError, OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteName } from '../../formats/quote.ts'
import type { Registry, RegistryChange, ResolvedExpert } from '../../registry/registry.ts'
import { createLeavable } from '../../runtime/worker/leavable.ts'
import { replaceMethods } from '../accounts/replace-methods.ts'
import { readModelName } from '../local/choose-expert.ts'
import { RequestError } from '../request-error.ts'
import { findRequestText } from '../routing/request-text.ts'
import { routedModel } from '../routing/route-service.ts'
import type { AnswerEvent, AnswerRequest, ExpertChoice, Service } from '../service.ts'
import { createServiceEmbedder, type EntryFinder, findEntries } from './find-entries.ts'
import { listNames, replaceNames } from './name-experts.ts'
import { checkOwnName } from './own-names.ts'
import { type ResidentHold, ResidentVersions } from './resident-versions.ts'

export interface RegisteredParts {
  readonly registry: Registry
  /** Limit in bytes of the files of registered experts that stay in memory while idle. */
  readonly maxBytes: number
  /** Experts that a router chooses among, and how each is asked for. Default: none. */
  readonly routed?: ReadonlyMap<string, string> | undefined
  /** Called if a change of the registry cannot be followed; requests are still answered. */
  readonly onFailure: (what: string, error: unknown) => void
}

export interface RegisteredService {
  readonly service: Service
  /** Stops following the registry. */
  close(): Promise<void>
}

/** References whose new versions are loaded before they are asked for again. */
const mostFollowed = 1000

export async function serveRegistered(
  given: Service,
  parts: RegisteredParts,
): Promise<RegisteredService> {
  const [{ name, aliases }, experts] = await Promise.all([given.describe(), given.listExperts()])
  const registered = new RegisteredExperts(given, parts, {
    baseNames: [name, ...aliases],
    loaded: new Set(experts.map((expert) => expert.name)),
  })
  const end = new AbortController()
  const following = registered.follow(end.signal)
  return {
    service: createRegisteredService(given, registered, {
      registry: parts.registry,
      residents: registered.residents,
      embedder: await createServiceEmbedder(given),
    }),
    async close() {
      end.abort()
      await following
    },
  }
}

function createRegisteredService(
  given: Service,
  experts: RegisteredExperts,
  finder: EntryFinder,
): Service {
  const holdFor =
    <Request extends ExpertChoice, Result>(call: (request: Request) => Promise<Result>) =>
    async (request: Request): Promise<Result> => {
      const { choice, release } = await experts.enter(request)
      try {
        return await call(choice)
      } finally {
        await release()
      }
    }
  const { residents, loaded } = experts
  return replaceMethods(given, {
    generate: (request, outer) =>
      createLeavable(outer, (signal) => answerRequest(given, experts, request, signal)),
    embed: (request, signal) => holdFor((own: typeof request) => given.embed(own, signal))(request),
    tokenize: holdFor((request) => given.tokenize(request)),
    detokenize: holdFor((request) => given.detokenize(request)),
    applyTemplate: holdFor((request) => given.applyTemplate(request)),
    findRegistered: (query) => findEntries(query, finder),
    async listExperts() {
      const all = await given.listExperts()
      // clients must not learn where a registry keeps its files
      return all.map((one) =>
        residents.hasName(one.name)
          ? Object.assign({}, one, { path: undefined, isRegistered: true })
          : one,
      )
    },
    async loadExpert(request) {
      if (request.name !== undefined) checkOwnName(request.name)
      const expert = await given.loadExpert(request)
      loaded.add(expert.name)
      return expert
    },
    async unloadExpert(name) {
      residents.forget(name)
      loaded.delete(name)
      await given.unloadExpert(name)
    },
    async pinExpert(name, isPinned) {
      const expert = await given.pinExpert(name, isPinned)
      residents.pin(name, isPinned)
      return expert
    },
  })
}

async function* answerRequest(
  given: Service,
  experts: RegisteredExperts,
  request: AnswerRequest,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent, void> {
  const { choice, model, names, release } = await experts.enterRouted(request, signal)
  try {
    for await (const event of given.generate(choice, signal))
      yield event.type === 'start' && model !== undefined
        ? Object.assign({}, event, { model })
        : event
  } catch (error) {
    experts.residents.forgetLost(names, error)
    throw error
  } finally {
    await release()
  }
}

interface NamedExperts {
  readonly baseNames: readonly string[]
  /**
   * Experts that the operator or requests have loaded; they take precedence over the registry's.
   */
  readonly loaded: Set<string>
}

/** A choice whose experts are in memory until it is released. */
interface EnteredChoice<Choice> {
  readonly choice: Choice
  /** The names that the request used; undefined if nothing was replaced. */
  readonly model: string | undefined
  /** The names of registered experts in memory. */
  readonly names: readonly string[]
  release(): Promise<void>
}

class RegisteredExperts {
  readonly residents: ResidentVersions
  readonly loaded: Set<string>
  readonly #service: Service
  readonly #parts: RegisteredParts
  readonly #baseNames: readonly string[]
  /** By reference, the id. */
  readonly #asked = new Map<string, string>()

  constructor(service: Service, parts: RegisteredParts, { baseNames, loaded }: NamedExperts) {
    this.#service = service
    this.#parts = parts
    this.#baseNames = baseNames
    this.loaded = loaded
    this.residents = new ResidentVersions({ service, maxBytes: parts.maxBytes })
  }

  /**
   * As `enter`. For "auto" the expert that the router will choose is loaded before it is asked again
   * with the whole request.
   */
  async enterRouted(
    request: AnswerRequest,
    signal: AbortSignal,
  ): Promise<EnteredChoice<AnswerRequest>> {
    const { routed } = this.#parts
    const text = findRequestText(request)
    if (!routed || text === undefined || request.model?.trim() !== routedModel)
      return this.enter(request)
    const conversation = request.conversation ?? { messages: [{ role: 'user', content: text }] }
    const { expert } = await this.#service.explainRoute(conversation, request.user, signal)
    const parts = expert === null ? [] : listNames(readModelName(expert, this.#baseNames))
    const wanted = parts.flatMap((name) => (this.loaded.has(name) ? [] : (routed.get(name) ?? [])))
    const holds = await this.#hold(wanted)
    return {
      choice: request,
      model: undefined,
      names: [...holds.values()].map(({ name }) => name),
      release: () => releaseAll(holds),
    }
  }

  /** Throws RequestError of status 404 for an unknown name. */
  async enter<Choice extends ExpertChoice>(choice: Choice): Promise<EnteredChoice<Choice>> {
    const { model } = choice
    const none = { choice, model: undefined, names: [], release: async () => undefined }
    if (model === undefined) return none
    const spec = readModelName(model, this.#baseNames)
    const wanted = listNames(spec).filter((name) => !this.loaded.has(name) && name !== routedModel)
    if (wanted.length === 0) return none
    const holds = await this.#hold(wanted)
    const names = new Map([...holds].map(([name, hold]) => [name, hold.name]))
    return {
      choice: Object.assign({}, choice, { model: replaceNames(spec, names) }),
      model: model.trim(),
      names: [...names.values()],
      release: () => releaseAll(holds),
    }
  }

  /** Loads what references mean: all of them or none. */
  async #hold(references: readonly string[]): Promise<Map<string, ResidentHold>> {
    const holds = new Map<string, ResidentHold>()
    try {
      // all are found before any is loaded
      const found = new Map<string, ResolvedExpert>()
      for (const name of references) found.set(name, await this.#resolve(name))
      for (const [name, expert] of found) holds.set(name, await this.residents.hold(expert))
      return holds
    } catch (error) {
      await releaseAll(holds)
      throw error
    }
  }

  async #resolve(name: string): Promise<ResolvedExpert> {
    try {
      const found = await this.#parts.registry.resolve(name)
      this.#note(name, found.id)
      return found
    } catch (error) {
      if (error instanceof NotFoundError && name.includes('@') && (await this.#has(name)))
        throw createAbsence(error.message)
      if (error instanceof NotFoundError || error instanceof OptionError)
        throw createAbsence(await this.#describeAbsence(name))
      throw error
    }
  }

  #note(reference: string, id: string): void {
    this.#asked.delete(reference)
    this.#asked.set(reference, id)
    if (this.#asked.size > mostFollowed)
      this.#asked.delete(this.#asked.keys().next().value as string)
  }

  /** Whether there is a version of the expert that a reference names. */
  async #has(reference: string): Promise<boolean> {
    const [id] = reference.split('@')
    return (await this.#parts.registry.list(id)).length > 0
  }

  async #describeAbsence(name: string): Promise<string> {
    const ids = (await this.#parts.registry.list()).map(({ id }) => id)
    const [id = name] = name.split('@')
    const meant = findNearestName(id.slice(0, 200), [...this.loaded, ...ids, ...this.#baseNames])
    const hint =
      meant === undefined
        ? ' GET /v1/models lists the models.'
        : ` Did you mean ${quoteName(meant)}?`
    return `There is no expert ${quoteName(name.slice(0, 200))}.${hint}`
  }

  /** Loads new versions of what requests asked for before, until the signal ends it. */
  async follow(signal: AbortSignal): Promise<void> {
    const { registry, onFailure } = this.#parts
    try {
      for await (const change of registry.watch(signal))
        await this.#apply(change).catch((error: unknown) =>
          onFailure(`${change.id}@${change.version} is not loaded ahead`, error),
        )
    } catch (error) {
      if (!signal.aborted) onFailure('changes of the registry are not seen ahead', error)
    }
  }

  async #apply({ type, id, version }: RegistryChange): Promise<void> {
    if (type === 'removed') return this.residents.drop(`${id}@${version}`)
    for (const [reference, about] of this.#asked) {
      if (about !== id) continue
      const found = await this.#parts.registry.resolve(reference).catch((error: unknown) => {
        if (GraftError.isInstance(error)) return undefined // requests get the error
        throw error
      })
      if (found && !this.residents.has(found)) await (await this.residents.hold(found)).release()
    }
  }
}

async function releaseAll(holds: ReadonlyMap<string, ResidentHold>): Promise<void> {
  for (const hold of holds.values()) await hold.release()
}

const createAbsence = (message: string): RequestError =>
  new RequestError(message, { status: 404, param: 'model', code: 'model_not_found' })
