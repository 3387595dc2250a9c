// Sessions of onnxruntime-node. Initializers that are in files are read by ONNX Runtime itself: no
// copy of them is made in JavaScript, and a model may be larger than 2 GB.

import { assertInternal } from '../base/errors.ts'
import { isFileTensor } from '../base/tensor.ts'
import { encodeOnnx, type OnnxModel } from '../formats/onnx.ts'
import type { OnnxRuntime, OnnxSession } from './onnx-library.ts'

type Settings = Readonly<Record<string, unknown>>

export function createNativeSession(
  runtime: OnnxRuntime,
  model: OnnxModel,
  settings: Settings,
): Promise<OnnxSession> {
  const folder = findFolder(model)
  return runtime.InferenceSession.create(
    encodeOnnx(model),
    folder === undefined ? settings : withFolder(settings, folder),
  )
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
