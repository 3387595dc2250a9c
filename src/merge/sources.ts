// Collects the modules that the adapters of a merge touch, each once with its size, and checks that
// the adapters fit together.

import {
  MismatchError,
  NumericError,
  OptionError,
  UnsupportedError,
  type Mismatch,
} from '../base/errors.ts'
import type { Tensor } from '../base/tensor.ts'
import { createActivatedMergeError } from '../adapters/activation.ts'
import { createBaseReader, checkAdapter, type Adapter } from '../adapters/adapter.ts'
import { baseHashKey, findBaseCopyPath, describeTensorShape } from '../adapters/base-copy.ts'
import { toInputName, toPeftKey } from '../adapters/keys.ts'
import type { BaseReader, WeightOf } from '../adapters/kinds/kind.ts'
import { isJointConfig } from '../adapters/kinds/joint/joint-config.ts'
import { getKind } from '../adapters/kinds/kind-table.ts'
import { listBlockLayers } from '../adapters/adapted-layers.ts'
import { toFloat32 } from '../formats/convert.ts'
import type { ModelGraph, ModuleInfo } from '../graph/model-graph.ts'
import { listSavedParts } from './saved/saved-parts.ts'

/**
 * The model that the adapters are for. Needed where a change depends on the base's weights (DoRA,
 * IA3), or tensors do not determine sizes (LoKr).
 */
export interface MergeBase {
  readonly model: ModelGraph
  readonly weightOf?: WeightOf
  /** The base's name and `identity()`, to compare with those that the adapters learned on. */
  readonly name?: string
  readonly hash?: string
}

export interface SourceModule {
  readonly module: ModuleInfo
  /** For each adapter: whether it touches the module. */
  readonly touched: readonly boolean[]
  readonly base: BaseReader
}

/** The adapter's name in errors. */
const describeAdapter = (k: number): string => `adapters[${k}]`

/**
 * Every module that any adapter touches, in the model's order or the order of the first adapter
 * that has it. Throws one MismatchError with every tensor that fits no module, is missing or has a
 * wrong shape, and every base of another name; then one NumericError with every tensor that holds
 * NaN or infinity. Before both, UnsupportedError for changes that a LoRA cannot represent: soft
 * prompts, activated adapters, modules saved whole.
 */
export function collectSourceModules(
  adapters: readonly Adapter[],
  base: MergeBase | undefined,
  anyBase = false,
): SourceModule[] {
  const unmergeable = adapters.flatMap(({ kind }, k) =>
    getKind(kind).merge ? [] : [`${describeAdapter(k)} (${kind})`],
  )
  if (unmergeable.length > 0)
    throw new UnsupportedError(
      `Merge: ${unmergeable.join(', ')} changes no weight, so there is nothing to merge.${adapters.some(({ config }) => isJointConfig(config)) ? ' Of an adapter of several kinds, name the folder of the part that does.' : ''}`,
    )
  const activated = adapters.flatMap(({ config }, k) =>
    config.invocationTokens ? [describeAdapter(k)] : [],
  )
  if (activated.length > 0) throw createActivatedMergeError(`Merge: ${activated.join(', ')}`)
  const mismatches = anyBase ? [] : listBaseMismatches(adapters, base)
  const modules = base
    ? collectFromModel(adapters, base, mismatches)
    : collectFromKeys(adapters, mismatches)
  if (mismatches.length > 0)
    throw new MismatchError('The adapters cannot be merged', mismatches, sameBaseHint)
  checkNumbers(adapters)
  return modules
}

/** A hint for bases that differ on purpose, such as two quantisations of one model. */
export const sameBaseHint =
  'Only adapters of one base can be merged; where the bases are forms of one model, say so (anyBase).'

/**
 * Adapters that name another base than the first one that names any, or that were trained on
 * weights of another hash.
 */
export function listBaseMismatches(
  adapters: readonly Adapter[],
  { name = 'the given base', hash }: Pick<MergeBase, 'name' | 'hash'> = {},
): Mismatch[] {
  const hashOf = ({ metadata }: Adapter): string | undefined => metadata?.[baseHashKey]
  const others = adapters.flatMap((adapter, k): Mismatch[] => {
    const got = hashOf(adapter)
    const expected = `"${hash}" (${name})`
    return hash === undefined || got === undefined || got === hash
      ? []
      : [
          {
            name: `${describeAdapter(k)}: sha-256 of the base`,
            got: `"${got}" (${adapter.baseModel ?? 'a base without a name'})`,
            expected,
          },
        ]
  })
  return [
    ...listUnlike(adapters, 'base model', ({ baseModel }) => baseModel),
    ...(hash === undefined ? listUnlike(adapters, 'sha-256 of the base', hashOf) : others),
  ]
}

function listUnlike(
  adapters: readonly Adapter[],
  what: string,
  of: (adapter: Adapter) => string | undefined,
): Mismatch[] {
  const first = adapters.map(of).find((value) => value)
  return adapters.flatMap((adapter, k) => {
    const got = of(adapter)
    return got && got !== first
      ? [{ name: `${describeAdapter(k)}: ${what}`, got: `"${got}"`, expected: `"${first}"` }]
      : []
  })
}

function checkNumbers(adapters: readonly Adapter[]): void {
  const bad = adapters.flatMap(({ tensors }, k) =>
    [...tensors]
      .filter(([, tensor]) => !hasOnlyFinite(toFloat32(tensor)))
      .map(([key]) => `${describeAdapter(k)} ${key}`),
  )
  if (bad.length > 0)
    throw new NumericError(
      `Merge: NaN or infinity in ${bad.length} tensors:\n  ${bad.slice(0, 16).join('\n  ')}`,
    )
}

/**
 * NaN and infinity have an exponent of ones only; adding one to it reaches the sign bit, which the
 * flags collect without a branch.
 */
function hasOnlyFinite(values: Float32Array): boolean {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length)
  let flags = 0
  for (let i = 0; i < bits.length; i++) flags |= (bits[i]! & 0x7f800000) + 0x00800000
  return flags >= 0
}

function collectFromModel(
  adapters: readonly Adapter[],
  { model, weightOf }: MergeBase,
  mismatches: Mismatch[],
): SourceModule[] {
  adapters.forEach((adapter, k) => {
    try {
      checkAdapter(adapter, model, weightOf)
    } catch (error) {
      if (!(error instanceof MismatchError)) throw error
      mismatches.push(
        ...error.mismatches.map((mismatch) => ({
          ...mismatch,
          name: `${describeAdapter(k)} ${mismatch.name}`,
        })),
      )
    }
  })
  return model.blocks.flatMap((block) =>
    listBlockLayers(block).flatMap((layer) => {
      const touched = adapters.map(
        ({ kind, config }) => getKind(kind).parameters(config, layer.module).length > 0,
      )
      if (!touched.includes(true)) return []
      return [
        { module: layer.module, touched, base: createBaseReader(layer, block.prefix, weightOf) },
      ]
    }),
  )
}

/** Parts of LoRA's keys that determine a module's sizes without its model. */
const pair = /^(.*)\.(?:lora_(A)\.weight|lora_embedding_(A))$/

interface Found {
  readonly module: ModuleInfo
  readonly touched: boolean[]
}

function collectFromKeys(adapters: readonly Adapter[], mismatches: Mismatch[]): SourceModule[] {
  const found = new Map<string, Found>()
  adapters.forEach((adapter, k) => {
    const modules = [...adapter.tensors].flatMap(([key, tensor]) =>
      readModules(adapter, key, tensor),
    )
    if (
      modules.length === 0 &&
      adapter.tensors.size > 0 &&
      !mismatches.some(({ name }) => name.startsWith(describeAdapter(k)))
    ) {
      throw new OptionError(
        `Merge: the tensors of ${describeAdapter(k)} (${adapter.kind}) do not determine the sizes of its modules; pass the base's model.`,
      )
    }
    mismatches.push(
      ...listOwnMismatches(adapter, modules).map((mismatch) => ({
        ...mismatch,
        name: `${describeAdapter(k)} ${mismatch.name}`,
      })),
    )
    for (const module of modules) {
      const entry = found.get(module.path) ?? { module, touched: adapters.map(() => false) }
      found.set(module.path, entry)
      entry.touched[k] = true
      const got = describeSizes(module)
      const expected = describeSizes(entry.module)
      if (got !== expected)
        mismatches.push({ name: `${describeAdapter(k)} ${module.path}`, got, expected })
    }
  })
  return [...found.values()].map(({ module, touched }) => ({
    module,
    touched,
    base: createBaseRefusal(module),
  }))
}

const describeSizes = ({ kind, inFeatures, outFeatures }: ModuleInfo): string =>
  `${kind} ${inFeatures} → ${outFeatures}`
const createBaseRefusal = (module: ModuleInfo) => (): Float32Array => {
  throw new OptionError(
    `Merge: ${module.path} changes by an amount that depends on the base's weights; pass the base's model and weightOf.`,
  )
}

function readModules({ tensors }: Adapter, key: string, a: Tensor): ModuleInfo[] {
  const [, own, linear] = pair.exec(key) ?? []
  if (own === undefined) return []
  const b = tensors.get(linear ? `${own}.lora_B.weight` : `${own}.lora_embedding_B`)
  const path = toInputName(own)
  const layer = /\.(\d+)\./.exec(path)?.[1]
  return [
    {
      path,
      kind: linear ? 'linear' : 'embedding',
      inFeatures: a.shape[1] ?? 0,
      outFeatures: b?.shape[0] ?? 0,
      // PEFT saves a bias only where the base has one.
      bias: tensors.has(`${own}.base_layer.bias`) || tensors.has(`${own}.bias`),
      ...(layer === undefined ? {} : { layer: Number(layer) }),
    },
  ]
}

/**
 * Differences between the adapter's tensors and those that its configuration implies for these
 * modules.
 */
function listOwnMismatches(adapter: Adapter, modules: readonly ModuleInfo[]): Mismatch[] {
  const { kind, config, tensors } = adapter
  const saved = new Set(listSavedParts(adapter).map(({ key }) => key))
  const expected = new Map(
    modules.flatMap((module) =>
      getKind(kind)
        .parameters(config, module)
        .map((spec) => [toPeftKey(`${module.path}.${spec.name}`), spec] as const),
    ),
  )
  const wrong = [...expected].flatMap(([name, spec]) => {
    const tensor = tensors.get(name)
    const got = tensor ? describeTensorShape(tensor) : 'nothing'
    return got === describeTensorShape(spec)
      ? []
      : [{ name, got, expected: describeTensorShape(spec) }]
  })
  const extra = [...tensors].flatMap(([name, tensor]) =>
    expected.has(name) || saved.has(name) || findBaseCopyPath(name) !== undefined
      ? []
      : [{ name, got: describeTensorShape(tensor), expected: 'no such tensor' }],
  )
  return [...wrong, ...extra]
}
