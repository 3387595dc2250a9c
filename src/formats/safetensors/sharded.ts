// Opens the weights of a Hugging Face model folder, one file or many shards, as one store.

import {
  FormatError,
  type Mismatch,
  MismatchError,
  NotFoundError,
  UnsupportedError,
} from '../../base/errors.ts'
import type { ByteFolder } from '../byte-source.ts'
import { refuseLfsPointer } from '../lfs-pointer.ts'
import { quoteName } from '../quote.ts'
import { openSafetensors } from './reader.ts'
import { withoutWrapperNames } from './wrapper-names.ts'
import { getEntry, type TensorInfo, type TensorStore } from '../tensor-store.ts'

const singleName = 'model.safetensors'
const indexName = 'model.safetensors.index.json'

interface ShardIndex {
  /** Shard's file name by tensor name. */
  readonly weightMap: ReadonlyMap<string, string>
  readonly metadata: Readonly<Record<string, unknown>>
}

/**
 * Opens `model.safetensors`, or the shards that `model.safetensors.index.json` lists. Throws
 * NotFoundError if there is neither, and one MismatchError with every shard that is missing and
 * every tensor that its shard lacks.
 */
export async function openSharded(folder: ByteFolder): Promise<TensorStore> {
  const single = await folder.open(singleName)
  if (single) return withoutWrappers(await openSafetensors(single))
  const index = await readIndex(folder)
  const shards = new Map<string, TensorStore>()
  const close = async (): Promise<void> =>
    void (await Promise.all([...shards.values()].map((shard) => shard.close())))
  try {
    for (const fileName of new Set(index.weightMap.values())) {
      const source = await folder.open(fileName)
      if (source) shards.set(fileName, await openSafetensors(source))
    }
    const owners = mapTensorsToShards(folder.name, index, shards)
    return withoutWrappers({
      name: folder.name,
      tensors: new Map<string, TensorInfo>(
        [...owners].map(([name, shard]) => [name, shard.tensors.get(name)!]),
      ),
      metadata: index.metadata,
      read: async (name, take) => getEntry(owners, name, folder.name).read(name, take),
      close,
    })
  } catch (error) {
    await close()
    throw error
  }
}

/** The store by the names that tensors have without wrappers around their modules. */
function withoutWrappers(store: TensorStore): TensorStore {
  const given = new Map([...store.tensors.keys()].map((name) => [withoutWrapperNames(name), name]))
  if (given.size < store.tensors.size || [...given].every(([own, name]) => own === name))
    return store
  return {
    name: store.name,
    metadata: store.metadata,
    tensors: new Map([...given].map(([own, name]) => [own, store.tensors.get(name)!])),
    read: (own, take) => store.read(given.get(own) ?? own, take),
    close: () => store.close(),
  }
}

/** The shard of each tensor: first by the index, then any other tensors of the shards. */
function mapTensorsToShards(
  folderName: string,
  { weightMap }: ShardIndex,
  shards: ReadonlyMap<string, TensorStore>,
): Map<string, TensorStore> {
  const owners = new Map<string, TensorStore>()
  const missing = new Map<string, Mismatch>()
  for (const [name, fileName] of weightMap) {
    const shard = shards.get(fileName)
    if (!shard)
      missing.set(fileName, {
        name: fileName,
        got: 'no such file',
        expected: `a shard that ${indexName} names`,
      })
    else if (!shard.tensors.has(name))
      missing.set(`${fileName} ${name}`, {
        name,
        got: `not in ${fileName}`,
        expected: 'in that shard',
      })
    else owners.set(name, shard)
  }
  if (missing.size > 0) {
    throw new MismatchError(
      `${folderName}: the shards do not hold what ${indexName} says`,
      [...missing.values()],
      'Fetch the model again.',
    )
  }
  for (const shard of shards.values()) {
    for (const name of shard.tensors.keys()) if (!owners.has(name)) owners.set(name, shard)
  }
  return owners
}

async function readIndex(folder: ByteFolder): Promise<ShardIndex> {
  const source = await folder.open(indexName)
  if (!source) {
    await refuseTorchFiles(folder)
    throw new NotFoundError(
      `${folder.name}: contains no weights: neither ${singleName} nor ${indexName} is there.`,
    )
  }
  await refuseLfsPointer(source)
  try {
    return parseIndex(source.name, await source.read(0, source.sizeBytes))
  } finally {
    await source.close?.()
  }
}

const torchNames = ['pytorch_model.bin', 'pytorch_model.bin.index.json']

/** Files of torch.save are programs for Python's pickle, which only torch runs safely. */
async function refuseTorchFiles(folder: ByteFolder): Promise<void> {
  for (const name of torchNames) {
    const source = await folder.open(name)
    await source?.close?.()
    if (source)
      throw new UnsupportedError(
        `${folder.name}: its weights are in ${name}, which only torch can read safely. Convert them in Python: ` +
          `from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained(${JSON.stringify(folder.name)}).save_pretrained("converted")`,
      )
  }
}

function parseIndex(name: string, bytes: Uint8Array): ShardIndex {
  let value: { weight_map?: unknown; metadata?: unknown } | null
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as typeof value
  } catch (cause) {
    throw new FormatError(`${name}: is not JSON.`, { cause })
  }
  const map = value?.weight_map
  if (typeof map !== 'object' || map === null) throw new FormatError(`${name}: has no weight_map.`)
  const weightMap = new Map<string, string>()
  for (const [tensor, fileName] of Object.entries(map)) {
    // A plain file name, so that an index cannot lead out of its folder.
    if (typeof fileName !== 'string' || !/^[\w.-]+\.safetensors$/.test(fileName)) {
      throw new FormatError(
        `${name}: tensor ${quoteName(tensor)}: ${quoteName(String(fileName))} is not the plain name of a .safetensors file.`,
      )
    }
    weightMap.set(tensor, fileName)
  }
  const metadata = value?.metadata
  return {
    weightMap,
    metadata:
      typeof metadata === 'object' && metadata !== null
        ? (metadata as Record<string, unknown>)
        : {},
  }
}
