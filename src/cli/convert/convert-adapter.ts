// graft convert for adapters: writes another element type (8 and 4 bits included) or another tool's
// format, and measures the difference. The error is that of the files, because the written one is
// read again.

import { isJointConfig } from '../../adapters/kinds/joint/joint-config.ts'
import { dropEqualEmbeddings } from '../../adapters/base-copy.ts'
import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { checkFinite } from '../../adapters/adapter.ts'
import {
  encodeGgufAdapter,
  loadGgufAdapter,
  type StorageType,
  type WeightOf,
} from '../../adapters/index.ts'
import { getTensorFileName } from '../../adapters/files/peft.ts'
import { isBlockStorage } from '../../adapters/files/storage.ts'
import { OptionError } from '../../base/errors.ts'
import { toFloat32 } from '../../formats/convert.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import type { Adapter } from '../../index.ts'
import { measureAdapterDifference, type AdapterDifference } from '../../merge/index.ts'
import { loadAdapter } from '../../node/adapters.ts'
import { readExpertMetadata } from '../../node/expert/expert-notes.ts'
import { createFileSink } from '../../node/files/file-sink.ts'
import { openFileSource } from '../../node/files/file-source.ts'
import type { LoadedModel } from '../../node/index.ts'
import { readMergeBase } from '../../merge/read-base.ts'
import { writeAtomically } from '../../node/files/atomic-write.ts'
import { measureForwardError, selectProbePrompts } from '../../runtime/index.ts'
import type { AdapterFormat } from '../inspect/inspect-sources.ts'
import { removeLayer } from '../inspect/layer-table.ts'
import { openModel } from '../shared/open-model.ts'
import { writeExpert } from '../shared/save-expert.ts'
import { formatBytes } from '../ui/format.ts'
import { formatTable } from '../ui/table.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface ConvertValues {
  readonly dtype: string
  readonly model: string | undefined
  readonly threads: number | undefined
  readonly prompts: number
  /** As it was typed. */
  readonly command: string
}

interface ConversionJob {
  readonly from: string
  readonly format: AdapterFormat
  readonly to: string
  /** Where it is made before it is moved to `to`. */
  readonly place: string
  readonly dtype: StorageType
  readonly command: string
}

export async function convertAdapter(
  from: string,
  format: AdapterFormat,
  to: string,
  values: ConvertValues,
  terminal: Terminal,
) {
  const { command } = values
  const dtype = values.dtype as StorageType
  const toGguf = to.endsWith('.gguf')
  if (toGguf && isBlockStorage(dtype))
    throw new OptionError(`--dtype ${dtype}: a GGUF adapter is written in f32, f16 or bf16.`)
  if (values.model === undefined && (toGguf || format.name !== 'peft'))
    throw new OptionError(
      `${toGguf ? to : from}: names and order of rows depend on the base; name it with --model.`,
    )
  const model =
    values.model === undefined ? undefined : await openModel(values.model, values, terminal)
  try {
    const result = await writeAtomically(to, (place) =>
      writeConverted({ from, format, to, place, dtype, command }, model, values.prompts),
    )
    show(result, terminal)
    return result
  } finally {
    await model?.dispose()
  }
}

type ConversionResult = Awaited<ReturnType<typeof writeConverted>>

async function writeConverted(job: ConversionJob, model: LoadedModel | undefined, prompts: number) {
  const { from, format, to, place, dtype } = job
  const { adapter: found } = await format.open(from, model?.base.graph)
  checkFinite(found)
  // a GGUF file has no place for embeddings, and equal ones change nothing
  const adapter =
    model && to.endsWith('.gguf')
      ? await dropEqualEmbeddings(found, model.base.graph, (name) => model.base.weights.read(name))
      : found
  const base = model && (await readMergeBase(model.base, [adapter]))
  const after = to.endsWith('.gguf')
    ? await writeGguf(adapter, place, dtype, model!.base, base?.weightOf)
    : await writeFolder(adapter, job)
  const files = to.endsWith('.gguf') ? [place] : listTensorFiles(after, place, dtype)
  const { overall, modules } = measureAdapterDifference(adapter, after, base)
  const probes = model ? selectProbePrompts(model.base, prompts) : []
  return {
    type: 'adapter',
    from,
    to,
    dtype,
    tensors: after.tensors.size,
    sizeBytes: await countBytes(files),
    /** ‖ΔW' − ΔW‖_F / ‖ΔW‖_F; null where no ΔW is known without the base. */
    error: overall ?? null,
    /** The same of the numbers themselves, for kinds that have no ΔW. */
    tensorError: computeTensorError(adapter, after),
    modules: modules.map(({ module: { path }, error }) => ({ module: path, error })),
    /** Fields of the folder's expert.json that the written file cannot hold. */
    dropped: await listDroppedNotes(from, to, adapter),
    forward:
      model && probes.length > 0 ? await measureForwardError(model, adapter, after, probes) : null,
  }
}

/** The file of a folder's tensors; of an adapter of several kinds one for each. */
function listTensorFiles({ config }: Adapter, folder: string, dtype: StorageType): string[] {
  const name = getTensorFileName(dtype)
  return isJointConfig(config)
    ? config.parts.map(({ kind }) => join(folder, kind, name))
    : [join(folder, name)]
}

const countBytes = async (files: readonly string[]): Promise<number> =>
  (await Promise.all(files.map((file) => stat(file)))).reduce((sum, { size }) => sum + size, 0)

const readNotes = async (from: string) =>
  (await stat(from)).isDirectory() ? readExpertMetadata(from) : undefined

/** A GGUF file has no place for the system message, nor for a tokenizer or a chat template. */
async function listDroppedNotes(
  from: string,
  to: string,
  { text }: Adapter,
): Promise<readonly ('system' | 'text')[]> {
  if (!to.endsWith('.gguf')) return []
  const notes = await readNotes(from)
  return [
    ...(notes?.system === undefined ? [] : (['system'] as const)),
    ...(text === undefined ? [] : (['text'] as const)),
  ]
}

/** ‖t' − t‖ / ‖t‖ over all numbers of the tensors that both have. */
function computeTensorError(before: Adapter, after: Adapter): number {
  let difference = 0
  let size = 0
  for (const [key, tensor] of before.tensors) {
    const other = after.tensors.get(key)
    if (!other) continue
    const values = toFloat32(tensor)
    const others = toFloat32(other)
    for (let i = 0; i < values.length; i++) {
      difference += (others[i]! - values[i]!) ** 2
      size += values[i]! ** 2
    }
  }
  return difference === 0 ? 0 : Math.sqrt(difference / size)
}

async function writeFolder(
  adapter: Adapter,
  { from, to, place, dtype, command }: ConversionJob,
): Promise<Adapter> {
  const notes = await readNotes(from)
  await writeExpert(adapter, notes, { place, out: to }, { command, sources: [from] }, { dtype })
  return loadAdapter(place)
}

async function writeGguf(
  adapter: Adapter,
  to: string,
  dtype: StorageType,
  { graph }: BaseModel,
  weightOf: WeightOf | undefined,
): Promise<Adapter> {
  const chunks = encodeGgufAdapter(adapter, graph, {
    dtype: dtype as 'f32' | 'f16' | 'bf16',
    ...(weightOf && { weightOf }),
  })
  await createFileSink(dirname(to)).write(basename(to), chunks)
  return loadGgufAdapter(await openFileSource(to), graph)
}

const formatPercent = (share: number): string => `${(100 * share).toPrecision(3)} %`

function show(result: ConversionResult, { print, graft }: Terminal): void {
  const { to, tensors, dtype, sizeBytes, error, tensorError, forward, dropped } = result
  print(`${to}: ${tensors} tensors in ${dtype}, ${formatBytes(sizeBytes)}`)
  if (error === null)
    print(
      tensorError === 0
        ? '  its numbers are unchanged'
        : `  its numbers changed by ${formatPercent(tensorError)}`,
    )
  else if (error === 0) print('  ΔW is unchanged')
  else for (const line of describeErrors(result.modules, error)) print(line)
  if (forward) {
    const { prompts, relative, ofChange, meanDivergence, equalGreedy } = forward
    print(
      `  over ${prompts} prompts the logits moved by ${formatPercent(relative)}, ${formatPercent(ofChange)} of what the adapter changes in them;`,
    )
    print(
      `  mean KL ${meanDivergence.toExponential(2)} nats, the same greedy token after ${Math.round(equalGreedy * prompts)}`,
    )
  }
  if (dropped.includes('text'))
    print(
      '  left out: its tokenizer and chat template, which a GGUF adapter cannot hold; it will use the base’s',
    )
  if (dropped.includes('system'))
    print(`  left out: the system message, which a GGUF adapter cannot hold; pass it as --system`)
  if (isBlockStorage(dtype))
    print(`  PEFT cannot read ${dtype}; \`${graft} convert ${to} <folder>\` writes what it can`)
}

/** ‖ΔW' − ΔW‖ / ‖ΔW‖: of the whole, and of each kind of module over all layers. */
function describeErrors(
  modules: ConversionResult['modules'],
  overall: NonNullable<AdapterDifference['overall']>,
): string[] {
  const groups = new Map<string, ConversionResult['modules']>()
  for (const one of modules) {
    const name = removeLayer(one.module)
    groups.set(name, [...(groups.get(name) ?? []), one])
  }
  const rows = [...groups].map(([name, own]) => {
    const worst = own.reduce((most, next) => (next.error > most.error ? next : most))
    return [
      `  ${name}`,
      formatPercent(own.reduce((sum, { error }) => sum + error, 0) / own.length),
      formatPercent(worst.error),
      worst.module,
    ]
  })
  return formatTable(
    [['  module', 'error of ΔW', 'worst', 'in'], ...rows, ['  all', formatPercent(overall)]],
    ['left', 'right', 'right'],
  )
}
