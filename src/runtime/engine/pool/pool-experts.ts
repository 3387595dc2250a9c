// The experts of a pool, by their keys, and their handles.

import type { Expert } from '../../../adapters/index.ts'
import { isMixture, simplifyExpert } from '../../../adapters/serving/mixture.ts'
import {
  findAbsentLayers,
  isWeightZero,
  type PartWeight,
} from '../../../adapters/serving/part-weight.ts'
import { NotFoundError, OptionError } from '../../../base/errors.ts'
import { joinProblems } from '../../../base/schema.ts'
import type { ExpertHandle } from './adapter-pool.ts'
import { createExpertKeys, hashText } from './expert-key.ts'
import {
  attachedSource,
  createExpertSources,
  describeSource,
  type ExpertSource,
  packSource,
  type PoolBase,
} from './expert-source.ts'
import { mixSources } from './mix-sources.ts'
import {
  countVirtualTokens,
  createHandle,
  createMixHandle,
  type ExpertVersion,
  PooledExpert,
} from './pooled-expert.ts'
import { SlotRooms } from './slot-rooms.ts'

export const toMegabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

/** How registered experts are stored while they are in no slot. */
export const coldForms = ['f32', 'f16', 'int8'] as const
export type ColdForm = (typeof coldForms)[number]

const coldBits = { f32: undefined, f16: 16, int8: 8 } as const

export interface PoolOptions {
  /** Bytes that slots and vectors may take. Default 512 MiB. */
  readonly budgetBytes?: number
  /**
   * How registered experts are kept: 'f32' as they are, 'f16' and 'int8' in a half and a quarter of
   * the bytes. Slots hold f32 in any case. Default 'f32'.
   */
  readonly cold?: ColdForm
  /**
   * For platforms with little memory: beyond this many bytes of slots, a new expert replaces an
   * idle one, and a LoRA fills its slot from its own tensors. Changing the expert then writes a
   * slot. Default: idle experts keep their slots while the budget has room.
   */
  readonly idleBytes?: number | undefined
}

export type CompletePoolOptions = Required<Omit<PoolOptions, 'idleBytes'>> &
  Pick<PoolOptions, 'idleBytes'>

type HandleParts = Pick<ExpertHandle, 'name' | 'version' | 'metadata'>

/** A version with its weight in a sum. */
interface WeightedVersion {
  readonly version: ExpertVersion
  readonly weight: PartWeight
}

export class PoolExperts {
  readonly rooms: SlotRooms<PooledExpert>
  readonly #budget: number
  readonly #cold: ColdForm
  readonly #layers: number
  readonly #pins: ReadonlySet<string>
  readonly #keys = createExpertKeys()
  readonly #sources: ReturnType<typeof createExpertSources>
  /** Experts that have a name, a slot or a lease, by key. */
  readonly #known = new Map<string, PooledExpert>()
  readonly #versions = new WeakMap<ExpertHandle, ExpertVersion>()
  /** Handles of experts without a name. */
  readonly #unnamed = new WeakMap<Expert, ExpertVersion>()

  constructor(
    base: PoolBase,
    { budgetBytes, cold, idleBytes }: CompletePoolOptions,
    pins: ReadonlySet<string>,
  ) {
    this.#budget = budgetBytes
    this.#cold = cold
    this.#layers = base.graph.config.layers.length
    this.#pins = pins
    this.#sources = createExpertSources(base, { lean: idleBytes !== undefined })
    const bytes = { budgetBytes, idleBytes: idleBytes ?? budgetBytes }
    this.rooms = new SlotRooms(base.layout, bytes, (expert) => this.forget(expert))
  }

  get all(): Iterable<PooledExpert> {
    return this.#known.values()
  }

  /** Checks an expert before it is registered; `keep` adds it. */
  async prepare(given: Expert, name: () => HandleParts, digest?: string): Promise<ExpertVersion> {
    const expert = simplify(given)
    const source = await this.#readSource(expert)
    const key = await this.#keys.hash(expert, digest)
    const bits = coldBits[this.#cold]
    // Virtual tokens are attached with the adapter's own tensors, so these are kept.
    if (bits === undefined || !source.slot || countVirtualTokens(expert) > 0)
      return this.#createVersion(expert, source, { ...name(), key })
    // Rounded tensors give other outputs, so they have a separate key.
    const packedKey = hashText([key, this.#cold])
    const packed = packSource(source, bits)
    this.#sources.forget(expert)
    return this.#createVersion(expert, packed, { ...name(), key: packedKey }, false)
  }

  /** The sum of experts that have versions. Throws what AdapterPool.mix throws. */
  mix(given: readonly WeightedVersion[]): ExpertVersion | undefined {
    const parts = given.filter(({ weight }) => !isWeightZero(weight))
    const [first] = parts
    if (!first) return undefined
    if (parts.length === 1 && first.weight === 1) return first.version
    const key = hashText([
      'mixture',
      JSON.stringify(parts.map(({ version: { handle }, weight }) => [handle.key, weight])),
    ])
    const source = this.#known.get(key)?.source ?? this.#mixSources(parts)
    const keys = parts.map(({ version: { handle } }) => handle.key)
    const expert =
      this.#known.get(key) ?? new PooledExpert(key, source, undefined, this.#pins, keys)
    const weighted = parts.map(({ version: { handle }, weight }) => ({ handle, weight }))
    const handle = createMixHandle(weighted, Object.assign({ key }, describeSource(source)))
    const versions = parts.map(({ version }) => version)
    const version = {
      handle,
      expert,
      users: 0,
      claims: 0,
      isUnloaded: false,
      parts: versions,
      waiting: [],
    }
    this.#versions.set(handle, version)
    return version
  }

  #mixSources(parts: readonly WeightedVersion[]): ExpertSource {
    const layers = this.#layers
    const named = parts.map(({ version: { handle, expert }, weight }, i) => ({
      what: handle.name === undefined ? `number ${i + 1}` : `"${handle.name}"`,
      source: expert.source,
      virtualTokens: handle.virtualTokens,
      weight,
      invocation: handle.invocation,
    }))
    const problems = named.flatMap(({ what, weight }) => findAbsentLayers(weight, layers, what))
    if (problems.length > 0) throw new OptionError(joinProblems(problems))
    return this.#checkBytes(mixSources(named))
  }

  /** Releases the sums that an expert was part of, now or when they end. */
  retireSums(part: PooledExpert): void {
    for (const expert of [...this.#known.values()])
      if (expert.partKeys.includes(part.key)) {
        expert.isRetired = true
        this.giveBack(expert)
      }
  }

  /** The version of an expert without a name. */
  async findUnnamed(given: Expert): Promise<ExpertVersion> {
    const expert = simplify(given)
    const known = this.#unnamed.get(expert)
    if (known && known.handle.key === this.#keys.get(expert)) return known
    const source = await this.#readSource(expert)
    const key = this.#keys.get(expert)
    const unnamed = { name: undefined, version: 1, metadata: {}, key }
    const version = this.#createVersion(expert, source, unnamed)
    this.#unnamed.set(expert, version)
    return version
  }

  versionOf(handle: ExpertHandle): ExpertVersion {
    const version = this.#versions.get(handle)
    if (!version) throw new OptionError('This handle is of another adapter pool; register it here.')
    const gone = [version, ...version.parts].find(({ isUnloaded }) => isUnloaded)
    if (gone && version.claims === 0)
      throw new NotFoundError(`The adapter "${gone.handle.name}" was unloaded.`)
    // the pool's entry of the same content serves both
    version.expert = this.#known.get(handle.key) ?? version.expert
    return version
  }

  /** Adds the version's expert, until `forget`. */
  keep(version: ExpertVersion): PooledExpert {
    const { expert } = this.versionOf(version.handle)
    this.#known.set(version.handle.key, expert)
    if (version.parts.some(({ isUnloaded }) => isUnloaded)) expert.isRetired = true
    return expert
  }

  /** Frees the memory of a retired expert, once it is unused. */
  giveBack(expert: PooledExpert): void {
    if (expert.isActive || expert.names.size > 0) return
    if (expert.isRetired && this.rooms.users.has(expert)) this.rooms.remove(expert)
    else this.forget(expert)
  }

  /** Removes an expert without a name, a slot or a lease. */
  forget(expert: PooledExpert): void {
    if (expert.names.size > 0 || expert.isActive || this.rooms.users.has(expert)) return
    if (this.#known.get(expert.key) === expert) this.#known.delete(expert.key)
  }

  /** What fills the slots; an adapter that would take more than the whole budget is attached. */
  async #readSource(expert: Expert): Promise<ExpertSource> {
    const source = await this.#sources.read(expert)
    if (isMixture(expert)) return this.#checkBytes(source)
    return this.rooms.countBytes(source) <= this.#budget ? source : attachedSource
  }

  /** Throws OptionError for a sum that would take more than the whole budget. */
  #checkBytes(source: ExpertSource): ExpertSource {
    const bytes = this.rooms.countBytes(source)
    if (bytes <= this.#budget) return source
    throw new OptionError(
      `This mixture needs ${toMegabytes(bytes)} in a slot, and the pool's budgetBytes are ${toMegabytes(this.#budget)}. Raise the budget, or merge its adapters into one of a lower rank.`,
    )
  }

  #createVersion(
    expert: Expert,
    source: ExpertSource,
    named: HandleParts & Pick<ExpertHandle, 'key'>,
    keepsExpert = true,
  ): ExpertVersion {
    const isAttached = source.slot === undefined || countVirtualTokens(expert) > 0
    const attached = isAttached && !isMixture(expert) ? expert : undefined
    const handle = createHandle(expert, Object.assign(describeSource(source), named), keepsExpert)
    const version: ExpertVersion = {
      handle,
      expert:
        this.#known.get(named.key) ?? new PooledExpert(named.key, source, attached, this.#pins),
      users: 0,
      claims: 0,
      isUnloaded: false,
      parts: [],
      waiting: [],
    }
    this.#versions.set(handle, version)
    return version
  }
}

function simplify(given: Expert): Expert {
  const expert = simplifyExpert(given)
  if (expert) return expert
  throw new OptionError(
    'Got no adapter, or a mixture whose weights are all 0: the base alone. The base needs no lease.',
  )
}
