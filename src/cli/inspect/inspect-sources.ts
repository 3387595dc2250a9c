// Finds and opens adapters for graft inspect: PEFT's folders (8 and 4 bits included), mlx-lm's
// folders, GGUF files. With the base's graph the readers of src/adapters open them. Without it
// mlx-lm's and GGUF's are read as far as the files alone allow; sizes and norms are exact then too.

import { listPartFolders } from '../../adapters/files/joint-folder.ts'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type Adapter, loadGgufAdapter, loadMlxAdapter } from '../../adapters/index.ts'
import { toPeftKeys } from '../../adapters/files/adapter-keys.ts'
import { isMlxConfig, getTensorFileName } from '../../adapters/files/peft.ts'
import { toFileKey, toPeftKey } from '../../adapters/keys.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import { transposeValues } from '../../adapters/kinds/matrices.ts'
import { splitBlockMark } from '../../adapters/files/block-mark.ts'
import { readAdapterConfig } from '../../adapters/files/peft.ts'
import { FormatError, NotFoundError, UnsupportedError } from '../../base/errors.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { toFloat32 } from '../../formats/convert.ts'
import { openGguf } from '../../formats/gguf/reader.ts'
import type { GgufFile } from '../../formats/gguf/types.ts'
import { toHuggingFaceName } from '../../formats/gguf/names.ts'
import { openSafetensors } from '../../formats/safetensors/reader.ts'
import type { ModelGraph } from '../../graph/model-graph.ts'
import { loadAdapter } from '../../node/adapters.ts'
import { isModelfileName, readModelfile } from '../../node/models/modelfile.ts'
import { openFileSource } from '../../node/files/file-source.ts'
import { openDirectory } from '../../node/files/folder.ts'

/** How a tensor is stored in the file. */
export interface StoredTensor {
  readonly dtype: string
  readonly sizeBytes: number
}

export interface FoundAdapter {
  readonly format: string
  /** The file with the tensors; of an adapter of several kinds one for each. */
  readonly files: readonly string[]
  readonly adapter: Adapter
  /** By the adapter's keys. */
  readonly stored: ReadonlyMap<string, StoredTensor>
}

export interface AdapterFormat {
  readonly name: string
  /** Whether there is an adapter of this format at the path. */
  matches(path: string): Promise<boolean>
  open(path: string, model: ModelGraph | undefined): Promise<FoundAdapter>
}

const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() === true
const configFile = 'adapter_config.json'
const hasConfig = (path: string): Promise<boolean> => isFile(join(path, configFile))
const readFolderConfig = async (path: string) => readAdapterConfig(await openDirectory(path))

const peft: AdapterFormat = {
  name: 'peft',
  matches: async (path) => (await hasConfig(path)) && !isMlxConfig(await readFolderConfig(path)),
  async open(path) {
    const adapter = await loadAdapter(path)
    const { json, blocks } = splitBlockMark(await readFolderConfig(path))
    const parts = listPartFolders(json, path)
    if (parts) return openParts(path, adapter, parts)
    const file = join(path, getTensorFileName(blocks))
    const store = await openSafetensors(await openFileSource(file))
    await store.close()
    const own = blocks ? store.tensors : toPeftKeys(store.tensors, file)
    const bytesAt = (name: string): number => store.tensors.get(name)?.sizeBytes ?? 0
    const kept = [...adapter.tensors.keys()].map((key): [string, StoredTensor] => [
      key,
      own.get(key) ??
        own.get(toFileKey(adapter.kind, key)) ?? {
          dtype: blocks ?? '?',
          sizeBytes: bytesAt(`${key}.q`) + bytesAt(`${key}.scale`),
        },
    ])
    return { format: 'peft', files: [file], adapter, stored: new Map(kept) }
  },
}

/** An adapter of several kinds, with the files of its parts. */
async function openParts(
  path: string,
  adapter: Adapter,
  parts: readonly string[],
): Promise<FoundAdapter> {
  const found: FoundAdapter[] = []
  for (const part of parts) found.push(await peft.open(join(path, part), undefined))
  return {
    format: 'peft',
    files: found.flatMap(({ files }) => files),
    adapter,
    stored: new Map(found.flatMap(({ stored }) => [...stored])),
  }
}

const mlx: AdapterFormat = {
  name: 'mlx-lm',
  matches: async (path) => (await hasConfig(path)) && isMlxConfig(await readFolderConfig(path)),
  async open(path, model) {
    const file = join(path, 'adapters.safetensors')
    const folder = await openDirectory(path)
    const store = await openSafetensors(await openFileSource(file))
    try {
      const { fine_tune_type: kind = 'lora', lora_parameters: parameters } =
        await readFolderConfig(path)
      const pairs = new LoraPairs()
      for (const name of store.tensors.keys()) {
        const [, module, part] = /^(.*)\.(lora_a|lora_b|m)$/.exec(name) ?? []
        const tensor = module === undefined ? undefined : await store.read(name)
        if (tensor && part === 'm') pairs.put(module!, 'm', tensor, store.tensors.get(name)!)
        else if (tensor)
          pairs.put(
            module!,
            part === 'lora_a' ? 'A' : 'B',
            transposeTensor(tensor),
            store.tensors.get(name)!,
          )
        else pairs.unknownTensors.push(name)
      }
      const scale = Number((parameters as Readonly<Record<string, unknown>>)['scale'])
      if (!Number.isFinite(scale))
        throw new FormatError(`${path}: ${configFile}: lora_parameters.scale is not a number.`)
      const inferred = pairs.toAdapter(
        file,
        kind === 'dora' ? 'dora' : 'lora',
        (rank) => scale * rank,
      )
      return {
        format: 'mlx-lm',
        files: [file],
        stored: pairs.stored,
        adapter: model ? await loadMlxAdapter(folder, model) : inferred,
      }
    } finally {
      await store.close()
    }
  },
}

const gguf: AdapterFormat = {
  name: 'gguf',
  async matches(path) {
    if (!path.endsWith('.gguf') || !(await isFile(path))) return false
    const file = await openGguf(await openFileSource(path))
    await file.close()
    return file.metadata.get('general.type') === 'adapter'
  },
  async open(path, model) {
    const file = await openGguf(await openFileSource(path))
    try {
      const inferred = await readGgufPairs(file)
      return {
        ...inferred,
        ...(model ? { adapter: await loadGgufAdapter(await openFileSource(path), model) } : {}),
      }
    } finally {
      await file.close()
    }
  },
}

async function readGgufPairs(file: GgufFile): Promise<FoundAdapter> {
  const { metadata, name } = file
  if (metadata.get('adapter.type') !== 'lora')
    throw new UnsupportedError(
      `${name}: adapter.type is ${JSON.stringify(metadata.get('adapter.type'))}; GGUF adapters are read as lora.`,
    )
  const architecture = String(metadata.get('general.architecture'))
  const alpha = Number(metadata.get('adapter.lora.alpha') ?? 0)
  const pairs = new LoraPairs()
  for (const [tensorName, info] of file.tensors) {
    const [, weight, side] = /^(.*\.weight)\.lora_([ab])$/.exec(tensorName) ?? []
    if (weight === undefined) pairs.unknownTensors.push(tensorName)
    else {
      const module = (toHuggingFaceName(weight, architecture) ?? weight).slice(0, -'.weight'.length)
      pairs.put(module, side === 'a' ? 'A' : 'B', await file.read(tensorName), {
        dtype: info.type,
        sizeBytes: info.sizeBytes,
      })
    }
  }
  // Without an alpha llama.cpp does not scale.
  return {
    format: 'gguf',
    files: [name],
    adapter: pairs.toAdapter(name, 'lora', (rank) => (alpha === 0 ? rank : alpha)),
    stored: pairs.stored,
  }
}

function transposeTensor(tensor: Tensor): Tensor {
  const [rows = 0, columns = 0] = tensor.shape
  return f32([columns, rows], transposeValues(toFloat32(tensor), rows, columns))
}

const partNames = { A: 'lora_A.weight', B: 'lora_B.weight', m: 'lora_magnitude_vector' } as const

/** A [R, in] and B [out, R] by module, gathered into a LoRA. */
class LoraPairs {
  readonly stored = new Map<string, StoredTensor>()
  readonly unknownTensors: string[] = []
  readonly #tensors = new Map<string, Tensor>()
  readonly #modules = new Set<string>()
  readonly #ranks = new Map<string, number>()

  put(
    module: string,
    part: keyof typeof partNames,
    tensor: Tensor,
    { dtype, sizeBytes }: StoredTensor,
  ): void {
    const key = toPeftKey(`${module}.${partNames[part]}`)
    this.#tensors.set(key, tensor)
    this.#modules.add(module)
    this.stored.set(key, { dtype, sizeBytes })
    if (part === 'B') this.#ranks.set(module, tensor.shape[1] ?? 0)
  }

  toAdapter(file: string, kind: 'lora' | 'dora', alphaOf: (rank: number) => number): Adapter {
    const has = (module: string, part: 'A' | 'B'): boolean =>
      this.#tensors.has(toPeftKey(`${module}.${partNames[part]}`))
    const missing = [...this.#modules].filter((module) => !has(module, 'A') || !has(module, 'B'))
    const problems = [
      ...this.unknownTensors.map((name) => `${name}: no part of a LoRA`),
      ...missing.map((module) => `${module}: has only one of its two matrices`),
    ]
    if (problems.length > 0 || this.#ranks.size === 0)
      throw new FormatError(
        `${file}: is not a valid LoRA adapter:\n  ${problems.length > 0 ? problems.join('\n  ') : 'it has no tensors'}`,
      )
    const [rank] = this.#ranks.values()
    const patterns = (valueOf: (own: number) => number): Record<string, number> =>
      Object.fromEntries(
        [...this.#ranks].flatMap(([path, own]) =>
          own === rank ? [] : [[path.replaceAll('.', String.raw`\.`), valueOf(own)]],
        ),
      )
    const given = getKind(kind).complete({
      rank,
      rankPattern: patterns((own) => own),
      targets: [...this.#ranks.keys()],
    })
    // a file may hold an alpha that nobody would give
    const config = { ...given, alpha: alphaOf(rank!), alphaPattern: patterns(alphaOf) }
    return { kind, config, tensors: this.#tensors }
  }
}

export const adapterFormats: readonly AdapterFormat[] = [peft, mlx, gguf]

/**
 * What is at the path as the format that takes it; undefined if it is not an adapter. A file of an
 * adapter's folder selects the folder, a Modelfile selects its ADAPTER.
 */
export async function findAdapter(
  path: string,
): Promise<{ readonly path: string; readonly format: AdapterFormat } | undefined> {
  if (isModelfileName(path) && (await isFile(path))) {
    const { adapter } = await readModelfile(path)
    return adapter === undefined ? undefined : findAdapter(adapter)
  }
  const folder = /^adapter(_config\.json|_model\.|s\.safetensors$)/.test(basename(path))
    ? dirname(path)
    : path
  for (const format of adapterFormats)
    if (await format.matches(folder)) return { path: folder, format }
  if (folder === path || (await stat(path).catch(() => undefined)) === undefined) return undefined
  throw new NotFoundError(
    `${folder}: has no ${configFile} beside ${basename(path)}; an adapter is the whole folder.`,
  )
}
