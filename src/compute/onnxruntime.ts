// ONNX Runtime behind the backend contract. The library is passed in (onnxruntime-node or
// onnxruntime-web); nothing else here imports it.

import { UnsupportedError } from '../base/errors.ts'
import { checkOptions, type OptionFields, positiveInteger, record } from '../base/schema.ts'
import type { DType } from '../base/dtype.ts'
import type { Tensor, TensorData } from '../base/tensor.ts'
import { encodeOnnx } from '../formats/onnx.ts'
import { toOutputName, toOnnx } from '../graph/passes/to-onnx.ts'
import type { Backend, Program } from './backend.ts'

/** The part of onnxruntime-common that is used. */
export interface OnnxRuntime {
  readonly InferenceSession: { create(model: Uint8Array, options?: object): Promise<OnnxSession> }
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => OnnxTensor
}
interface OnnxTensor {
  readonly type: string
  readonly dims: readonly number[]
  readonly data: unknown
}
interface OnnxSession {
  run(feeds: Readonly<Record<string, OnnxTensor>>): Promise<Readonly<Record<string, OnnxTensor>>>
  release(): Promise<void>
}

export interface OnnxRuntimeOptions {
  /** Threads inside an operator; ONNX Runtime's own choice when absent. */
  readonly threads?: number | undefined
  /** Passed to InferenceSession.create: execution providers, profiling. */
  readonly session?: Readonly<Record<string, unknown>> | undefined
}

const backendFields = {
  threads: positiveInteger,
  session: record,
} satisfies OptionFields<OnnxRuntimeOptions>

const typeNames: Partial<Record<DType, string>> = {
  f32: 'float32',
  i64: 'int64',
  u8: 'uint8',
  i8: 'int8',
  i32: 'int32',
  bool: 'bool',
}
const dtypes: Readonly<Record<string, DType>> = {
  float32: 'f32',
  int64: 'i64',
  uint8: 'u8',
  int8: 'i8',
  int32: 'i32',
  bool: 'bool',
}

// With patterns on, the second run of a shape sets aside one block of all buffers' size, beside the
// arena that the first run has filled.
const leanSettings = { enableMemPattern: false }

/** Runs graphs on ONNX Runtime. CPU inputs are passed without a copy; outputs are fresh arrays. */
export function createOnnxRuntimeBackend(
  runtime: OnnxRuntime,
  options: OnnxRuntimeOptions = {},
): Backend {
  checkOptions('Backend options', options, backendFields)
  // Weights and adapters are fed again at every run: their wrapped form is kept as long as the
  // tensor lives.
  const wrapped = new WeakMap<Tensor, OnnxTensor>()
  const wrap = (tensor: Tensor): OnnxTensor => {
    const known = wrapped.get(tensor)
    if (known) return known
    const type = typeNames[tensor.dtype]
    if (!type)
      throw new UnsupportedError(
        `ONNX Runtime backend: a tensor of type ${tensor.dtype} cannot be fed; convert it to f32 first.`,
      )
    const made = new runtime.Tensor(type as never, tensor.data as never, tensor.shape)
    wrapped.set(tensor, made)
    return made
  }
  const settings = {
    logSeverityLevel: 3, // errors only: warnings name operators of graphs that users never see
    ...(options.threads === undefined
      ? {}
      : { intraOpNumThreads: options.threads, interOpNumThreads: 1 }),
    ...options.session,
  }

  return {
    name: 'onnxruntime',
    async compile(graph, { initializers, lean = false } = {}): Promise<Program> {
      const model = toOnnx(graph, initializers)
      const session = await runtime.InferenceSession.create(
        encodeOnnx(model),
        lean ? { ...leanSettings, ...settings } : settings,
      )
      const inputs = model.inputs.map(({ name }) => name)
      const outputs = [...graph.outputs.keys()].map((name) => [name, toOutputName(name)] as const)
      return {
        async run(feeds) {
          const fed: Record<string, OnnxTensor> = {}
          for (const name of inputs) {
            const tensor = feeds.get(name)
            if (!tensor) throw new UnsupportedError(`Graph input "${name}" was not fed.`)
            fed[name] = wrap(tensor)
          }
          const results = await session.run(fed)
          return new Map(outputs.map(([name, given]) => [name, unwrap(results[given]!)]))
        },
        dispose: () => session.release(),
      }
    },
  }
}

function unwrap({ type, dims, data }: OnnxTensor): Tensor {
  const dtype = dtypes[type]
  if (!dtype)
    throw new UnsupportedError(`ONNX Runtime backend: an output has the unknown type ${type}.`)
  return { dtype, shape: dims, data: data as TensorData }
}
