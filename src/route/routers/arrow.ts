// The router "arrow": uses the adapters themselves. The direction to which each adapter responds
// most at a layer is compared with the prompt's states there; neither examples nor training are
// needed.

import { FormatError, OptionError } from '../../base/errors.ts'
import { integer, isRecord, number, type OptionValues } from '../../base/schema.ts'
import { averageCoefficients, computeCoefficients } from '../arrow/arrow-scores.ts'
import type { ArrowSettings, LayerPrototypes } from '../arrow/arrow-scores.ts'
import { computePrototypes, findCommonModules } from '../arrow/prototypes.ts'
import { computeConfidence, fitCalibration } from '../calibration/fit-calibration.ts'
import {
  computeSoftmax,
  decideForBase,
  makeDecision,
  rankExperts,
  uncalibrated,
} from '../calibration/make-decision.ts'
import { readNumbers, writeNumbers } from '../features/number-array.ts'
import { checkExpertNames, type RouterFile, routerFileVersion } from '../router-file.ts'
import type {
  RouteClue,
  RouteDecision,
  RoutedExpert,
  RouteExample,
  Router,
  RouteRequest,
  RouterKind,
  RouterParts,
  StateReader,
  StateSource,
} from '../router.ts'
import { calibrationOptionFields, describeExperts } from '../training/training-set.ts'
import { findPlainRefusal } from '../training/vector-router.ts'

const fields = {
  layers: integer({
    from: 1,
    about: 'Layers that are asked, from the first one on. Default: a third of the base’s.',
  }),
  topK: integer({ from: 1, default: 3, about: 'Experts that share a token.' }),
  temperature: number({ above: 0, default: 1, about: 'Of the softmax over them.' }),
  ...calibrationOptionFields,
}

type Prototypes = ReadonlyMap<string, LayerPrototypes>

class ArrowRouter implements Router {
  readonly kind = 'arrow'
  #file: RouterFile
  #prototypes: Prototypes
  readonly #settings: ArrowSettings
  readonly #read: StateReader

  constructor(
    file: RouterFile,
    prototypes: Prototypes,
    settings: ArrowSettings,
    source: StateSource,
  ) {
    this.#file = file
    this.#prototypes = prototypes
    this.#settings = settings
    this.#read = source.open([...prototypes.keys()])
  }

  get experts(): readonly string[] {
    return this.#file.experts.map(({ name }) => name)
  }

  async decide({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteDecision> {
    signal?.throwIfAborted()
    const refusal = findPlainRefusal(text)
    if (refusal !== undefined) return decideForBase(refusal)
    const logits = await this.score(text, signal)
    const { calibration = uncalibrated } = this.#file
    const scores = rankExperts(this.experts, computeSoftmax(logits, calibration.temperature))
    const confidence = computeConfidence(logits, calibration)
    const share = Math.exp(Math.max(...logits)) * 100
    const because = `its matrices answer to ${share.toFixed(1)} % of the prompt’s states in ${this.#prototypes.size} layers`
    return makeDecision({ scores, confidence, calibration, because })
  }

  /** Logarithms of the experts' mean coefficients. */
  async score(text: string, signal?: AbortSignal): Promise<Float64Array> {
    const layers = await this.#coefficients(text, signal)
    const mean = averageCoefficients(layers.values(), this.experts.length)
    return mean.map((share) => Math.log(Math.max(share, 1e-9)))
  }

  /** The mean coefficient at each layer. */
  async explain({ text }: RouteRequest, signal?: AbortSignal): Promise<RouteClue[]> {
    if (findPlainRefusal(text) !== undefined) return []
    const layers = await this.#coefficients(text, signal)
    const clues = [...layers].map(([path, coefficients]): RouteClue => {
      const mean = averageCoefficients([coefficients], this.experts.length)
      const best = mean.indexOf(Math.max(...mean))
      return { kind: 'weight', text: path, expert: this.experts[best], weight: mean[best]! }
    })
    return clues.toSorted((a, b) => b.weight - a.weight)
  }

  /** Throws OptionError if it lacks one of the layers that are compared. */
  add({ name, sha256, adapter }: RoutedExpert): void {
    checkExpertNames([...this.experts, name], 'Router "arrow"')
    if (!adapter) throw new OptionError(`Router "arrow": "${name}" has no adapter.`)
    const own = computePrototypes(name, adapter)
    const joined = new Map<string, LayerPrototypes>()
    for (const [path, { experts, width, data }] of this.#prototypes) {
      const added = own.get(path)
      if (added?.length !== width)
        throw new OptionError(
          `Router "arrow": "${name}" does not change ${path}, by which the other experts are compared. Train the router again.`,
        )
      joined.set(path, {
        experts: experts + 1,
        width,
        data: Float32Array.from([...data, ...roundToHalf(added)]),
      })
    }
    this.#prototypes = joined
    const experts = [...this.#file.experts, { name, ...(sha256 !== undefined && { sha256 }) }]
    this.#file = Object.assign({}, this.#file, { experts })
  }

  save(): RouterFile {
    const prototypes = Object.fromEntries(
      [...this.#prototypes].map(([path, { experts, width, data }]) => [
        path,
        writeNumbers(data, [experts, width], 'f16'),
      ]),
    )
    return Object.assign({}, this.#file, {
      state: Object.assign({}, this.#file.state, this.#settings, { prototypes }),
    })
  }

  async #coefficients(text: string, signal?: AbortSignal): Promise<Map<string, Float32Array>> {
    const states = await this.#read(text, signal)
    return new Map(
      [...this.#prototypes].map(([path, own]) => [
        path,
        computeCoefficients(states.get(path)!, own, this.#settings),
      ]),
    )
  }
}

const roundToHalf = (values: Float32Array): Float32Array =>
  Float32Array.from(Float16Array.from(values))

function openStates({ states }: RouterParts): Promise<StateSource> {
  if (states) return states()
  throw new OptionError('Router "arrow" needs the base’s states: give createRouter a model.')
}

/** The layers that are compared, and everybody's direction in each. */
function collectPrototypes(
  experts: readonly RoutedExpert[],
  adapters: RouterParts['adapters'],
  layers: number,
): Map<string, LayerPrototypes> {
  const own = new Map(
    experts.map(({ name, adapter = adapters?.get(name) }) => {
      if (!adapter)
        throw new OptionError(
          `Router "arrow": "${name}" has no adapter. Give experts with their adapters.`,
        )
      return [name, computePrototypes(name, adapter)]
    }),
  )
  const isAsked = (path: string): boolean => {
    const layer = /\.(\d+)\./.exec(path)?.[1]
    return layer !== undefined && Number(layer) < layers
  }
  const modules = findCommonModules(own).filter(isAsked)
  if (modules.length === 0)
    throw new OptionError(
      `Router "arrow": layers: the experts share no layer among the first ${layers}. Give more layers.`,
    )
  return new Map(
    modules.map((path) => {
      const vectors = [...own.values()].map((expert) => expert.get(path)!)
      const data = roundToHalf(Float32Array.from(vectors.flatMap((vector) => [...vector])))
      return [path, { experts: experts.length, width: vectors[0]!.length, data }]
    }),
  )
}

/** With prompts whose experts are known it is calibrated on them. */
async function calibrate(
  router: ArrowRouter,
  examples: readonly RouteExample[],
  options: OptionValues<typeof fields>,
) {
  const judged = []
  for (const { text, expert } of examples) {
    if (findPlainRefusal(text) !== undefined) continue
    const right = expert === undefined ? undefined : router.experts.indexOf(expert)
    if (right === -1)
      throw new OptionError(
        `Router "arrow": an example is of "${expert}", which is not among ${router.experts.join(', ')}.`,
      )
    judged.push({ logits: await router.score(text), right })
  }
  return fitCalibration(judged, options)
}

export const arrow: RouterKind = {
  kind: 'arrow',
  about: 'compares prompts with the adapters’ own matrices; needs no examples',
  needs: ['states'],
  fields,
  async train({ experts, examples, held, seed }, given, parts) {
    const options = given as OptionValues<typeof fields>
    checkExpertNames(
      experts.map(({ name }) => name),
      'Router "arrow"',
    )
    const source = await openStates(parts)
    const layers = options.layers ?? Math.max(1, Math.round(source.layers / 3))
    const prototypes = collectPrototypes(experts, parts.adapters, layers)
    const topK = Math.min(options.topK, experts.length)
    const settings = { topK, temperature: options.temperature }
    const file: RouterFile = {
      format: 'graft-router',
      version: routerFileVersion,
      kind: 'arrow',
      experts: describeExperts(experts),
      options: given,
      trained: { rows: 0, held: held.length || examples.length, seed },
      state: { base: source.sha256 },
    }
    const plain = new ArrowRouter(file, prototypes, settings, source)
    const known = held.length > 0 ? held : examples
    if (known.length === 0) return plain
    const calibration = await calibrate(plain, known, options)
    return new ArrowRouter(Object.assign({}, file, { calibration }), prototypes, settings, source)
  },
  async load(file, parts) {
    const source = await openStates(parts)
    if (file.state['base'] !== source.sha256)
      throw new FormatError(
        'Router "arrow": it was made for the states of another base. Load it with its own base.',
      )
    const { prototypes: saved, topK, temperature } = file.state
    if (!isRecord(saved) || !Number.isSafeInteger(topK) || !(Number(temperature) > 0))
      throw new FormatError('Router "arrow": state: expected topK, temperature and prototypes.')
    const prototypes = new Map(
      Object.entries(saved).map(([path, value]): [string, LayerPrototypes] => {
        const { data, shape } = readNumbers(value, 2, `state.prototypes.${path}`)
        if (shape[0] !== file.experts.length)
          throw new FormatError(
            `Router "arrow": state.prototypes.${path}: got ${shape[0]} experts, expected ${file.experts.length}.`,
          )
        return [path, { experts: shape[0]!, width: shape[1]!, data }]
      }),
    )
    const settings = { topK: topK as number, temperature: temperature as number }
    return new ArrowRouter(file, prototypes, settings, source)
  },
}
