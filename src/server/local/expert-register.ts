// The experts of a server by name, with the data that the engine's pool does not have: llama.cpp's
// number, the path, the system message of the training.

import { type Expert, isMixture } from '../../adapters/serving/mixture.ts'
import { findPooling } from '../../adapters/serving/pooling.ts'
import { OptionError } from '../../base/errors.ts'
import { findNearestName } from '../../base/suggest.ts'
import { quoteName } from '../../formats/quote.ts'
import type { ExpertHandle } from '../../runtime/engine/pool/adapter-pool.ts'
import { RequestError } from '../request-error.ts'
import type { AdapterScale, ServedExpert } from '../service.ts'
import type { ExpertShelf, ServingEngine } from './serving-engine.ts'

/** What is known of an expert when it is loaded. */
export interface ExpertOrigin {
  readonly path?: string | undefined
  readonly system?: string | undefined
  readonly scale?: number | undefined
  /** The root digest of the files that it was read from. */
  readonly sha256?: string | undefined
}

interface ExpertRecord extends ExpertOrigin {
  readonly id: number
  readonly loadedAt: number
  scale: number
  isPinned: boolean
  answers: number
  completionTokens: number
}

export interface ExpertRegisterParts {
  readonly engine: ServingEngine
  /** Names of the base, which no expert may have. */
  readonly baseNames: readonly string[]
  readonly hasOwnTemplate: (expert: Expert) => boolean
  /** Milliseconds since 1970. */
  readonly now: () => number
}

const mostCharacters = 200

export class ExpertRegister {
  readonly #parts: ExpertRegisterParts
  readonly #records = new Map<string, ExpertRecord>()
  #nextId = 0

  constructor(parts: ExpertRegisterParts) {
    this.#parts = parts
  }

  /** Includes those that a program registered at the engine itself. */
  list(): ServedExpert[] {
    return this.#pool
      .list()
      .map((handle) => this.describe(handle.name!))
      .sort((a, b) => a.id - b.id)
  }

  has(name: string): boolean {
    return this.#pool.list().some((handle) => handle.name === name)
  }

  /** Throws NotFoundError with the nearest name. */
  get(name: string): { handle: ExpertHandle; record: ExpertRecord } {
    const handle = this.#pool.list().find((one) => one.name === name)
    if (!handle) throw this.createAbsence(name)
    return { handle, record: this.#getRecord(name) }
  }

  describe(name: string): ServedExpert {
    const { handle, record } = this.get(name)
    return describeExpert(handle, record, this.#parts.hasOwnTemplate(handle.described))
  }

  /** The error for an unknown name. */
  createAbsence(name: string, others: readonly string[] = []): RequestError {
    const names = [...this.#pool.list().map((handle) => handle.name!), ...others]
    const meant = findNearestName(name, names)
    const hint =
      meant === undefined
        ? ' GET /v1/models lists the models.'
        : ` Did you mean ${quoteName(meant)}?`
    return new RequestError(
      `There is no expert ${quoteName(name.slice(0, mostCharacters))}.${hint}`,
      { status: 404, param: 'model', code: 'model_not_found' },
    )
  }

  /**
   * Registers an expert. Throws OptionError for a name that is invalid or taken, and what the pool
   * throws; then nothing has changed.
   */
  async load(
    name: string,
    expert: Expert,
    origin: ExpertOrigin,
    replace: boolean,
  ): Promise<ServedExpert> {
    this.checkName(name)
    this.checkFree(name, replace)
    await this.#parts.engine.registerAdapter(name, expert, undefined, origin.sha256)
    const old = this.#records.get(name)
    this.#records.set(name, this.#createRecord(origin, old))
    return this.describe(name)
  }

  /** Throws RequestError for a name that is loaded, unless it is replaced. */
  checkFree(name: string, replace: boolean): void {
    if (!replace && this.has(name))
      throw new RequestError(
        `The expert ${quoteName(name)} has already been loaded. Unload it first, or ask to replace it.`,
        { param: 'name', code: 'already_loaded' },
      )
  }

  checkName(name: string): void {
    const { baseNames } = this.#parts
    const problem = findNameProblem(name, baseNames)
    if (problem !== undefined)
      throw new RequestError(`The name ${quoteName(name.slice(0, mostCharacters))} ${problem}.`, {
        param: 'name',
        code: 'invalid_value',
      })
  }

  async unload(name: string): Promise<void> {
    this.get(name)
    this.#records.delete(name)
    await this.#parts.engine.unloadAdapter(name)
  }

  async pin(name: string, isPinned: boolean): Promise<ServedExpert> {
    const { record } = this.get(name)
    if (isPinned) {
      if (!record.isPinned) this.#checkPinRoom(name)
      this.#pool.pin(name)
      if (!(await this.#pool.preload(name))) {
        this.#pool.unpin(name)
        throw new OptionError(
          `There is no room to pin ${quoteName(name)} now: every slot is used or pinned. Ask again, or raise the budget of experts.`,
        )
      }
    } else this.#pool.unpin(name)
    record.isPinned = isPinned
    return this.describe(name)
  }

  /** One place must stay free of pinned experts, or no other could be asked any more. */
  #checkPinRoom(name: string): void {
    const bytes = this.#pool.countSlotBytes(name)
    const { pinnedBytes, budgetBytes } = this.#pool.statistics
    if (bytes === 0 || pinnedBytes + 2 * bytes <= budgetBytes) return
    const limit = Math.max(0, Math.floor(budgetBytes / bytes) - 1)
    const most = limit === 1 ? 'one expert' : `${limit} experts`
    throw new RequestError(
      `${quoteName(name)} is not pinned: at most ${most} of its size can be, so that one more finds room in the ${budgetBytes} bytes for experts. Unpin one, or raise --expert-bytes.`,
      { code: 'too_many_pinned' },
    )
  }

  /** Sets the scales that are given; absent ones become 0. Throws for an unknown id. */
  setScales(scales: readonly AdapterScale[]): void {
    const named = scales.map(({ id, scale }) => ({ name: this.getById(id).name, scale }))
    for (const { name } of this.list()) this.#getRecord(name).scale = 0
    for (const { name, scale } of named) this.#getRecord(name).scale = scale
  }

  getById(id: number): ServedExpert {
    const found = this.list().find((one) => one.id === id)
    if (found) return found
    const ids = this.list().map((one) => one.id)
    throw new RequestError(
      `There is no adapter with the id ${id}. There are ${ids.length === 0 ? 'none' : ids.join(', ')}.`,
      { param: 'lora', code: 'unknown_adapter' },
    )
  }

  countAnswer(names: readonly string[], completionTokens: number): void {
    for (const name of names) {
      const record = this.#records.get(name)
      if (!record) continue
      record.answers++
      record.completionTokens += completionTokens
    }
  }

  get #pool(): ExpertShelf {
    return this.#parts.engine.experts
  }

  #getRecord(name: string): ExpertRecord {
    const known = this.#records.get(name)
    if (known) return known
    const made = this.#createRecord({})
    this.#records.set(name, made)
    return made
  }

  /** A replaced expert keeps its number, its scale and its pin. */
  #createRecord(origin: ExpertOrigin, old?: ExpertRecord): ExpertRecord {
    return {
      path: origin.path,
      system: origin.system,
      id: old?.id ?? this.#nextId++,
      loadedAt: Math.floor(this.#parts.now() / 1000),
      scale: origin.scale ?? old?.scale ?? 0,
      isPinned: old?.isPinned ?? false,
      answers: 0,
      completionTokens: 0,
    }
  }
}

function findNameProblem(name: string, baseNames: readonly string[]): string | undefined {
  if (name.trim() === '') return 'is empty'
  if (name.length > mostCharacters) return `has more than ${mostCharacters} characters`
  if (name !== name.trim() || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name))
    return 'begins or ends with a blank, or contains characters that cannot be printed'
  if (/[+>"]/.test(name) || /:\s*[-+.\d]/.test(name) || name.endsWith(':'))
    return 'contains +, >, " or a number after a colon, which mixtures are written with'
  const taken = [...baseNames, 'base', 'auto'].find((one) => name === one)
  if (taken !== undefined) return `means ${taken === 'auto' ? 'the router' : 'the base'}`
  const front = baseNames.find((one) => name.startsWith(`${one}:`))
  return front === undefined ? undefined : `begins with the base's name ${quoteName(front)}`
}

function describeExpert(
  handle: ExpertHandle,
  record: ExpertRecord,
  hasOwnTemplate: boolean,
): ServedExpert {
  const { name, version, key, described } = handle
  const { id, path, system, isPinned, scale, loadedAt, answers, completionTokens } = record
  return {
    name: name!,
    id,
    path,
    version,
    key,
    kind: isMixture(described) ? 'mixture' : described.kind,
    pooling: findPooling(handle.expert ?? described),
    system,
    isPinned,
    hasOwnTemplate,
    scale,
    loadedAt,
    answers,
    completionTokens,
  }
}
