// Sessions of onnxruntime-node. Initializers that are in files are read by ONNX Runtime itself: no
// copy of them is made in JavaScript, and a model may be larger than 2 GB. A model whose weights
// are all in memory may be larger too: large weights are passed separately from the model.

import { assertInternal, UnsupportedError } from '../base/errors.ts'
import { isFileTensor, type Tensor, viewBytes } from '../base/tensor.ts'
import { encodeOnnx, type OnnxModel } from '../formats/onnx.ts'
import type { OnnxRuntime, OnnxSession } from './onnx-library.ts'

type Settings = Readonly<Record<string, unknown>>

/** A model is one message of at most 2 GB, which is copied while it is made. */
const mostBytesInModel = 2e9
/** Shapes and other small constants stay in the model, where they can be folded. */
const leastExternalBytes = 2 ** 16

/**
 * ONNX Runtime reads these arrays as long as the session exists, but holds no reference to them.
 */
const handedOver = new WeakMap<OnnxSession, readonly Uint8Array[]>()

/**
 * If the initializers in memory exceed `mostBytes` together, the large ones are passed separately
 * from the model. Throws UnsupportedError where others are in files: ONNX Runtime then looks for
 * all of them there.
 */
export async function createNativeSession(
  runtime: OnnxRuntime,
  model: OnnxModel,
  settings: Settings,
  mostBytes = mostBytesInModel,
): Promise<OnnxSession> {
  const folder = findFolder(model)
  const options = folder === undefined ? settings : withFolder(settings, folder)
  const external = selectExternal(model, mostBytes)
  if (external.size > 0 && folder !== undefined) throw createMixedError(external)
  const bytes = encodeOnnx(model, new Set(external.keys()))
  if (external.size === 0) return runtime.InferenceSession.create(bytes, options)
  const externalData = [...external].map(([path, tensor]) => ({ path, data: viewBytes(tensor) }))
  const session = await runtime.InferenceSession.create(bytes, { ...options, externalData })
  handedOver.set(
    session,
    externalData.map(({ data }) => data),
  )
  return session
}

function createMixedError(external: ReadonlyMap<string, Tensor>): UnsupportedError {
  let sizeBytes = 0
  for (const { data } of external.values()) sizeBytes += data.byteLength
  return new UnsupportedError(
    `ONNX Runtime: got ${(sizeBytes / 1e9).toFixed(1)} GB of weights in memory beside those in a file, expected at most ${mostBytesInModel / 1e9} GB. Leave out what needs them (promptProducts: 'int8'), or set GRAFT_PREPARED_GB=0, so that all weights are in memory.`,
  )
}

/** The large initializers in memory; none if they have room in the model. */
function selectExternal(
  { initializers }: OnnxModel,
  mostBytes: number,
): ReadonlyMap<string, Tensor> {
  const large = new Map<string, Tensor>()
  let sizeBytes = 0
  for (const [name, tensor] of initializers) {
    if (isFileTensor(tensor) || tensor.data.byteLength < leastExternalBytes) continue
    large.set(name, tensor)
    sizeBytes += tensor.data.byteLength
  }
  return sizeBytes > mostBytes ? large : new Map()
}
/** The folder in which the model's files are. */
function findFolder({ initializers }: OnnxModel): string | undefined {
  const folders = new Set(
    [...initializers.values()].flatMap((tensor) => (isFileTensor(tensor) ? [tensor.folder] : [])),
  )
  assertInternal(folders.size <= 1, 'the weights of a program lie in one folder')
  return [...folders][0]
}

interface ExtraSettings {
  readonly session?: Settings
}

function withFolder(settings: Settings, folder: string): Settings {
  const extra = settings['extra'] as ExtraSettings | undefined
  const session = { ...extra?.session, model_external_initializers_file_folder_path: folder }
  return { ...settings, extra: { ...extra, session } }
}
